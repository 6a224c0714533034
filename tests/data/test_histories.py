"""Both layouts of one data set give the same histories."""

import numpy as np

from recbole_mpo.data.histories import read_dataset_histories
from recbole_mpo.data.prepare.prepared import Form, Prepared
from recbole_mpo.data.prepare.recipe import Interactions


def by_user(found):
    tokens = np.split(found.item_tokens[found.items], np.cumsum(found.lengths)[:-1])
    return dict(zip(found.user_tokens.tolist(), (part.tolist() for part in tokens), strict=True))


def test_times_order_a_single_file(tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    rows = ["u\ty\t1600000000001", "v\tx\t5", "u\tx\t1600000000000", "u\tz\t1600000000001"]
    (folder / "a.inter").write_text("\n".join(["user_id:token\titem_id:token\ttimestamp:float", *rows]) + "\n")
    found = read_dataset_histories(tmp_path, "a")
    assert by_user(found) == {"u": ["x", "y", "z"], "v": ["x"]}
    assert found.popularity[found.item_tokens.tolist().index("x")] == 2


def test_presplit_rows_join_to_the_histories_they_were_made_of(tmp_path):
    draw = np.random.default_rng(3)
    lengths = [3, 70, 5, 120, 4]
    items = draw.integers(0, 40, sum(lengths))
    users = np.repeat(np.arange(5), lengths)
    names = [np.array([str(n) for n in range(count)], dtype=object) for count in (5, 40)]
    whole = Interactions(users, items, np.arange(len(items)), *names)
    Prepared("a", whole, None, (), None, ()).write(tmp_path, Form(layout="presplit"))
    found = read_dataset_histories(tmp_path, "a")
    expected = [[str(item) for item in history] for history in whole.histories()]
    assert [by_user(found)[str(user)] for user in range(5)] == expected
    starts = np.concatenate([[0], np.cumsum(found.lengths)[:-1]])
    assert np.array_equal(found.times[starts], np.zeros(5)) and found.times.max() == 119

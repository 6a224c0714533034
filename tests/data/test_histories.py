"""Both layouts of one dataset give the same histories, whatever their columns are called."""

import numpy as np
import pytest

from recbole_mpo.common.errors import DataError
from recbole_mpo.data.atomic_files import Fields
from recbole_mpo.data.histories import read_dataset_histories
from recbole_mpo.data.prepare.prepared import Form, Prepared
from recbole_mpo.data.prepare.recipe import Interactions


def by_user(histories):
    tokens = np.split(histories.item_tokens[histories.items], np.cumsum(histories.lengths)[:-1])
    return dict(zip(histories.user_tokens.tolist(), (items.tolist() for items in tokens), strict=True))


def test_times_order_a_single_file(tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    rows = ["u\ty\t1600000000001", "v\tx\t5", "u\tx\t1600000000000", "u\tz\t1600000000001"]
    (folder / "a.inter").write_text("\n".join(["user_id:token\titem_id:token\ttimestamp:float", *rows]) + "\n")
    histories = read_dataset_histories(tmp_path, "a")
    assert by_user(histories) == {"u": ["x", "y", "z"], "v": ["x"]}
    assert histories.popularity[histories.item_tokens.tolist().index("x")] == 2


def test_presplit_rows_join_to_the_histories_they_were_made_of(tmp_path):
    draw = np.random.default_rng(3)
    lengths = [3, 70, 5, 120, 4]
    items = draw.integers(0, 40, sum(lengths))
    users = np.repeat(np.arange(5), lengths)
    names = [np.array([str(n) for n in range(count)], dtype=object) for count in (5, 40)]
    whole = Interactions(users, items, np.arange(len(items)), *names)
    Prepared("a", whole, None, (), None, ()).write(tmp_path, Form(layout="presplit"))
    histories = read_dataset_histories(tmp_path, "a")
    expected = [[str(item) for item in history] for history in whole.histories()]
    assert [by_user(histories)[str(user)] for user in range(5)] == expected
    starts = np.concatenate([[0], np.cumsum(histories.lengths)[:-1]])
    assert np.array_equal(histories.times[starts], np.zeros(5)) and histories.times.max() == 119


# Names of columns

FIELDS = Fields("uid", "asin", "when", "_seq", ",", "|", "latin-1")


def test_a_single_file_under_other_names(tmp_path):
    (tmp_path / "a").mkdir()
    rows = ["José,y,2", "v,x,5", "José,x,1"]
    (tmp_path / "a" / "a.inter").write_bytes("\n".join([FIELDS.single_header, *rows]).encode("latin-1"))
    assert by_user(read_dataset_histories(tmp_path, "a", FIELDS)) == {"José": ["x", "y"], "v": ["x"]}


def test_pre_split_files_under_other_names(tmp_path):
    (tmp_path / "a").mkdir()
    for split, row in (("train", "José,x,y"), ("valid", "José,x|y,z"), ("test", "José,x|y|z,x")):
        content = f"{FIELDS.split_header}\n{row}\n".encode("latin-1")
        (tmp_path / "a" / f"a.{split}.inter").write_bytes(content)
    assert by_user(read_dataset_histories(tmp_path, "a", FIELDS)) == {"José": ["x", "y", "z", "x"]}


@pytest.mark.parametrize("suffixes, absent", [([""], "timestamp"), ([".train", ".valid", ".test"], "item_id_list")])
def test_absent_columns_are_told_with_those_there_are_and_the_settings(tmp_path, suffixes, absent):
    (tmp_path / "a").mkdir()
    for suffix in suffixes:
        (tmp_path / "a" / f"a{suffix}.inter").write_text("uid:token\tasin:token\nu\tx\n")
    message = rf"has no column 'user_id', .*'{absent}'.*; its columns are uid, asin\. .*set USER_ID_FIELD.*LIST_SUFFIX"
    with pytest.raises(DataError, match=message):
        read_dataset_histories(tmp_path, "a")

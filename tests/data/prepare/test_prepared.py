"""What a preparation writes: both layouts, both splits, the card; and UniSRec's own files byte for byte."""

import re

import numpy as np
import pytest

from recbole_mpo.common.errors import ConfigError, DataError
from recbole_mpo.data.histories import read_dataset_histories
from recbole_mpo.data.prepare.prepared import Form, Prepared, presplit_files
from recbole_mpo.data.prepare.presplit import LONGEST
from recbole_mpo.data.prepare.recipe import Interactions, Step
from recbole_mpo.data.prepare.whole_folder import is_there
from recbole_mpo.data.sequences import cut
from recbole_mpo.text.item_text import read_dataset_text


def prepared(histories=((0, 1, 2, 3), (2, 0, 1)), times=((10, 20, 30, 40), (15, 25, 45)), **changes):
    lengths = [len(history) for history in histories]
    items = sorted({item for history in histories for item in history})
    interactions = Interactions(
        np.repeat(np.arange(len(histories)), lengths),
        np.concatenate(histories),
        np.concatenate(times),
        np.array([f"u{number}" for number in range(len(histories))], dtype=object),
        np.array([f"i{number}" for number in items], dtype=object),
        (Step("rows of a.csv", 9, 2),),
    )
    fields = {"texts": [f"Item {number}." for number in items], "other_texts": {"cold": "Cold."}, **changes}
    return Prepared("mine", interactions, fields["texts"], (), None, ("A note.",), fields["other_texts"])


def lines(folder, suffix):
    return (folder / f"mine{suffix}").read_text(encoding="utf-8").splitlines()


def test_one_file_of_raw_names(tmp_path):
    folder = prepared().write(tmp_path, Form())
    assert lines(folder, ".inter")[:3] == ["user_id:token\titem_id:token\ttimestamp:float", "u0\ti0\t10", "u0\ti1\t20"]
    assert lines(folder, ".text")[1:] == ["i0\tItem 0.", "i1\tItem 1.", "i2\tItem 2.", "i3\tItem 3.", "cold\tCold."]
    assert sorted(path.name for path in folder.iterdir()) == [".prepared.json", "README.md", "mine.inter", "mine.text"]


def test_presplit_files_number_users_and_items(tmp_path):
    folder = prepared().write(tmp_path, Form(layout="presplit"))
    header = "user_id:token\titem_id_list:token_seq\titem_id:token"
    assert lines(folder, ".train.inter") == [header, "0\t0\t1", "1\t2\t0"]
    assert lines(folder, ".valid.inter") == [header, "0\t0 1\t2"]
    assert lines(folder, ".test.inter") == [header, "0\t0 1 2\t3", "1\t2 0\t1"]
    assert lines(folder, ".item2index") == ["i0\t0", "i1\t1", "i2\t2", "i3\t3", "cold\t4"]
    assert lines(folder, ".user2index") == ["u0\t0", "u1\t1"]
    assert lines(folder, ".text")[-1] == "cold\tCold."
    assert read_dataset_text(folder / "mine.text").tokens == ["0", "1", "2", "3", "4"]


def test_a_temporal_split_never_trains_on_what_comes_later(tmp_path):
    draw = np.random.default_rng(0)
    histories = [tuple(draw.integers(0, 9, 12)) for _ in range(20)]
    times = [tuple(np.sort(draw.integers(0, 1000, 12))) for _ in range(20)]
    folder = prepared(histories, times, texts=None, other_texts={}).write(
        tmp_path, Form("temporal", ratios=(0.6, 0.2, 0.2))
    )
    latest, counts = {}, {}
    for part in ("train", "valid", "test"):
        rows = [line.split("\t") for line in lines(folder, f".{part}.inter")[1:]]
        # A row's target is the item after its history, so its time is known by the length.
        moments = [times[int(user[1:])][len(history.split())] for user, history, _ in rows]
        assert all(item in {f"i{number}" for number in range(9)} for _, _, item in rows)
        latest[part], counts[part] = (min(moments), max(moments)), len(rows)
    assert latest["train"][1] < latest["valid"][0] <= latest["valid"][1] < latest["test"][0]
    assert sum(counts.values()) == 20 * 11
    assert counts["test"] == pytest.approx(0.2 * 240, abs=4)


def test_a_part_without_rows_is_refused_and_nothing_written(tmp_path):
    whole = prepared().write(tmp_path, Form())
    before = {path.name: path.read_bytes() for path in whole.iterdir()}
    with pytest.raises(DataError, match=r"mine\.(train|valid|test)\.inter would be empty: too many .* same times"):
        prepared(times=((5, 5, 5, 5), (5, 5, 5))).write(tmp_path, Form("temporal"))
    with pytest.raises(DataError, match=r"mine\.valid\.inter would be empty: no user has enough"):
        prepared(((0, 1, 2), (1, 2)), ((1, 2, 3), (1, 2))).write(tmp_path, Form(layout="presplit"))
    assert {path.name: path.read_bytes() for path in whole.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_blanks_in_item_names_need_numbers(tmp_path):
    whole = prepared()
    whole.interactions.item_tokens[1] = "two words"
    with pytest.raises(DataError, match="contains a space.*--layout=presplit"):
        whole.write(tmp_path, Form("temporal"))


def test_another_layout_leaves_nothing_of_the_former_one_and_strangers_stay(tmp_path):
    prepared().write(tmp_path, Form(layout="presplit"))
    stranger = tmp_path / "mine" / "mine_backup.inter"
    stranger.write_text("precious")
    folder = prepared(texts=None, other_texts={}).write(tmp_path, Form())
    assert sorted(path.name for path in folder.iterdir()) == [
        ".prepared.json",
        "README.md",
        "mine.inter",
        "mine_backup.inter",
    ]
    assert is_there(tmp_path, "mine")
    (folder / "mine.inter").unlink()
    assert not is_there(tmp_path, "mine")


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"split": "random"}, "split is 'random'; choose one of leave-one-out, temporal"),
        ({"layout": "both"}, "layout is 'both'; choose one of single, presplit"),
        ({"ratios": (0.8, 0.1, 0.2)}, "three positive numbers that sum to 1"),
        ({"ratios": (1.0, 0.0, 0.0)}, "three positive numbers that sum to 1"),
    ],
)
def test_bad_forms_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        Form(**settings)


def test_the_card_says_what_was_dropped_and_hashes_the_files(tmp_path):
    folder = prepared().write(tmp_path, Form())
    card = (folder / "README.md").read_text()
    assert "| rows of a.csv | 9 | 2 |" in card and "- A note." in card and "| users | 2 |" in card
    assert len(re.findall(r"^\| mine\.(?:inter|text) \| [\d,]+ \| [0-9a-f]{64} \|$", card, flags=re.M)) == 2


def test_scientifics_files_come_back_byte_for_byte(shared_data):
    """From the user histories that the official files are joined to."""
    joined = read_dataset_histories(shared_data, "Scientific")
    assert len(joined.items) == 59_427
    numbers = joined.item_tokens[joined.items].astype(int)
    by_user = dict(zip(joined.user_tokens.astype(int), cut(numbers, joined.lengths), strict=True))
    histories = [(user, by_user[user], None) for user in range(len(by_user))]
    assert max(len(history) for _, history, _ in histories) > LONGEST  # some official rows are cut
    for suffix, rows in presplit_files(histories).items():
        official = (shared_data / "Scientific" / f"Scientific{suffix}").read_bytes()
        assert "".join(f"{row}\n" for row in rows).encode() == official

"""A dataset in figures, bars and samples, under whatever names its files have."""

import re

import numpy as np
import pytest

from recbole_mpo.common.errors import DataError
from recbole_mpo.data.atomic_files import Fields
from recbole_mpo.data.histories import read_dataset_histories
from recbole_mpo.data.inspection import describe, inspect

HEADER = "user_id:token\titem_id:token\ttimestamp:float"
# Users of 1, 2 and 5 interactions; u3 has item a twice.
ROWS = [("u1", "a"), ("u2", "a"), ("u2", "b"), *(("u3", item) for item in "acdea")]


def write_shop(data_path, header=HEADER, texts=None, separator="\t"):
    folder = data_path / "shop"
    folder.mkdir(parents=True, exist_ok=True)
    rows = [separator.join((user, item, str(time))) for time, (user, item) in enumerate(ROWS)]
    (folder / "shop.inter").write_text("\n".join([header, *rows]) + "\n")
    if texts is not None:
        lines = ["item_id:token\ttext:token_seq", *(f"{item}\t{text}" for item, text in texts.items())]
        (folder / "shop.text").write_text("\n".join(lines) + "\n")


def test_figures_are_those_of_the_histories_and_texts(tmp_path):
    write_shop(tmp_path, texts={"a": "red lamp", "b": "red lamp", "c": "one more cup", "d": "--", "x": "bought"})
    rows = dict(describe(tmp_path, "shop").rows())
    assert rows["files"] == "shop.inter"
    assert (rows["users"], rows["items"], rows["interactions"]) == ("3", "5", "8")
    assert rows["interactions per user"] == "2.67" and rows["items without text"] == "2"
    assert rows["history length: minimum, quartiles, maximum"] == "1 / 2 / 2 / 4 / 5"
    assert rows["interactions per item: minimum, quartiles, maximum"] == "1 / 1 / 1 / 1 / 4"
    assert rows["interactions with the most popular 1 % of items"] == "50.0%"
    assert rows["interactions that repeat an item of the user"] == "12.5%"
    assert rows["items in the text file"] == "4"
    assert rows["items that share their text with another item"] == "2"
    assert rows["words per text: minimum, quartiles, maximum"] == "2 / 2 / 2 / 2 / 3"
    assert rows["items in the text file without interactions"] == "1"


def test_texts_without_words_have_zero_words(tmp_path):
    write_shop(tmp_path, texts={"a": "--"})
    rows = dict(describe(tmp_path, "shop").rows())
    assert rows["words per text: minimum, quartiles, maximum"] == "0 / 0 / 0 / 0 / 0"


def test_without_a_text_file_nothing_is_said_of_texts(tmp_path):
    write_shop(tmp_path)
    description = describe(tmp_path, "shop")
    assert description.texts is None and not [what for what, _ in description.rows() if "text" in what]


def test_bars_count_by_powers_of_two(tmp_path):
    write_shop(tmp_path)
    lines = describe(tmp_path, "shop").as_text().split("\n")
    begin = lines.index("users by length") + 1
    bars = [line.split() for line in lines[begin : begin + 3]]
    assert [(bar[0], bar[-1]) for bar in bars] == [("1", "1"), ("2-3", "1"), ("4-7", "1")]
    begin = lines.index("items by interactions") + 1
    bars = [line.split() for line in lines[begin : begin + 3]]
    assert [(bar[0], bar[-1]) for bar in bars] == [("1", "4"), ("2-3", "0"), ("4-7", "1")]
    assert len(bars[0][1]) == 40 and len(bars[2][1]) == 10


def test_samples_are_the_newest_items_of_as_many_users_as_asked_for(tmp_path):
    write_shop(tmp_path, texts={"a": "red lamp", "c": "x" * 100})
    description = describe(tmp_path, "shop", users=2)
    assert [user for user, _ in description.samples] == ["u1", "u2"]
    description = describe(tmp_path, "shop", users=9)
    assert [user for user, _ in description.samples] == ["u1", "u2", "u3"]
    assert description.samples[2][1] == [("a", "red lamp"), ("c", "x" * 100), ("d", ""), ("e", ""), ("a", "red lamp")]
    assert f"  c  {'x' * 70}\n" in description.as_text()


def test_the_page_stands_alone_and_holds_the_same(tmp_path):
    write_shop(tmp_path, texts={"a": "<b>red</b> lamp"})
    description = describe(tmp_path, "shop", users=1)
    description.write_page(tmp_path / "out" / "shop.html")
    page = (tmp_path / "out" / "shop.html").read_text()
    assert page.count("<html") == page.count("</body>") == 1
    assert page.count("<h3>User") == 1 and page.count("plotly-graph-div") == 2
    assert all(f"<td>{what}</td><td>{value}</td>" in page for what, value in description.rows())
    assert "&lt;b&gt;red&lt;/b&gt; lamp" in page and "<b>red</b>" not in page
    assert not re.search(r"<script[^>]+src=", page)


def test_inspect_writes_the_page_beside_the_callers_files_unless_told_otherwise(tmp_path):
    write_shop(tmp_path / "data")
    assert inspect(tmp_path / "data", "shop").endswith("\n\nwrote shop.html") and (tmp_path / "shop.html").is_file()
    page = tmp_path / "a.html"
    assert inspect(tmp_path / "data", "shop", page, 0).endswith(f"wrote {page}") and page.is_file()
    with pytest.raises(DataError, match=r"shop\.html/b\.html cannot be written: "):
        inspect(tmp_path / "data", "shop", "shop.html/b.html")


# Names of columns


def test_other_names_and_separators_describe_the_same_dataset(tmp_path):
    write_shop(tmp_path / "usual")
    write_shop(tmp_path / "other", "uid:token,asin:token,when:float", separator=",")
    fields = Fields("uid", "asin", "when", separator=",")
    usual = describe(tmp_path / "usual", "shop")
    assert describe(tmp_path / "other", "shop", fields=fields).as_text() == usual.as_text()
    inspect(tmp_path / "other", "shop", tmp_path / "other.html", fields=fields)
    histories = read_dataset_histories(tmp_path / "other", "shop", fields)
    np.testing.assert_array_equal(histories.lengths, [1, 2, 5])


def test_absent_columns_are_told_with_those_there_are_and_the_settings_that_name_them(tmp_path):
    write_shop(tmp_path, "uid:token\tasin:token\twhen:float")
    message = (
        r"shop\.inter has no column 'user_id', 'item_id', 'timestamp'; its columns are uid, asin, when\. "
        "Rename the column or set USER_ID_FIELD, ITEM_ID_FIELD, TIME_FIELD, LIST_SUFFIX"
    )
    with pytest.raises(DataError, match=message):
        describe(tmp_path, "shop")


def test_a_file_without_rows_is_an_error(tmp_path):
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "shop.inter").write_text(HEADER + "\n")
    with pytest.raises(DataError, match="the dataset has no interactions"):
        describe(tmp_path, "shop")

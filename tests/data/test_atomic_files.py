"""Which layout a dataset has, and what its columns are called."""

import pytest

from recbole_mpo.common.errors import ConfigError, DataError
from recbole_mpo.data.atomic_files import Fields, check_name, find_layout

HEADER = "user_id:token\titem_id:token\ttimestamp:float"


def touch(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text(HEADER + "\n", encoding="utf-8")


# Layout


def test_one_interaction_file_is_the_single_layout(tmp_path):
    touch(tmp_path / "shop", "shop.inter")
    layout = find_layout(tmp_path, "shop")
    assert not layout.is_presplit
    assert [path.name for path in layout.files] == ["shop.inter"]
    assert layout.settings("user_id", "item_id", "timestamp", "_list") == {
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]}
    }


def test_three_files_are_the_presplit_layout_even_beside_a_single_one(tmp_path):
    touch(tmp_path / "shop", "shop.train.inter", "shop.valid.inter", "shop.test.inter", "shop.inter")
    layout = find_layout(tmp_path, "shop")
    assert layout.is_presplit
    assert [path.name for path in layout.files] == ["shop.train.inter", "shop.valid.inter", "shop.test.inter"]
    # Without the alias RecBole numbers histories and targets apart; by default it does not load histories at all.
    assert layout.settings("uid", "asin", "time", "_seq") == {
        "benchmark_filename": ["train", "valid", "test"],
        "alias_of_item_id": ["asin_seq"],
        "load_col": {"inter": ["uid", "asin_seq", "asin"]},
    }


def test_an_incomplete_presplit_dataset_falls_back_to_the_single_file(tmp_path):
    touch(tmp_path / "shop", "shop.train.inter", "shop.inter")
    assert not find_layout(tmp_path, "shop").is_presplit


@pytest.mark.parametrize("missing", ["train", "valid", "test"])
def test_an_incomplete_presplit_dataset_names_the_missing_file(tmp_path, missing):
    present = {"train", "valid", "test"} - {missing}
    touch(tmp_path / "shop", *(f"shop.{part}.inter" for part in present))
    with pytest.raises(DataError, match=rf"without shop\.{missing}\.inter; all three files are needed"):
        find_layout(tmp_path, "shop")


def test_an_absent_dataset_suggests_the_nearest_folder_and_says_where_it_looked(tmp_path):
    touch(tmp_path / "Scientific", "Scientific.inter")
    with pytest.raises(DataError, match=r"'Scientifc' not found.*did you mean 'Scientific'\?.*--data_path") as caught:
        find_layout(tmp_path, "Scientifc")
    assert str(tmp_path / "Scientifc" / "Scientifc.inter") in str(caught.value)
    assert "Scientifc.train.inter" in str(caught.value)


def test_nothing_is_suggested_where_nothing_is_near(tmp_path):
    touch(tmp_path / "Scientific", "Scientific.inter")
    with pytest.raises(DataError) as caught:
        find_layout(tmp_path, "ml-100k")
    assert "did you mean" not in str(caught.value)


def test_a_data_path_that_is_no_folder_is_named(tmp_path):
    with pytest.raises(DataError, match=r"data_path .*nowhere is not a folder"):
        find_layout(tmp_path / "nowhere", "shop")


# Fields


def test_the_defaults_are_recboles(data, tiny_path):
    config = data.open_dataset(tiny_path, "tiny").config
    assert Fields.of(config) == Fields()


def test_fields_come_from_the_settings(data, tiny_path):
    names = {"USER_ID_FIELD": "uid", "ITEM_ID_FIELD": "asin", "TIME_FIELD": "when", "LIST_SUFFIX": "_seq"}
    form = {"field_separator": ",", "seq_separator": "|", "encoding": "latin-1"}
    fields = Fields.of({**names, **form})
    assert fields == Fields("uid", "asin", "when", "_seq", ",", "|", "latin-1")
    assert Fields.of({**names, **form, "encoding": None}).encoding == "utf-8"
    assert fields.history == "asin_seq"


def test_headers_are_those_of_the_official_files():
    assert Fields().single_header == HEADER
    assert Fields().split_header == "user_id:token\titem_id_list:token_seq\titem_id:token"
    assert Fields("u", "i", "t", "s", ",").split_header == "u:token,is:token_seq,i:token"


# Names


@pytest.mark.parametrize("name", ["Scientific", "ml-100k", "a b", "Großhandel", "S.T", "a..b", "_x"])
def test_a_name_may_be_any_word(name):
    check_name(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "./T", "../T", "a/b", "/a", "a\\b", ".hidden", " a", "a ", "a\nb", "a\x1b[m"]
)
def test_a_path_is_no_name(tmp_path, name):
    with pytest.raises(ConfigError, match="is not the name of a dataset"):
        find_layout(tmp_path, name)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"separator": ""}, "field_separator is ''"),
        ({"sequence_separator": "\n"}, r"seq_separator is '\\n'"),
        ({"encoding": "nope"}, "encoding 'nope' is unknown"),
        ({"encoding": "hex"}, "encoding 'hex' is unknown"),
        ({"encoding": "a\0"}, "is unknown"),
    ],
)
def test_separators_and_encodings_that_cannot_be_used_are_told(fields, message):
    with pytest.raises(ConfigError, match=message):
        Fields(**fields)

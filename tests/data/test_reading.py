"""Reading datasets: ids, rows and splits are RecBole's, times count in 64 bits, and bad files say what is wrong."""

import logging
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from recbole.data.dataset import SequentialDataset

from recbole_mpo.common.errors import ConfigError, DataError
from recbole_mpo.data.histories import read_dataset_histories
from recbole_mpo.data.inspection import describe

SINGLE_HEADER = "user_id:token\titem_id:token\ttimestamp:float"


def assert_same_rows(data, splits, others):
    for split, other in zip(splits, others, strict=True):
        assert len(split) == len(other) > 0
        assert Counter(data.id_rows(split)) == Counter(data.id_rows(other))


# Against RecBole's own dataset


@pytest.mark.parametrize("train_mode", ["packed", "pairwise"])
def test_ids_and_rows_are_recboles_on_tiny(tiny_path, recbole_splits, train_mode, data):
    data.write_frame(tiny_path, data.with_ranks(pd.read_csv(tiny_path / "tiny" / "tiny.inter", sep="\t")), "ranked")
    theirs, their_splits = recbole_splits(tiny_path, "ranked", MAX_ITEM_LIST_LENGTH=50)
    own = data.open_dataset(tiny_path, "tiny", train_mode=train_mode)
    assert_same_rows(data, own.splits, their_splits)
    for field in ("user_id", "item_id"):
        assert own.dataset.field2id_token[field].tolist() == theirs.field2id_token[field].tolist()


@pytest.mark.parametrize("max_length", [50, 7])
def test_ids_and_rows_are_recboles_on_ml_100k(ml_cut, recbole_splits, max_length, data):
    theirs, their_splits = recbole_splits(ml_cut, "ranked", MAX_ITEM_LIST_LENGTH=max_length)
    for name in ("ranked", "cut"):
        own = data.open_dataset(ml_cut, name, MAX_ITEM_LIST_LENGTH=max_length)
        assert_same_rows(data, own.splits, their_splits)
        for field in ("user_id", "item_id"):
            assert own.dataset.field2id_token[field].tolist() == theirs.field2id_token[field].tolist()
    assert max(len(history) for _, history, _ in data.id_rows(own.splits[2])) == max_length


def write_filtered_data(data, folder):
    """Users of 1 to 25 interactions over items of all popularities, some pairs twice; times are small and unique."""
    draw = np.random.default_rng(5)
    users = np.repeat(np.arange(60), draw.integers(1, 26, 60))
    items = np.minimum(draw.pareto(0.7, len(users)).astype(int), 60)
    times = draw.permutation(len(users))
    rows = [(f"u{user}", f"i{item}", time) for user, item, time in zip(users, items, times, strict=True)]
    data.write_single(folder, [rows[index] for index in draw.permutation(len(rows))])
    data.write_lines(
        folder / "shop" / "shop.item",
        "item_id:token\tclass:token\ttags:token_seq\tprice:float",
        [(f"i{item}", f"c{item % 3}", "t1 t2" if item % 2 else "", item / 2) for item in range(50)],
    )


FILTERS = {
    "nothing": {},
    "users": {"user_inter_num_interval": "[5,inf)"},
    "items": {"user_inter_num_interval": None, "item_inter_num_interval": "(1,9);[30,inf)"},
    "both, again and again": {"user_inter_num_interval": "[5,20]", "item_inter_num_interval": "[4,inf)"},
    "doubles": {"rm_dup_inter": "first"},
    "values": {"val_interval": {"timestamp": "[100,400)"}, "user_inter_num_interval": "[4,inf)"},
}
ITEM_FEATURES = {
    "load_col": {"inter": ["user_id", "item_id", "timestamp"], "item": ["item_id", "class", "tags", "price"]},
    "user_inter_num_interval": "[5,inf)",
    "item_inter_num_interval": "[2,inf)",
    "filter_inter_by_user_or_item": True,
}


@pytest.mark.parametrize(("model", "filters"), [
    *(("MPORec", filters) for filters in FILTERS.values()),
    ("SASRec", FILTERS["both, again and again"]),
    ("SASRec", ITEM_FEATURES),
], ids=[*FILTERS, "RecBole's SASRec", "item features"])  # fmt: skip
def test_filters_leave_what_recboles_leave(tmp_path, recbole_splits, model, filters, data):
    write_filtered_data(data, tmp_path)
    theirs, their_splits = recbole_splits(tmp_path, "shop", **filters)
    own = data.open_dataset(tmp_path, model=model, **filters)
    assert_same_rows(data, own.splits, their_splits)
    assert set(own.dataset.field2id_token) == set(theirs.field2id_token)
    for field, tokens in theirs.field2id_token.items():
        assert own.dataset.field2id_token[field].tolist() == tokens.tolist()
        assert own.dataset.field2token_id[field] == theirs.field2token_id[field]
    if theirs.item_feat is not None:
        for field in theirs.item_feat.columns:
            assert own.dataset.item_feat[field].tolist() == theirs.item_feat[field].tolist()


@pytest.mark.parametrize("mode", ["valid_and_test", "valid_only", "test_only"])
@pytest.mark.parametrize("model", ["MPORec", "SASRec"])
def test_leave_one_out_is_recboles_row_by_row(tmp_path, model, mode, data):
    """On the same rows, RecBole's own method and ours: equal splits, in equal order."""
    write_filtered_data(data, tmp_path)
    dataset = data.open_dataset(tmp_path, model=model).dataset
    dataset.build()
    own, theirs = dataset.leave_one_out("user_id", mode), SequentialDataset.leave_one_out(dataset, "user_id", mode)
    for one, other in zip(own, theirs, strict=True):
        assert one.inter_feat.columns == other.inter_feat.columns
        for field in one.inter_feat.columns:
            assert one.inter_feat[field].tolist() == other.inter_feat[field].tolist()
            assert one.inter_feat[field].dtype == other.inter_feat[field].dtype


def test_an_unknown_way_to_leave_one_out_is_an_error(tmp_path, data):
    data.write_single(tmp_path, data.random_interactions())
    with pytest.raises(ConfigError, match="is 'train_only'; choose one of valid_and_test, valid_only, test_only"):
        data.open_dataset(tmp_path, eval_args={"split": {"LS": "train_only"}})


# Histories and their order


@pytest.mark.parametrize("train_mode", ["packed", "pairwise"])
def test_long_histories_keep_their_newest_items(tmp_path, train_mode, data):
    data.write_single(tmp_path, [("u", f"i{step}", step) for step in range(20)])
    splits = data.open_dataset(tmp_path, train_mode=train_mode, MAX_ITEM_LIST_LENGTH=5).splits
    assert data.token_rows(splits[2]) == [("u", ("i14", "i15", "i16", "i17", "i18"), "i19")]
    assert data.token_rows(splits[1]) == [("u", ("i13", "i14", "i15", "i16", "i17"), "i18")]
    assert (
        Counter(data.token_rows(splits[0]))
        == data.leave_one_out([("u", f"i{step}", step) for step in range(20)], max_length=5)[0]
    )


@pytest.mark.parametrize(("model", "settings"), [
    ("MPORec", {"train_mode": "packed"}),
    ("MPORec", {"train_mode": "pairwise"}),
    ("SASRec", {}),
], ids=["packed", "pairwise", "RecBole's SASRec"])  # fmt: skip
@pytest.mark.parametrize(("begin", "step"), [(1_700_000_000, 1), (1_700_000_000_000, 1), (1.7e9, 0.25)])
def test_times_that_float32_would_merge_keep_their_order(tmp_path, model, settings, begin, step, data):
    """1 s, 1 ms and 250 ms apart; the spacing of float32 there is 128 s or more. The file counts backwards."""
    items = [f"i{number}" for number in np.random.default_rng(0).permutation(9)]
    data.write_single(tmp_path, [("u", item, begin + step * place) for place, item in enumerate(items)][::-1])
    splits = data.open_dataset(tmp_path, model=model, **settings).splits
    assert data.token_rows(splits[2]) == [("u", tuple(items[:8]), items[8])]
    assert data.token_rows(splits[1]) == [("u", tuple(items[:7]), items[7])]
    assert Counter(data.token_rows(splits[0])) == Counter(("u", tuple(items[:end]), items[end]) for end in range(1, 7))


@pytest.mark.parametrize("train_mode", ["packed", "pairwise"])
def test_equal_times_keep_the_order_of_the_file(tmp_path, train_mode, data):
    """Interleaved users, enough rows that an unstable sort would show."""
    rows = [(f"u{number % 3}", f"i{number}", 1_700_000_000) for number in range(150)]
    data.write_single(tmp_path, rows)
    splits = data.open_dataset(tmp_path, train_mode=train_mode).splits
    for split, expected in zip(splits, data.leave_one_out(rows), strict=True):
        assert Counter(data.token_rows(split)) == expected


# Candidates


@pytest.mark.parametrize("model", ["MPORec", "SASRec"])
def test_item_and_text_files_add_no_candidates(tmp_path, model, data):
    data.write_single(tmp_path, data.random_interactions())
    before = data.open_dataset(tmp_path, model=model).dataset.field2id_token["item_id"].tolist()
    unseen = [(f"x{number}", "t") for number in range(9)]
    data.write_lines(tmp_path / "shop" / "shop.item", "item_id:token\ttitle:token_seq", unseen)
    data.write_lines(tmp_path / "shop" / "shop.text", "item_id:token\ttext:token_seq", unseen)
    data.write_lines(tmp_path / "shop" / "shop.user", "user_id:token\tage:token", [("nobody", "9")])
    after = data.open_dataset(tmp_path, model=model).dataset
    assert after.field2id_token["item_id"].tolist() == before
    assert after.item_num == len({item for _, item, _ in data.random_interactions()}) + 1


def test_items_of_valid_and_test_alone_are_candidates(tmp_path, data):
    data.write_single(tmp_path, [(user, f"{user}{step}", step) for user in "uv" for step in range(5)])
    opened = data.open_dataset(tmp_path)
    trained = {item for _, history, target in data.token_rows(opened.splits[0]) for item in (*history, target)}
    assert set(opened.dataset.field2id_token["item_id"][1:]) - trained == {"u3", "u4", "v3", "v4"}


# Too little data


@pytest.mark.parametrize("model", ["MPORec", "SASRec"])
def test_users_with_one_interaction_are_counted_and_the_first_is_named(tmp_path, caplog, model, data):
    rows = data.random_interactions() + [("lonely", "i0", 1), ("alone", "i1", 2)]
    data.write_single(tmp_path, rows)
    with caplog.at_level(logging.WARNING):
        splits = data.open_dataset(tmp_path, model=model).splits
    (warning,) = [entry.getMessage() for entry in caplog.records if "one interaction" in entry.getMessage()]
    assert "2 of 14 users" in warning and "'lonely'" in warning and "left out" in warning
    for split, expected in zip(splits, data.leave_one_out(rows), strict=True):
        assert Counter(data.token_rows(split)) == expected


def test_no_warning_where_every_user_has_two(tmp_path, caplog, data):
    data.write_single(tmp_path, data.random_interactions())
    with caplog.at_level(logging.WARNING):
        data.open_dataset(tmp_path).splits  # noqa: B018
    assert "one interaction" not in caplog.text


@pytest.mark.parametrize("model", ["MPORec", "SASRec"])
@pytest.mark.parametrize(("length", "empty"), [(1, "train"), (2, "valid"), (3, "valid")])
def test_histories_too_short_for_three_splits_are_an_error(tmp_path, model, length, empty, data):
    data.write_single(tmp_path, [(f"u{user}", f"i{step}", step) for user in range(3) for step in range(length)])
    with pytest.raises(DataError, match=rf"the {empty} split of shop is empty \(shop\.inter\).*at least 4 inter"):
        data.open_dataset(tmp_path, model=model).splits  # noqa: B018


@pytest.mark.parametrize("empty", ["train", "valid", "test"])
def test_a_presplit_file_without_rows_is_an_error(tmp_path, empty, data):
    data.write_split(tmp_path, {**data.split_parts(data.random_interactions()), empty: []})
    with pytest.raises(DataError, match=rf"the {empty} split of shop is empty \(shop\.train.inter, .*one row each"):
        data.open_dataset(tmp_path).splits  # noqa: B018


def test_an_interaction_file_without_rows_is_an_error(tmp_path, data):
    data.write_single(tmp_path, [])
    with pytest.raises(DataError, match=r"shop\.inter has no rows"):
        data.open_dataset(tmp_path).splits  # noqa: B018


@pytest.mark.parametrize(("mode", "empty"), [("valid_only", 2), ("test_only", 1)])
def test_a_split_that_was_not_asked_for_may_be_empty(tmp_path, mode, empty, data):
    data.write_single(tmp_path, data.random_interactions())
    splits = data.open_dataset(tmp_path, eval_args={"split": {"LS": mode}}).splits
    assert [len(split) == 0 for split in splits] == [number == empty for number in range(3)]


def test_a_missing_column_is_named(tmp_path, data):
    data.write_lines(tmp_path / "shop" / "shop.inter", "user_id:token\tasin:token\ttime:float", [("u", "i", 1)])
    with pytest.raises(DataError, match=r"shop\.inter has no column .*its columns are user_id, asin, time"):
        data.open_dataset(tmp_path).dataset  # noqa: B018


@pytest.mark.parametrize("model", ["MPORec", "SASRec"])
def test_interactions_without_times_are_refused(tmp_path, model, data):
    data.write_single(tmp_path, data.random_interactions())
    with pytest.raises(DataError, match=r"shop.*without times.*TIME_FIELD 'timestamp'.*load_col"):
        data.open_dataset(tmp_path, model=model, load_col={"inter": ["user_id", "item_id"]}).splits  # noqa: B018


def test_a_list_of_numbers_with_a_word_in_it_names_file_and_line(tmp_path, data):
    rows = [("u", "a", 1, "0.5 1"), ("u", "b", 2, ""), ("u", "c", 3, "0.5 one")]
    data.write_lines(tmp_path / "shop" / "shop.inter", SINGLE_HEADER + "\tvector:float_seq", rows)
    with pytest.raises(DataError, match=r"shop\.inter, line 4: column 'vector' holds 'one', which is not a number"):
        data.open_dataset(tmp_path, load_col={"inter": "*"}).dataset  # noqa: B018


def test_other_column_names_can_be_set(tmp_path, data):
    rows = data.random_interactions()
    data.write_lines(tmp_path / "shop" / "shop.inter", "user:token\tasin:token\ttime:float", rows)
    names = {"USER_ID_FIELD": "user", "ITEM_ID_FIELD": "asin", "TIME_FIELD": "time"}
    splits = data.open_dataset(tmp_path, **names).splits
    assert [len(split) for split in splits] == [expected.total() for expected in data.leave_one_out(rows)]


# What a column means


@pytest.mark.parametrize("header", [
    "user_id:token\titem_id:token\ttimestamp:token", "user_id:token\titem_id:token\ttimestamp:token_seq",
    "user_id:float\titem_id:token\ttimestamp:float", "user_id:token\titem_id:token_seq\ttimestamp:float",
])  # fmt: skip
def test_no_reader_takes_a_type_that_does_not_fit(tmp_path, data, header):
    """Times as tokens were sorted by first appearance here, and as text by inspect."""
    rows = [(user, item, 90 + item) for user in range(5) for item in (9, 8, 10, 7, 11)]
    data.write_lines(tmp_path / "shop" / "shop.inter", header, rows)
    for read in (
        lambda: data.open_dataset(tmp_path).dataset,
        lambda: data.open_dataset(tmp_path, train_mode="pairwise").dataset,
        lambda: read_dataset_histories(tmp_path, "shop"),
        lambda: describe(tmp_path, "shop"),
    ):
        with pytest.raises(DataError, match=r"shop\.inter, line 1: column .* has the type .*; write .* in the header"):
            read()


@pytest.mark.parametrize("unit", [
    "{}", "17000000000000000{:02}", "1700000000.1234{:02}", "{}e-5", "-{}",
], ids=["small", "nanoseconds", "microseconds", "exponent", "negative"])  # fmt: skip
def test_all_readers_agree_on_the_order_of_times(tmp_path, data, unit):
    """Written in reverse order, so that a lost digit shows."""
    rows = [(f"u{user}", f"i{item}", unit.format(10 + item)) for user in range(3) for item in reversed(range(9))]
    data.write_single(tmp_path, rows)
    order = [f"i{item}" for item in (reversed(range(9)) if unit.startswith("-") else range(9))]
    histories = read_dataset_histories(tmp_path, "shop")
    assert histories.item_tokens[histories.items].tolist() == order * 3
    (_, sample), *_ = describe(tmp_path, "shop").samples
    assert [item for item, _ in sample] == order
    for mode in ("packed", "pairwise"):
        *_, test = data.open_dataset(tmp_path, train_mode=mode).splits
        rows = [(history, target) for _, history, target in data.token_rows(test)]
        assert rows == [(tuple(order[:-1]), order[-1])] * 3

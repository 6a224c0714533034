"""The text models' dataset: packed rows are RecBole's padded ones, histories are flat, features are shared."""

import logging
from collections import Counter

import numpy as np
import pytest
import torch

from recbole_mpo.common.errors import DataError
from recbole_mpo.text.feature_files import feature_hash


def assert_same_rows(data, splits, others):
    for split, other in zip(splits, others, strict=True):
        assert len(split) == len(other) > 0
        assert Counter(data.id_rows(split)) == Counter(data.id_rows(other))


# Packed and pairwise rows


def test_pairwise_rows_are_the_packed_rows(ml_cut, data):
    packed, pairwise = (data.open_dataset(ml_cut, "cut", train_mode=mode).splits for mode in ("packed", "pairwise"))
    assert_same_rows(data, packed, pairwise)
    # In RecBole's form: all padded to one width.
    assert pairwise[0].inter_feat["item_id_list"].shape == (len(pairwise[0]), 50)


def test_pairwise_rows_are_the_packed_rows_of_presplit_files(tmp_path, data):
    data.write_split(tmp_path, data.split_parts(data.random_interactions()))
    packed, pairwise = (data.open_dataset(tmp_path, train_mode=mode).splits for mode in ("packed", "pairwise"))
    assert_same_rows(data, packed, pairwise)


@pytest.mark.parametrize("train_mode", ["packed", "pairwise"])
@pytest.mark.parametrize("seed", range(3))
def test_rows_are_what_a_loop_over_sorted_histories_gives(tmp_path, train_mode, seed, data):
    rows = data.random_interactions(seed)
    data.write_single(tmp_path, rows)
    splits = data.open_dataset(tmp_path, train_mode=train_mode).splits
    for split, expected in zip(splits, data.leave_one_out(rows), strict=True):
        assert Counter(data.token_rows(split)) == expected


def test_rows_for_an_index_are_left_aligned_and_padded_to_the_longest(tmp_path, data):
    rows = [("u", f"i{step}", step) for step in range(6)] + [("v", f"i{step}", step) for step in range(4)]
    data.write_single(tmp_path, rows)
    train = data.open_dataset(tmp_path).splits[0]
    lengths = train.inter_feat["item_length"].numpy()
    assert sorted(lengths.tolist()) == [1, 1, 2, 3]
    for index in ([0], [1, 3], np.array([3, 0]), torch.tensor([2, 1, 0]), slice(1, 4)):
        batch = train[index]
        history = batch["item_id_list"]
        wanted = lengths[index].tolist()
        assert batch["item_length"].tolist() == wanted
        assert history.shape == (len(wanted), max(wanted))
        assert history.dtype == torch.int64
        assert ((history > 0).sum(dim=1)).tolist() == wanted
        assert all((row[:length] > 0).all() for row, length in zip(history, wanted, strict=True))


def test_evaluation_rows_stand_by_length_so_that_batches_need_little_padding(tmp_path, data):
    data.write_single(tmp_path, data.random_interactions())
    for split in data.open_dataset(tmp_path).splits[1:]:
        lengths = split.inter_feat["item_length"].tolist()
        assert lengths == sorted(lengths)


def test_the_length_of_a_history_is_described_as_recbole_describes_it(tmp_path, data):
    data.write_single(tmp_path, data.random_interactions())
    packed, pairwise = (data.open_dataset(tmp_path, train_mode=mode).splits[0] for mode in ("packed", "pairwise"))
    for described in ("field2type", "field2source", "field2seqlen"):
        assert getattr(packed, described)["item_length"] == getattr(pairwise, described)["item_length"]


# Pre-split files


def reordered(parts, order) -> dict:
    if order == "descending":
        return parts
    if order == "ascending":
        return {part: rows[::-1] for part, rows in parts.items()}
    draw = np.random.default_rng(1)
    return {part: [rows[index] for index in draw.permutation(len(rows))] for part, rows in parts.items()}


@pytest.mark.parametrize("model", ["MPORec", "SASRec"])
@pytest.mark.parametrize("order", ["descending", "ascending", "shuffled"])
def test_presplit_rows_are_the_lines_of_the_files(tmp_path, model, order, data):
    """A user of 130 items, so that most of its rows stand cut to 50 in the file and continue one another there."""
    parts = reordered(data.split_parts(data.random_interactions(longest=130)), order)
    data.write_split(tmp_path, parts)
    splits = data.open_dataset(tmp_path, model=model).splits
    for split, expected in zip(splits, data.expected_rows(parts), strict=True):
        assert Counter(data.token_rows(split)) == expected


@pytest.mark.parametrize("order", ["descending", "ascending"])
def test_rows_that_continue_one_another_share_their_items(tmp_path, order, data):
    """What makes packing possible: each user's rows become one flat history, cut rows in the file or not."""
    interactions = data.random_interactions(longest=130)
    data.write_split(tmp_path, reordered(data.split_parts(interactions), order))
    assert len(data.open_dataset(tmp_path).splits[0].flat_items) == len(interactions)


@pytest.mark.parametrize("train_mode", ["packed", "pairwise"])
def test_histories_that_stand_uncut_in_the_files_are_cut_to_the_newest(tmp_path, train_mode, data):
    parts = data.split_parts(data.random_interactions(longest=90), max_length=1000)
    data.write_split(tmp_path, parts)
    splits = data.open_dataset(tmp_path, train_mode=train_mode, MAX_ITEM_LIST_LENGTH=20).splits
    for split, expected in zip(splits, data.expected_rows(parts, 20), strict=True):
        assert Counter(data.token_rows(split)) == expected


def test_rows_that_do_not_continue_one_another_keep_their_own_history(tmp_path, data):
    parts = {
        "train": [
            ("u", ["a", "b"], "c"),
            ("u", ["x", "y", "z"], "a"),  # another history altogether
            ("u", ["a", "b"], "d"),  # one history, two targets
            ("u", ["a", "b"], "d"),  # the same row twice
            ("u", ["c"], "e"),  # ends as the first row's target
            ("v", ["a", "b", "c", "e"], "f"),  # continues another user's rows
            ("v", ["b", "c", "e", "f"], "g"),  # continues, but without its first item
        ],
        "valid": [("u", ["q"], "a"), ("w", ["a"], "b")],
        "test": [("u", ["a", "b", "c"], "d")],
    }
    data.write_split(tmp_path, parts)
    opened = data.open_dataset(tmp_path)
    for split, expected in zip(opened.splits, data.expected_rows(parts), strict=True):
        assert Counter(data.token_rows(split)) == expected
    # And what is trained on is the same.
    train = opened.splits[0]
    items, pairs = train.field2id_token["item_id"], Counter()
    for batch in opened.experiment.data.loaders[0]:
        packed, positions = batch.items.flatten().numpy(), batch.positions.flatten().tolist()
        for index, target in zip(batch.predicting.tolist(), batch.targets.tolist(), strict=True):
            pairs[tuple(items[packed[index - positions[index] : index + 1]]), items[target]] += 1
    assert pairs == Counter((tuple(history), target) for _, history, target in parts["train"])


@pytest.mark.parametrize("max_length", [50, 3])
def test_presplit_ids_are_recboles_even_where_histories_are_cut(tmp_path, recbole_splits, max_length, data):
    """Items number by appearance in the files; one that stands only in the part cut off is still a candidate."""
    parts = {
        "train": [("u", ["old", "a", "b", "c"], "d"), ("v", ["b", "a"], "c")],
        "valid": [("u", ["older", "a", "b", "c", "d"], "e")],
        "test": [("u", ["a", "b", "c", "d", "e"], "f")],
    }
    data.write_split(tmp_path, parts)
    theirs, _ = recbole_splits(
        tmp_path,
        "shop",
        benchmark_filename=["train", "valid", "test"],
        alias_of_item_id=["item_id_list"],
        load_col={"inter": ["user_id", "item_id_list", "item_id"]},
    )
    own = data.open_dataset(tmp_path, MAX_ITEM_LIST_LENGTH=max_length)
    for field in ("user_id", "item_id"):
        assert own.dataset.field2id_token[field].tolist() == theirs.field2id_token[field].tolist()
    for split, expected in zip(own.splits, data.expected_rows(parts, max_length), strict=True):
        assert Counter(data.token_rows(split)) == expected


@pytest.mark.parametrize("train_mode", ["packed", "pairwise"])
def test_a_row_without_history_names_file_and_line(tmp_path, train_mode, data):
    parts = data.split_parts(data.random_interactions())
    parts["valid"][2] = ("u9", [], "i1")
    data.write_split(tmp_path, parts)
    with pytest.raises(DataError, match=r"shop\.valid\.inter, line 4: column 'item_id_list' is empty"):
        data.open_dataset(tmp_path, train_mode=train_mode).splits  # noqa: B018


def file_rows(path) -> Counter:
    lines = path.read_text(encoding="utf-8").splitlines()[1:]
    return Counter((user, tuple(history.split()), target) for user, history, target in (x.split("\t") for x in lines))


def test_scientific_is_read_line_by_line(shared_data, data):
    """Counts: 8,442 users, 34,101 training rows, 4,385 items, of which 12 never occur in training."""
    opened = data.open_dataset(shared_data, "Scientific")
    splits = opened.splits
    assert [len(split) for split in splits] == [34_101, 8_442, 8_442]
    for part, split in zip(("train", "valid", "test"), splits, strict=True):
        assert Counter(data.token_rows(split)) == file_rows(shared_data / "Scientific" / f"Scientific.{part}.inter")
    assert opened.dataset.user_num == 8_442 + 1
    assert opened.dataset.item_num == 4_385 + 1
    trained = {item for _, history, target in data.id_rows(splits[0]) for item in (*history, target)}
    unseen = opened.dataset.field2id_token["item_id"][sorted(set(range(1, 4_386)) - trained)]
    assert sorted(unseen, key=int) == "1397 1407 2567 2635 2752 2966 3088 3528 3575 3961 4156 4250".split()
    assert opened.dataset.field2id_token["item_id"][:5].tolist() == ["[PAD]", "11", "10", "9", "8"]


# A user's history


def test_a_users_history_comes_back_in_tokens(tmp_path, data):
    rows = data.random_interactions()
    data.write_single(tmp_path, rows)
    opened = data.open_dataset(tmp_path, MAX_ITEM_LIST_LENGTH=5)
    opened.splits  # noqa: B018
    in_order = sorted((row for row in rows if row[0] == "u3"), key=lambda row: row[2])
    assert opened.dataset.history_tokens("u3") == [item for _, item, _ in in_order]


def test_the_history_of_an_unknown_user_or_of_one_interaction_is_an_error(tmp_path, data):
    data.write_single(tmp_path, data.random_interactions() + [("lonely", "i0", 1)])
    opened = data.open_dataset(tmp_path)
    opened.splits  # noqa: B018
    with pytest.raises(DataError, match="user 'nobody' is not in the interactions of shop"):
        opened.dataset.history_tokens("nobody")
    with pytest.raises(DataError, match="user 'lonely' .*one interaction"):
        opened.dataset.history_tokens("lonely")


# Features


def write_texts(data_path, tokens):
    lines = ["item_id:token\ttext:token_seq", *(f"{token}\tred lamp number {token}" for token in tokens)]
    (data_path / "shop" / "shop.text").write_text("\n".join(lines) + "\n", encoding="utf-8")


def open_with_text(data, tmp_path, **settings):
    settings = {"item_input": "text", "text_encoder": "tfidf-svd", "cache_dir": str(tmp_path / "cache"), **settings}
    return data.open_dataset(tmp_path, **settings).dataset


def test_all_splits_share_one_feature_table_and_one_warning(tmp_path, caplog, data):
    data.write_single(tmp_path, data.random_interactions())
    write_texts(tmp_path, [f"i{number}" for number in range(20)])
    with caplog.at_level(logging.WARNING):
        dataset = open_with_text(data, tmp_path)
        splits = dataset.build()
        tables = [split.features.table for split in (splits[0], dataset, *splits[1:])]
    assert all(table is tables[0] for table in tables)
    assert caplog.text.count("no usable text") == 1


def test_features_are_the_table_by_internal_id_and_its_hash(tmp_path, data):
    data.write_single(tmp_path, data.random_interactions())
    write_texts(tmp_path, [f"i{number}" for number in range(40)])
    dataset = open_with_text(data, tmp_path)
    features = dataset.item_features()
    assert features.shape == (dataset.item_num, dataset.features.table.shape[1]) and features.dtype == torch.float32
    assert not features[0].any() and features[1:].any(dim=1).all()
    assert dataset.feature_hash == feature_hash(features.numpy()) == dataset.features.hash


def test_scientifics_reconstructed_bert_features_are_read(shared_data, data):
    """float16 768 columns, 4,385 rows in the order of the text file, which is that of the tokens."""
    file = shared_data / "Scientific" / "Scientific.feat1CLS.pq.npy"
    settings = {"feature_file": file.name, "feature_center": False, "feature_scale": False}
    dataset = data.open_dataset(shared_data, "Scientific", item_input="text", **settings).dataset
    features = dataset.features
    assert features.table.shape == (4_386, 768)
    assert features.table.dtype == np.float32
    assert features.report.with_text == features.report.items == 4_385
    rows = dataset.field2id_token["item_id"][1:].astype(int)
    assert (rows != np.arange(4_385)).mean() > 0.9, "or the order below says nothing"
    assert (features.table[1:] == np.load(file)[rows].astype(np.float32)).all()
    assert not features.table[0].any()

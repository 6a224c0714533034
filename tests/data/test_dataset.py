"""Data sets: ids and rows against RecBole's own data set, times in 64 bits, pre-split files line by line."""

import logging
import os
import sys
from collections import Counter
from importlib import resources

import numpy as np
import pandas as pd
import pytest
import recbole.config.configurator as recbole_configurator
import torch
from recbole.data.dataset import SequentialDataset

from recbole_mpo.common.errors import ConfigError, DataError
from recbole_mpo.common.recbole_globals import sequential_models
from recbole_mpo.quick_start.experiment import Experiment

SINGLE_HEADER = "user_id:token\titem_id:token\ttimestamp:float"
SPLIT_HEADER = "user_id:token\titem_id_list:token_seq\titem_id:token"
LEAVE_ONE_OUT = {"split": {"LS": "valid_and_test"}, "order": "TO", "group_by": "user", "mode": "full"}


def write_lines(path, header, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [header, *("\t".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_single(data_path, rows, name="shop"):
    write_lines(data_path / name / f"{name}.inter", SINGLE_HEADER, rows)


def write_split(data_path, parts, name="shop"):
    """``parts``: rows (user, history as a list, target) of each of train, valid and test."""
    for part, rows in parts.items():
        rows = [(user, " ".join(history), target) for user, history, target in rows]
        write_lines(data_path / name / f"{name}.{part}.inter", SPLIT_HEADER, rows)


def experiment_on(data_path, name="shop", model="MPORec", **settings) -> Experiment:
    own = {"item_input": "id"} if model == "MPORec" else {}
    overrides = {"data_path": str(data_path), "use_gpu": False, "show_progress": False, **own, **settings}
    return Experiment.of(model, name, (), overrides)


def id_rows(split) -> list:
    """(user, history, target) of each row, in internal ids."""
    rows = split[np.arange(len(split))]
    lengths = rows["item_length"].tolist()
    histories = rows["item_id_list"].tolist()
    histories = [tuple(history[:length]) for history, length in zip(histories, lengths, strict=True)]
    return list(zip(rows["user_id"].tolist(), histories, rows["item_id"].tolist(), strict=True))


def token_rows(split) -> list:
    """(user, history, target) of each row, in tokens."""
    users, items = split.field2id_token["user_id"], split.field2id_token["item_id"]
    return [
        (str(users[user]), tuple(items[list(history)].tolist()), str(items[target]))
        for user, history, target in id_rows(split)
    ]


def leave_one_out(rows, max_length=50) -> list[Counter]:
    """The rows that leave-one-out makes of (user, item, time) tokens: the specification, as a loop."""
    histories: dict = {}
    for user, item, _ in sorted(rows, key=lambda row: float(row[2])):  # stable: ties keep file order
        histories.setdefault(user, []).append(item)
    splits = [Counter(), Counter(), Counter()]
    for user, items in histories.items():
        prefixes = [
            (user, tuple(items[max(0, end - max_length) : end]), items[end]) for end in range(1, len(items))
        ]
        held_out = min(2, max(len(prefixes) - 1, 0))
        kept = len(prefixes) - held_out
        splits[0].update(prefixes[:kept])
        for split, row in zip(splits[3 - held_out :], prefixes[kept:], strict=True):
            split[row] += 1
    return splits


def random_interactions(seed=0, users=12, items=40, longest=70) -> list:
    """(user, item, time) in no order, some times equal, some histories longer than 50."""
    draw = np.random.default_rng(seed)
    rows = []
    for user in range(users):
        length = longest if user == 0 else int(draw.integers(4, 20))
        times = 1_700_000_000 + np.sort(draw.integers(0, length, length))
        rows += [(f"u{user}", f"i{int(draw.integers(items))}", int(time)) for time in times]
    return [rows[index] for index in draw.permutation(len(rows))]


@pytest.fixture
def recbole_splits(monkeypatch):
    """The data set and its splits as RecBole makes them, with RecBole's own Config (and nothing left of it)."""

    def build(data_path, name, **settings):
        monkeypatch.setattr(sys, "argv", ["recbole"])
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", os.environ.get("CUDA_VISIBLE_DEVICES", ""))
        own_list = list(recbole_configurator.dataset_arguments)  # its Config appends to it
        monkeypatch.setattr(recbole_configurator, "dataset_arguments", own_list)
        settings = {
            "data_path": str(data_path),
            "eval_args": LEAVE_ONE_OUT,
            "train_neg_sample_args": None,
            "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
            **settings,
        }
        config = recbole_configurator.Config(sequential_models().SASRec, name, config_dict=settings)
        dataset = SequentialDataset(config)
        return dataset, dataset.build()

    return build


def with_ranks(frame):
    """RecBole rounds times to float32, 64 s apart in 1997 and 128 s today; ranks are exact and sort as intended."""
    return frame.assign(**{"timestamp:float": frame["timestamp:float"].rank(method="dense").astype(int)})


def write_frame(data_path, frame, name):
    (data_path / name).mkdir()
    frame.to_csv(data_path / name / f"{name}.inter", sep="\t", index=False)


@pytest.fixture(scope="session")
def ml_cut(tmp_path_factory):
    """A data_path with the first 60 users of ml-100k: ``cut`` as it is, ``ranked`` with ranks for times."""
    source = resources.files("recbole") / "dataset_example" / "ml-100k" / "ml-100k.inter"
    frame = pd.read_csv(source, sep="\t", dtype={"user_id:token": str, "item_id:token": str})
    frame = frame[frame["user_id:token"].isin(frame["user_id:token"].unique()[:60])]
    folder = tmp_path_factory.mktemp("ml")
    write_frame(folder, frame, "cut")
    write_frame(folder, with_ranks(frame), "ranked")
    return folder


def assert_same_as_recbole(splits, theirs):
    for own, other in zip(splits, theirs, strict=True):
        assert len(own) == len(other) > 0
        assert Counter(id_rows(own)) == Counter(id_rows(other))


# Against RecBole's own data set


@pytest.mark.parametrize("train_mode", ["packed", "pairwise"])
def test_ids_and_rows_are_recboles_on_tiny(tiny_path, recbole_splits, train_mode):
    write_frame(tiny_path, with_ranks(pd.read_csv(tiny_path / "tiny" / "tiny.inter", sep="\t")), "ranked")
    theirs, their_splits = recbole_splits(tiny_path, "ranked", MAX_ITEM_LIST_LENGTH=50)
    own = experiment_on(tiny_path, "tiny", train_mode=train_mode)
    assert_same_as_recbole(own.splits, their_splits)
    for field in ("user_id", "item_id"):
        assert own.dataset.field2id_token[field].tolist() == theirs.field2id_token[field].tolist()


@pytest.mark.parametrize("max_length", [50, 7])
def test_ids_and_rows_are_recboles_on_ml_100k(ml_cut, recbole_splits, max_length):
    theirs, their_splits = recbole_splits(ml_cut, "ranked", MAX_ITEM_LIST_LENGTH=max_length)
    for name in ("ranked", "cut"):
        own = experiment_on(ml_cut, name, MAX_ITEM_LIST_LENGTH=max_length)
        assert_same_as_recbole(own.splits, their_splits)
        for field in ("user_id", "item_id"):
            assert own.dataset.field2id_token[field].tolist() == theirs.field2id_token[field].tolist()
    assert max(len(history) for _, history, _ in id_rows(own.splits[2])) == max_length


def test_pairwise_rows_are_the_packed_rows(ml_cut):
    packed, pairwise = (experiment_on(ml_cut, "cut", train_mode=mode).splits for mode in ("packed", "pairwise"))
    assert_same_as_recbole(packed, pairwise)
    # In RecBole's form: all padded to one width.
    assert pairwise[0].inter_feat["item_id_list"].shape == (len(pairwise[0]), 50)


def test_pairwise_rows_are_the_packed_rows_of_presplit_files(tmp_path):
    write_split(tmp_path, split_parts(random_interactions()))
    packed, pairwise = (experiment_on(tmp_path, train_mode=mode).splits for mode in ("packed", "pairwise"))
    assert_same_as_recbole(packed, pairwise)


def filtered_data(folder) -> list:
    """Users of 1 to 25 interactions over items of all popularities, some pairs twice; times are small and unique."""
    draw = np.random.default_rng(5)
    users = np.repeat(np.arange(60), draw.integers(1, 26, 60))
    items = np.minimum(draw.pareto(0.7, len(users)).astype(int), 60)
    times = draw.permutation(len(users))
    rows = [(f"u{user}", f"i{item}", time) for user, item, time in zip(users, items, times, strict=True)]
    write_single(folder, [rows[index] for index in draw.permutation(len(rows))])
    write_lines(
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
def test_filters_leave_what_recboles_leave(tmp_path, recbole_splits, model, filters):
    filtered_data(tmp_path)
    theirs, their_splits = recbole_splits(tmp_path, "shop", **filters)
    own = experiment_on(tmp_path, model=model, **filters)
    assert_same_as_recbole(own.splits, their_splits)
    assert set(own.dataset.field2id_token) == set(theirs.field2id_token)
    for field, tokens in theirs.field2id_token.items():
        assert own.dataset.field2id_token[field].tolist() == tokens.tolist()
        assert own.dataset.field2token_id[field] == theirs.field2token_id[field]
    if theirs.item_feat is not None:
        for field in theirs.item_feat.columns:
            assert own.dataset.item_feat[field].tolist() == theirs.item_feat[field].tolist()


@pytest.mark.parametrize("mode", ["valid_and_test", "valid_only", "test_only"])
@pytest.mark.parametrize("model", ["MPORec", "SASRec"])
def test_leave_one_out_is_recboles_row_by_row(tmp_path, model, mode):
    """On the same rows, RecBole's own method and ours: equal splits, in equal order."""
    filtered_data(tmp_path)
    dataset = experiment_on(tmp_path, model=model).dataset
    dataset.build()
    own, theirs = dataset.leave_one_out("user_id", mode), SequentialDataset.leave_one_out(dataset, "user_id", mode)
    for one, other in zip(own, theirs, strict=True):
        assert one.inter_feat.columns == other.inter_feat.columns
        for field in one.inter_feat.columns:
            assert one.inter_feat[field].tolist() == other.inter_feat[field].tolist()
            assert one.inter_feat[field].dtype == other.inter_feat[field].dtype


def test_an_unknown_way_to_leave_one_out_is_an_error(tmp_path):
    write_single(tmp_path, random_interactions())
    with pytest.raises(ConfigError, match="leave_one_mode.*train_only"):
        experiment_on(tmp_path, eval_args={"split": {"LS": "train_only"}}).splits  # noqa: B018


# Histories and their order


@pytest.mark.parametrize("train_mode", ["packed", "pairwise"])
def test_long_histories_keep_their_newest_items(tmp_path, train_mode):
    write_single(tmp_path, [("u", f"i{step}", step) for step in range(20)])
    splits = experiment_on(tmp_path, train_mode=train_mode, MAX_ITEM_LIST_LENGTH=5).splits
    assert token_rows(splits[2]) == [("u", ("i14", "i15", "i16", "i17", "i18"), "i19")]
    assert token_rows(splits[1]) == [("u", ("i13", "i14", "i15", "i16", "i17"), "i18")]
    assert Counter(token_rows(splits[0])) == leave_one_out(
        [("u", f"i{step}", step) for step in range(20)], max_length=5
    )[0]


@pytest.mark.parametrize(("model", "settings"), [
    ("MPORec", {"train_mode": "packed"}),
    ("MPORec", {"train_mode": "pairwise"}),
    ("SASRec", {}),
], ids=["packed", "pairwise", "RecBole's SASRec"])  # fmt: skip
@pytest.mark.parametrize(("begin", "step"), [(1_700_000_000, 1), (1_700_000_000_000, 1), (1.7e9, 0.25)])
def test_times_that_float32_would_merge_keep_their_order(tmp_path, model, settings, begin, step):
    """1 s, 1 ms and 250 ms apart; the spacing of float32 there is 128 s or more. The file counts backwards."""
    items = [f"i{number}" for number in np.random.default_rng(0).permutation(9)]
    write_single(tmp_path, [("u", item, begin + step * place) for place, item in enumerate(items)][::-1])
    splits = experiment_on(tmp_path, model=model, **settings).splits
    assert token_rows(splits[2]) == [("u", tuple(items[:8]), items[8])]
    assert token_rows(splits[1]) == [("u", tuple(items[:7]), items[7])]
    assert Counter(token_rows(splits[0])) == Counter(("u", tuple(items[:end]), items[end]) for end in range(1, 7))


@pytest.mark.parametrize("train_mode", ["packed", "pairwise"])
def test_equal_times_keep_the_order_of_the_file(tmp_path, train_mode):
    """Interleaved users, enough rows that an unstable sort would show."""
    rows = [(f"u{number % 3}", f"i{number}", 1_700_000_000) for number in range(150)]
    write_single(tmp_path, rows)
    splits = experiment_on(tmp_path, train_mode=train_mode).splits
    for split, expected in zip(splits, leave_one_out(rows), strict=True):
        assert Counter(token_rows(split)) == expected


@pytest.mark.parametrize("train_mode", ["packed", "pairwise"])
@pytest.mark.parametrize("seed", range(3))
def test_rows_are_what_a_loop_over_sorted_histories_gives(tmp_path, train_mode, seed):
    rows = random_interactions(seed)
    write_single(tmp_path, rows)
    splits = experiment_on(tmp_path, train_mode=train_mode).splits
    for split, expected in zip(splits, leave_one_out(rows), strict=True):
        assert Counter(token_rows(split)) == expected


def test_rows_for_an_index_are_left_aligned_and_padded_to_the_longest(tmp_path):
    rows = [("u", f"i{step}", step) for step in range(6)] + [("v", f"i{step}", step) for step in range(4)]
    write_single(tmp_path, rows)
    train = experiment_on(tmp_path).splits[0]
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


def test_evaluation_rows_stand_by_length_so_that_batches_need_little_padding(tmp_path):
    write_single(tmp_path, random_interactions())
    for split in experiment_on(tmp_path).splits[1:]:
        lengths = split.inter_feat["item_length"].tolist()
        assert lengths == sorted(lengths)


# Pre-split files


def split_parts(interactions, max_length=50) -> dict[str, list]:
    """Official-looking files: per user all prefixes but the last two, the last but one, the last; newest first."""
    parts: dict = {"train": [], "valid": [], "test": []}
    histories: dict = {}
    for user, item, _ in interactions:
        histories.setdefault(user, []).append(item)
    for user, items in histories.items():
        rows = [(user, items[max(0, end - max_length) : end], items[end]) for end in range(1, len(items))]
        parts["train"] += rows[:-2][::-1]
        parts["valid"].append(rows[-2])
        parts["test"].append(rows[-1])
    return parts


def expected_rows(parts, max_length=50) -> list[Counter]:
    return [
        Counter((user, tuple(history[-max_length:]), target) for user, history, target in parts[part])
        for part in ("train", "valid", "test")
    ]


def reordered(parts, order) -> dict:
    if order == "descending":
        return parts
    if order == "ascending":
        return {part: rows[::-1] for part, rows in parts.items()}
    draw = np.random.default_rng(1)
    return {part: [rows[index] for index in draw.permutation(len(rows))] for part, rows in parts.items()}


@pytest.mark.parametrize("model", ["MPORec", "SASRec"])
@pytest.mark.parametrize("order", ["descending", "ascending", "shuffled"])
def test_presplit_rows_are_the_lines_of_the_files(tmp_path, model, order):
    """A user of 130 items, so that most of its rows stand cut to 50 in the file and continue one another there."""
    parts = reordered(split_parts(random_interactions(longest=130)), order)
    write_split(tmp_path, parts)
    splits = experiment_on(tmp_path, model=model).splits
    for split, expected in zip(splits, expected_rows(parts), strict=True):
        assert Counter(token_rows(split)) == expected


@pytest.mark.parametrize("order", ["descending", "ascending"])
def test_rows_that_continue_one_another_share_their_items(tmp_path, order):
    """What makes packing possible: each user's rows become one flat history, cut rows in the file or not."""
    interactions = random_interactions(longest=130)
    write_split(tmp_path, reordered(split_parts(interactions), order))
    assert len(experiment_on(tmp_path).splits[0].flat_items) == len(interactions)


@pytest.mark.parametrize("train_mode", ["packed", "pairwise"])
def test_histories_that_stand_uncut_in_the_files_are_cut_to_the_newest(tmp_path, train_mode):
    parts = split_parts(random_interactions(longest=90), max_length=1000)
    write_split(tmp_path, parts)
    splits = experiment_on(tmp_path, train_mode=train_mode, MAX_ITEM_LIST_LENGTH=20).splits
    for split, expected in zip(splits, expected_rows(parts, 20), strict=True):
        assert Counter(token_rows(split)) == expected


def test_rows_that_do_not_continue_one_another_keep_their_own_history(tmp_path):
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
    write_split(tmp_path, parts)
    experiment = experiment_on(tmp_path)
    for split, expected in zip(experiment.splits, expected_rows(parts), strict=True):
        assert Counter(token_rows(split)) == expected
    # And what is trained on is the same.
    train = experiment.splits[0]
    items, found = train.field2id_token["item_id"], Counter()
    for batch in experiment.loaders[0]:
        packed, positions = batch.items.flatten().numpy(), batch.positions.flatten().tolist()
        for index, target in zip(batch.predicting.tolist(), batch.targets.tolist(), strict=True):
            found[tuple(items[packed[index - positions[index] : index + 1]]), items[target]] += 1
    assert found == Counter((tuple(history), target) for _, history, target in parts["train"])


@pytest.mark.parametrize("max_length", [50, 3])
def test_presplit_ids_are_recboles_even_where_histories_are_cut(tmp_path, recbole_splits, max_length):
    """Items number by appearance in the files; one that stands only in the part cut off is still a candidate."""
    parts = {
        "train": [("u", ["old", "a", "b", "c"], "d"), ("v", ["b", "a"], "c")],
        "valid": [("u", ["older", "a", "b", "c", "d"], "e")],
        "test": [("u", ["a", "b", "c", "d", "e"], "f")],
    }
    write_split(tmp_path, parts)
    theirs, _ = recbole_splits(
        tmp_path,
        "shop",
        benchmark_filename=["train", "valid", "test"],
        alias_of_item_id=["item_id_list"],
        load_col={"inter": ["user_id", "item_id_list", "item_id"]},
    )
    own = experiment_on(tmp_path, MAX_ITEM_LIST_LENGTH=max_length)
    for field in ("user_id", "item_id"):
        assert own.dataset.field2id_token[field].tolist() == theirs.field2id_token[field].tolist()
    for split, expected in zip(own.splits, expected_rows(parts, max_length), strict=True):
        assert Counter(token_rows(split)) == expected


@pytest.mark.parametrize("train_mode", ["packed", "pairwise"])
def test_a_row_without_history_names_file_and_line(tmp_path, train_mode):
    parts = split_parts(random_interactions())
    parts["valid"][2] = ("u9", [], "i1")
    write_split(tmp_path, parts)
    with pytest.raises(DataError, match=r"shop\.valid\.inter, line 4: column 'item_id_list' is empty"):
        experiment_on(tmp_path, train_mode=train_mode).splits  # noqa: B018


def file_rows(path) -> Counter:
    lines = path.read_text(encoding="utf-8").splitlines()[1:]
    return Counter((user, tuple(history.split()), target) for user, history, target in (x.split("\t") for x in lines))


def test_scientific_is_read_line_by_line(shared_data):
    """Counts: 8,442 users, 34,101 training rows, 4,385 items, of which 12 never occur in training."""
    experiment = experiment_on(shared_data, "Scientific")
    splits = experiment.splits
    assert [len(split) for split in splits] == [34_101, 8_442, 8_442]
    for part, split in zip(("train", "valid", "test"), splits, strict=True):
        assert Counter(token_rows(split)) == file_rows(shared_data / "Scientific" / f"Scientific.{part}.inter")
    assert experiment.dataset.user_num == 8_442 + 1
    assert experiment.dataset.item_num == 4_385 + 1
    trained = {item for _, history, target in id_rows(splits[0]) for item in (*history, target)}
    unseen = experiment.dataset.field2id_token["item_id"][sorted(set(range(1, 4_386)) - trained)]
    assert sorted(unseen, key=int) == "1397 1407 2567 2635 2752 2966 3088 3528 3575 3961 4156 4250".split()
    assert experiment.dataset.field2id_token["item_id"][:5].tolist() == ["[PAD]", "11", "10", "9", "8"]


# Candidates


@pytest.mark.parametrize("model", ["MPORec", "SASRec"])
def test_item_and_text_files_add_no_candidates(tmp_path, model):
    write_single(tmp_path, random_interactions())
    before = experiment_on(tmp_path, model=model).dataset.field2id_token["item_id"].tolist()
    write_lines(tmp_path / "shop" / "shop.item", "item_id:token\ttitle:token_seq", [(f"x{n}", "t") for n in range(9)])
    write_lines(tmp_path / "shop" / "shop.text", "item_id:token\ttext:token_seq", [(f"x{n}", "t") for n in range(9)])
    write_lines(tmp_path / "shop" / "shop.user", "user_id:token\tage:token", [("nobody", "9")])
    after = experiment_on(tmp_path, model=model).dataset
    assert after.field2id_token["item_id"].tolist() == before
    assert after.item_num == len({item for _, item, _ in random_interactions()}) + 1


def test_items_of_valid_and_test_alone_are_candidates(tmp_path):
    write_single(tmp_path, [(user, f"{user}{step}", step) for user in "uv" for step in range(5)])
    experiment = experiment_on(tmp_path)
    trained = {item for _, history, target in token_rows(experiment.splits[0]) for item in (*history, target)}
    assert set(experiment.dataset.field2id_token["item_id"][1:]) - trained == {"u3", "u4", "v3", "v4"}


# Too little data


@pytest.mark.parametrize("model", ["MPORec", "SASRec"])
def test_users_with_one_interaction_are_counted_and_the_first_is_named(tmp_path, caplog, model):
    rows = random_interactions() + [("lonely", "i0", 1), ("alone", "i1", 2)]
    write_single(tmp_path, rows)
    with caplog.at_level(logging.WARNING):
        splits = experiment_on(tmp_path, model=model).splits
    (warning,) = [entry.getMessage() for entry in caplog.records if "one interaction" in entry.getMessage()]
    assert "2 of 14 users" in warning and "'lonely'" in warning and "left out" in warning
    for split, expected in zip(splits, leave_one_out(rows), strict=True):
        assert Counter(token_rows(split)) == expected


def test_no_warning_where_every_user_has_two(tmp_path, caplog):
    write_single(tmp_path, random_interactions())
    with caplog.at_level(logging.WARNING):
        experiment_on(tmp_path).splits  # noqa: B018
    assert "one interaction" not in caplog.text


@pytest.mark.parametrize("model", ["MPORec", "SASRec"])
@pytest.mark.parametrize(("length", "empty"), [(1, "train"), (2, "valid"), (3, "valid")])
def test_histories_too_short_for_three_splits_are_an_error(tmp_path, model, length, empty):
    write_single(tmp_path, [(f"u{user}", f"i{step}", step) for user in range(3) for step in range(length)])
    with pytest.raises(DataError, match=rf"the {empty} split of shop is empty \(shop\.inter\).*at least 4 inter"):
        experiment_on(tmp_path, model=model).splits  # noqa: B018


@pytest.mark.parametrize("empty", ["train", "valid", "test"])
def test_a_presplit_file_without_rows_is_an_error(tmp_path, empty):
    write_split(tmp_path, {**split_parts(random_interactions()), empty: []})
    with pytest.raises(DataError, match=rf"the {empty} split of shop is empty \(shop\.train.inter, .*one row each"):
        experiment_on(tmp_path).splits  # noqa: B018


def test_an_interaction_file_without_rows_is_an_error(tmp_path):
    write_single(tmp_path, [])
    with pytest.raises(DataError, match=r"shop\.inter holds no rows"):
        experiment_on(tmp_path).splits  # noqa: B018


@pytest.mark.parametrize(("mode", "empty"), [("valid_only", 2), ("test_only", 1)])
def test_a_split_that_was_not_asked_for_may_be_empty(tmp_path, mode, empty):
    write_single(tmp_path, random_interactions())
    splits = experiment_on(tmp_path, eval_args={"split": {"LS": mode}}).splits
    assert [len(split) == 0 for split in splits] == [number == empty for number in range(3)]


def test_a_missing_column_is_named(tmp_path):
    write_lines(tmp_path / "shop" / "shop.inter", "user_id:token\tasin:token\ttime:float", [("u", "i", 1)])
    with pytest.raises(DataError, match=r"shop\.inter has no column .*its columns are user_id, asin, time"):
        experiment_on(tmp_path).dataset  # noqa: B018


@pytest.mark.parametrize("model", ["MPORec", "SASRec"])
def test_interactions_without_times_are_refused(tmp_path, model):
    write_single(tmp_path, random_interactions())
    with pytest.raises(DataError, match=r"shop.*no times.*TIME_FIELD 'timestamp'.*load_col"):
        experiment_on(tmp_path, model=model, load_col={"inter": ["user_id", "item_id"]}).splits  # noqa: B018


def test_a_list_of_numbers_with_a_word_in_it_names_file_and_line(tmp_path):
    rows = [("u", "a", 1, "0.5 1"), ("u", "b", 2, ""), ("u", "c", 3, "0.5 one")]
    write_lines(tmp_path / "shop" / "shop.inter", SINGLE_HEADER + "\tvector:float_seq", rows)
    with pytest.raises(DataError, match=r"shop\.inter, line 4: column 'vector': .*'one'"):
        experiment_on(tmp_path, load_col={"inter": "*"}).dataset  # noqa: B018


def test_other_column_names_can_be_set(tmp_path):
    rows = random_interactions()
    write_lines(tmp_path / "shop" / "shop.inter", "user:token\tasin:token\ttime:float", rows)
    names = {"USER_ID_FIELD": "user", "ITEM_ID_FIELD": "asin", "TIME_FIELD": "time"}
    splits = experiment_on(tmp_path, **names).splits
    assert [len(split) for split in splits] == [expected.total() for expected in leave_one_out(rows)]


# A user's history


def test_a_users_history_comes_back_in_tokens(tmp_path):
    rows = random_interactions()
    write_single(tmp_path, rows)
    experiment = experiment_on(tmp_path, MAX_ITEM_LIST_LENGTH=5)
    experiment.splits  # noqa: B018
    in_order = sorted((row for row in rows if row[0] == "u3"), key=lambda row: row[2])
    assert experiment.dataset.history_tokens("u3") == [item for _, item, _ in in_order]


def test_the_history_of_an_unknown_user_or_of_one_interaction_is_an_error(tmp_path):
    write_single(tmp_path, random_interactions() + [("lonely", "i0", 1)])
    experiment = experiment_on(tmp_path)
    experiment.splits  # noqa: B018
    with pytest.raises(DataError, match="user 'nobody' is not in the interactions of shop"):
        experiment.dataset.history_tokens("nobody")
    with pytest.raises(DataError, match="user 'lonely' .*one interaction"):
        experiment.dataset.history_tokens("lonely")

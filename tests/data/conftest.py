"""A dataset ``shop`` that the tests of this room write themselves, and what a loop over its rows gives."""

import os
import sys
from collections import Counter
from functools import cached_property
from importlib import resources
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import recbole.config.configurator as recbole_configurator
from recbole.data.dataset import SequentialDataset

from recbole_mpo.common.recbole_globals import restore_numpy_names, sequential_models
from recbole_mpo.quick_start.experiment import Experiment

SINGLE_HEADER = "user_id:token\titem_id:token\ttimestamp:float"
SPLIT_HEADER = "user_id:token\titem_id_list:token_seq\titem_id:token"
LEAVE_ONE_OUT = {"split": {"LS": "valid_and_test"}, "order": "TO", "group_by": "user", "mode": "full"}


class Opened:
    """A dataset as a model takes it, each part made when it is asked for."""

    def __init__(self, experiment: Experiment):
        self.experiment, self.config = experiment, experiment.config

    @cached_property
    def dataset(self):
        return self.experiment.spec.dataset_class(self.config)

    @cached_property
    def splits(self):
        return self.dataset.build()


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


def open_dataset(data_path, name="shop", model="MPORec", **settings) -> Opened:
    if model == "MPORec":
        settings = {"item_input": "id", **settings}
    overrides = {"data_path": str(data_path), "use_gpu": False, "show_progress": False, **settings}
    return Opened(Experiment.of(model, name, (), overrides))


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
        prefixes = [(user, tuple(items[max(0, end - max_length) : end]), items[end]) for end in range(1, len(items))]
        held_out = min(2, max(len(prefixes) - 1, 0))
        first = len(prefixes) - held_out
        splits[0].update(prefixes[:first])
        for split, row in zip(splits[3 - held_out :], prefixes[first:], strict=True):
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


def with_ranks(frame):
    """RecBole rounds times to float32, 64 s apart in 1997 and 128 s today; ranks are exact and sort as intended."""
    return frame.assign(**{"timestamp:float": frame["timestamp:float"].rank(method="dense").astype(int)})


def write_frame(data_path, frame, name):
    (data_path / name).mkdir()
    frame.to_csv(data_path / name / f"{name}.inter", sep="\t", index=False)


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


@pytest.fixture
def data():
    """The functions above, for tests in other files."""
    functions = (write_lines, write_single, write_split, open_dataset, id_rows, token_rows, leave_one_out)
    more = (random_interactions, with_ranks, write_frame, split_parts, expected_rows)
    return SimpleNamespace(**{function.__name__: function for function in (*functions, *more)})


@pytest.fixture
def recbole_splits(monkeypatch):
    """The dataset and its splits as RecBole makes them, with RecBole's own Config (and nothing left of it)."""

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
        # Its own way of naming numpy's types works with numpy 1 alone.
        monkeypatch.setattr(recbole_configurator.Config, "compatibility_settings", lambda _: restore_numpy_names())
        config = recbole_configurator.Config(sequential_models().SASRec, name, config_dict=settings)
        dataset = SequentialDataset(config)
        return dataset, dataset.build()

    return build


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

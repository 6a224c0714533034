"""What tests of several rooms build on; fixtures are in conftest.py."""

import math
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from recbole_mpo.quick_start.experiment import Experiment
from recbole_mpo.release.exact_top import exact_scores


class LetterEncoder:
    """A text encoder without a model, the same for all datasets: how often a text has some letters and digits."""

    name, needs_fit = "letters", False

    def fingerprint(self):
        return {"encoder": self.name}

    def encode(self, texts):
        return np.array([[text.count(letter) for letter in "abcdefghij0123456789"] for text in texts], np.float32)

    @classmethod
    def replace_all(cls, monkeypatch):
        """Use it whatever encoder the settings name."""
        monkeypatch.setattr("recbole_mpo.text.item_features.encoders_of", lambda config: [cls()])


class BuiltRun:
    """An experiment, its data, and one model of it."""

    def __init__(self, experiment: Experiment):
        self.experiment = experiment
        self.spec, self.config = experiment.spec, experiment.config

    @property
    def dataset(self):
        return self.experiment.data.dataset

    @property
    def splits(self):
        return self.experiment.data.splits

    @property
    def loaders(self):
        return self.experiment.data.loaders

    @cached_property
    def model(self):
        return self.experiment.build_model()

    def trainer(self, folder):
        """Return a trainer of the model."""
        return self.experiment.trainer(self.model, folder)


class RestoredRun(BuiltRun):
    """An experiment with the model of a checkpoint."""

    def __init__(self, path, overrides=None):
        experiment, self.model, self.state = Experiment.from_checkpoint(path, overrides)
        super().__init__(experiment)


def built_run(model: str, dataset: str, config_files=(), overrides=None) -> BuiltRun:
    """Return a run of these settings, its parts made on first use."""
    return BuiltRun(Experiment.of(model, dataset, config_files, overrides))


STAGE_KEYS = ("data_path", "checkpoint_dir", "show_progress", "use_gpu", "seed", "hidden_size", "inner_size")


def two_stage_settings(tiny_settings: dict) -> dict:
    """Return settings of a short run of S3Rec or S3RecFixed on ``tiny``."""
    # No history of tiny is longer; RecBole's time goes with the length of its rows.
    shared = {**{key: tiny_settings[key] for key in STAGE_KEYS}, "MAX_ITEM_LIST_LENGTH": 15}
    return {**shared, "train_batch_size": 64, "pretrain_batch_size": 32, "pretrain_epochs": 2, "epochs": 2}


def folder_of(record: dict) -> Path:
    """Return a run's folder."""
    return Path(record["config"]["checkpoint_dir"]) / record["run_id"]


def numbers(record: dict) -> dict:
    """Return what a run computed: its metrics, and losses and metrics of each epoch."""
    history = [(epoch["epoch"], epoch["train_loss"], epoch["valid"]) for epoch in record["history"]]
    return {**{key: record[key] for key in ("valid", "test", "best_epoch", "epochs_run")}, "history": history}


@contextmanager
def interrupted_in(interrupted: int):
    """End what runs in the block by Ctrl-C at the end of an epoch, before its checkpoint is written."""

    def interrupt(model, epoch):
        if epoch == interrupted:
            raise KeyboardInterrupt

    with mock.patch("recbole_mpo.trainer.finite.check_weights", interrupt), pytest.raises(KeyboardInterrupt):
        yield


def best_by_hand(vectors, queries, topk, excluded=()):
    """Rows and scores of the best candidates: exact scores of all, sorted by score and row."""
    count = len(vectors)
    rows, scores = [], []
    for number, query in enumerate(queries):
        left = sorted(set(range(1, count)) - set(excluded[number].tolist() if excluded else ()))
        values = exact_scores(query.expand(len(left), -1), vectors[left]).tolist()
        best = sorted(zip(values, left, strict=True), key=lambda pair: (-pair[0], pair[1]))[:topk]
        missing = min(topk, count) - len(best)
        rows.append([row for _, row in best] + [0] * missing)
        scores.append([score for score, _ in best] + [-math.inf] * missing)
    return rows, scores

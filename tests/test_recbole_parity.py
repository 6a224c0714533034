"""RecBole's models through this package give RecBole's own losses and metrics, seed by seed.

The oracle is RecBole's pipeline put together by hand: its quick start imports ray. In two things it does as this
package does: times are ranks, because RecBole sorts them as float32, and training starts from the seed anew once the
model is built.
"""

import copy
import importlib.util
import itertools
import string
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.trainer import S3RecTrainer, Trainer
from recbole.utils import init_seed

from recbole_mpo.common.recbole_globals import restore_numpy_names, sequential_models
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.trainer import checkpoint

USERS = 30
# Small enough for a second, wide enough that dropout, masks and order all matter.
SETTINGS = {
    "hidden_size": 16,
    "inner_size": 16,
    "epochs": 1,
    "train_batch_size": 256,
    "seed": 11,
    "metrics": ["Hit", "NDCG", "MRR"],
    "topk": [10, 50],
    "valid_metric": "NDCG@10",
    "show_progress": False,
    "use_gpu": False,
}


def ml_100k(ending):
    wheel = Path(importlib.util.find_spec("recbole").submodule_search_locations[0])
    return wheel / "dataset_example" / "ml-100k" / f"ml-100k.{ending}"


@pytest.fixture
def cut(tmp_path):
    """The first users of ml-100k, each one's ratings numbered in order of time."""
    frame = pd.read_csv(ml_100k("inter"), sep="\t")
    user, item, _, time = frame.columns
    frame = frame[frame[user].isin(frame[user].unique()[:USERS])].sort_values(time, kind="stable")
    frame[time] = range(len(frame))
    folder = tmp_path / "data" / "cut"
    folder.mkdir(parents=True)
    frame[[user, item, time]].to_csv(folder / "cut.inter", sep="\t", index=False)
    return tmp_path / "data"


def recboles_parts(name, data_path, monkeypatch, **changes):
    """Settings, loaders and model of RecBole's own pipeline, all made from the seed."""
    monkeypatch.setattr(sys, "argv", ["recbole"])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    settings = {
        **SETTINGS,
        "data_path": str(data_path),
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "MAX_ITEM_LIST_LENGTH": 50,
        "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "group_by": "user", "mode": "full"},
        "train_neg_sample_args": None,
        "eval_batch_size": 2048,
        "metric_decimal_place": 12,
        **changes,
    }
    # Before RecBole's Config imports it, which would turn on autograd's anomaly detection.
    model_class = getattr(sequential_models(), name)
    # Its own way of naming numpy's types works with numpy 1 alone.
    monkeypatch.setattr(Config, "compatibility_settings", lambda _: restore_numpy_names())
    config = Config(model=name, dataset="cut", config_dict=settings)
    init_seed(config["seed"], config["reproducibility"])
    loaders = data_preparation(config, create_dataset(config))
    init_seed(config["seed"], config["reproducibility"])
    model = model_class(config, loaders[0].dataset).to(config["device"])
    return config, loaders, model


def recboles_own(trainer_class, config, loaders, model):
    """(mean loss of each epoch, valid metrics, test metrics), the metrics of the best epoch."""
    train, valid, test = loaders
    trainer = trainer_class(config, model)
    best = {}

    def keep_the_best(_, score):
        if score > best.get("score", -1):
            best.update(score=score, weights=copy.deepcopy(model.state_dict()))

    init_seed(config["seed"], config["reproducibility"])
    trainer.fit(train, valid, saved=False, verbose=False, callback_fn=keep_the_best)
    model.load_state_dict(best["weights"])
    results = [dict(trainer.evaluate(data, load_best_model=False)) for data in (valid, test)]
    return [loss / len(train) for loss in trainer.train_loss_dict.values()], *results


def assert_same_run(record, losses, valid, test):
    assert [epoch["train_loss"] for epoch in record["history"]] == pytest.approx(losses, rel=1e-6)
    for ours, theirs in ((record["valid"], valid), (record["test"], test)):
        assert ours == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize("name", ["SASRec", "BERT4Rec"])
def test_a_run_is_recboles_own(name, cut, tmp_path, monkeypatch):
    theirs = recboles_own(Trainer, *recboles_parts(name, cut, monkeypatch))
    record = run(
        name,
        "cut",
        (),
        {**SETTINGS, "data_path": str(cut), "checkpoint_dir": str(tmp_path / "saved"), "trim_batches": False},
    )
    assert_same_run(record, *theirs)


def keep_first_ratings(folder, count):
    """Pre-training is slow: RecBole makes lists of all attributes at all positions."""
    frame = pd.read_csv(folder / "cut.inter", sep="\t")
    frame.groupby(frame.columns[0]).head(count).to_csv(folder / "cut.inter", sep="\t", index=False)


def write_genres(folder):
    """The items' genres as a ``.text`` of one sentence an item, and as the ``.item`` file RecBole would read.

    Genres are called by words whose alphabetical order is RecBole's: that of appearance. Those of fewer than five
    items stand in ``.text`` alone.
    """
    genres_of = dict(pd.read_csv(ml_100k("item"), sep="\t").iloc[:, [0, 3]].values)
    items = pd.read_csv(folder / "cut.inter", sep="\t").iloc[:, 1].unique()
    rows = [(item, genres_of[item].split()) for item in items]
    counts = pd.Series([genre for _, genres in rows for genre in genres]).value_counts()
    codes = map("".join, itertools.product(string.ascii_lowercase, repeat=3))
    code_of = {genre: next(codes) for genre in dict.fromkeys(genre for _, genres in rows for genre in genres)}
    assert 0 < (counts < 5).sum() < 5 and counts.max() <= len(items) / 2
    with open(folder / "cut.text", "w") as text, open(folder / "cut.item", "w") as item_file:
        text.write("item_id:token\ttext:token_seq\n")
        item_file.write("item_id:token\tclass:token_seq\n")
        for item, genres in rows:
            text.write(f"{item}\t{' '.join(code_of[genre] for genre in genres)}\n")
            item_file.write(f"{item}\t{' '.join(code_of[genre] for genre in genres if counts[genre] >= 5)}\n")


def test_both_stages_of_s3rec_are_recboles_own_two_runs(cut, tmp_path, monkeypatch):
    keep_first_ratings(cut / "cut", 15)
    write_genres(cut / "cut")
    columns = {"inter": ["user_id", "item_id", "timestamp"], "item": ["item_id", "class"]}
    stages = {"epochs": 2, "pretrain_epochs": 2, "load_col": columns}
    config, loaders, model = recboles_parts("S3Rec", cut, monkeypatch, **stages, train_batch_size=100)
    trainer = S3RecTrainer(config, model)
    init_seed(config["seed"], config["reproducibility"])
    trainer.fit(loaders[0], verbose=False)
    pretraining = [loss / len(loaders[0]) for loss in trainer.train_loss_dict.values()]
    torch.save({"state_dict": model.state_dict()}, tmp_path / "theirs.pth")
    stages |= {"train_stage": "finetune", "pre_model_path": str(tmp_path / "theirs.pth")}
    theirs = recboles_own(S3RecTrainer, *recboles_parts("S3Rec", cut, monkeypatch, **stages))

    (cut / "cut" / "cut.item").unlink()
    ours = {"epochs": 2, "pretrain_epochs": 2, "pretrain_batch_size": 100, "data_path": str(cut)}
    record = run("S3Rec", "cut", (), {**SETTINGS, **ours, "checkpoint_dir": str(tmp_path / "saved")})
    assert [epoch["train_loss"] for epoch in record["pretraining"]] == pytest.approx(pretraining, rel=1e-6)
    assert_same_run(record, *theirs)
    weights = checkpoint.load_checkpoint(tmp_path / "saved" / record["run_id"] / "pretrained.pth")["state_dict"]
    torch.testing.assert_close(weights, torch.load(tmp_path / "theirs.pth")["state_dict"], rtol=1e-5, atol=1e-6)

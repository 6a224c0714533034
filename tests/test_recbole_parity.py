"""RecBole's models through this package give RecBole's own losses and metrics, seed by seed.

The oracle is RecBole's pipeline put together by hand: its quick start imports ray. In two things it does as this
package does: times are ranks, because RecBole sorts them as float32, and training starts from the seed anew once the
model is built.
"""

import importlib.util
import sys
from pathlib import Path

import pandas as pd
import pytest
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.trainer import Trainer
from recbole.utils import init_seed

from recbole_mpo.quick_start import run
from recbole_mpo.recbole_globals import sequential_models

USERS = 60
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


@pytest.fixture
def cut(tmp_path):
    """The first users of ml-100k, each one's ratings numbered in order of time."""
    wheel = Path(importlib.util.find_spec("recbole").submodule_search_locations[0])
    frame = pd.read_csv(wheel / "dataset_example" / "ml-100k" / "ml-100k.inter", sep="\t")
    user, item, _, time = frame.columns
    frame = frame[frame[user].isin(frame[user].unique()[:USERS])].sort_values(time, kind="stable")
    frame[time] = range(len(frame))
    folder = tmp_path / "data" / "cut"
    folder.mkdir(parents=True)
    frame[[user, item, time]].to_csv(folder / "cut.inter", sep="\t", index=False)
    return tmp_path / "data"


def recboles_own(name, data_path, monkeypatch):
    """(summed loss of the epoch, valid metrics, test metrics) of RecBole's own pipeline."""
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
    }
    config = Config(model=name, dataset="cut", config_dict=settings)
    init_seed(config["seed"], config["reproducibility"])
    train, valid, test = data_preparation(config, create_dataset(config))
    init_seed(config["seed"], config["reproducibility"])
    model = getattr(sequential_models(), name)(config, train.dataset).to(config["device"])
    trainer = Trainer(config, model)
    init_seed(config["seed"], config["reproducibility"])
    trainer.fit(train, valid, saved=False, verbose=False)
    results = [trainer.evaluate(data, load_best_model=False) for data in (valid, test)]
    return trainer.train_loss_dict[0] / len(train), *results


@pytest.mark.parametrize("name", ["SASRec", "BERT4Rec"])
def test_a_run_is_recboles_own(name, cut, tmp_path, monkeypatch):
    loss, valid, test = recboles_own(name, cut, monkeypatch)
    record = run(
        name,
        "cut",
        (),
        {**SETTINGS, "data_path": str(cut), "checkpoint_dir": str(tmp_path / "saved"), "trim_batches": False},
    )
    assert record["history"][0]["train_loss"] == pytest.approx(loss, rel=1e-6)
    for ours, theirs in ((record["valid"], valid), (record["test"], test)):
        assert ours == pytest.approx(dict(theirs), abs=1e-9)

"""RecBole's S3Rec as one model of two stages: how it is built, what it may start from, and what is refused."""

from pathlib import Path

import pytest
import torch
from recbole.model.loss import BPRLoss
from support import STAGE_KEYS, built_run, folder_of, two_stage_settings
from torch import nn

from recbole_mpo.common.errors import CheckpointError, ConfigError
from recbole_mpo.model.abstract_recommender import PretrainedWeights
from recbole_mpo.model.baselines.recbole_s3rec import pretraining_epochs
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.trainer import checkpoint


@pytest.fixture
def settings(tiny_settings):
    return two_stage_settings(tiny_settings)


@pytest.mark.parametrize("stage", [{}, {"train_stage": "pretrain"}, {"train_stage": "finetune", "pretrained": "x.pth"}])
def test_it_is_built_at_its_first_stage_whatever_is_asked_for(settings, stage):
    parts = built_run("S3Rec", "tiny", (), {**settings, **stage})
    model = parts.spec.build(parts.config, parts.splits[0])
    assert model.train_stage == "pretrain" and parts.config["train_stage"] == stage.get("train_stage", "pretrain")
    assert model.fresh_weights == ()


@pytest.mark.parametrize(("loss_type", "kind"), [("CE", nn.CrossEntropyLoss), ("BPR", BPRLoss)])
def test_the_second_stage_has_its_loss_and_the_same_parameters(settings, loss_type, kind):
    model = built_run("S3Rec", "tiny", (), settings).model
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.begin_fine_tuning(loss_type)
    assert model.train_stage == "finetune" and type(model.loss_fct) is kind
    after = model.state_dict()
    assert after.keys() == before.keys() and all(torch.equal(after[name], value) for name, value in before.items())


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 4),
        ({"epochs": 12}, 4),
        ({"epochs": 1}, 1),
        ({"pretrain_epochs": 7}, 7),
        ({"pretrain_epochs": 0}, 0),
        ({"train_stage": "Pretrain", "pretrain_epochs": 2}, 2),
        ({"train_stage": "finetune", "pretrain_epochs": 2}, 0),
        ({"train_stage": "FineTune"}, 0),
    ],
)
def test_epochs_of_pretraining(changes, expected):
    assert pretraining_epochs({"epochs": 10, "pretrain_epochs": None, "train_stage": "pretrain", **changes}) == expected


def test_all_weights_go_over_by_name_from_the_same_items(settings):
    model = built_run("S3Rec", "tiny", (), settings).model
    for item_hash in (None, model.item_hash):
        assert model.carry_over(PretrainedWeights(Path("x.pth"), {}, {}, item_hash)) == {}
    with pytest.raises(CheckpointError, match="x.pth was trained on other items"):
        model.carry_over(PretrainedWeights(Path("x.pth"), {}, {}, "others"))


def test_a_dry_run_counts_parameters(settings):
    record = run("S3Rec", "tiny", (), settings, dry_run=True)
    assert record["status"] == "dry_run" and record["params"]["total"] == record["params"]["trainable"] > 0
    assert not list(folder_of(record).glob("*.pth"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_stage": "finetune"}, "name their file in pretrained"),
        ({"train_stage": "finetune", "pretrained": ""}, "name their file in pretrained"),
        ({"pretrained": "weights.pth"}, "pretrained is used only with train_stage=finetune"),
        ({"train_stage": "fintune"}, "train_stage is 'fintune'; choose one of pretrain, finetune"),
        ({"loss_type": "BCE"}, "loss_type is 'BCE'; choose one of CE, BPR"),
        ({"pretrain_epochs": -1}, "pretrain_epochs must be a whole number from 0 up, not -1"),
        ({"pretrain_epochs": "few"}, "pretrain_epochs must be a whole number from 0 up, not 'few'"),
        ({"pretrain_batch_size": 0}, "pretrain_batch_size must be at least 1"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, changes, message):
    with pytest.raises(ConfigError, match=message):
        built_run("S3Rec", "tiny", (), {**settings, **changes}).model  # noqa: B018


def test_weights_that_are_absent_pickled_or_of_other_items_are_refused(settings, tmp_path):
    def fine_tune(path):
        run("S3Rec", "tiny", (), {**settings, "train_stage": "finetune", "pretrained": str(path)})

    with pytest.raises(CheckpointError, match="absent.pth does not exist"):
        fine_tune(tmp_path / "absent.pth")
    torch.save({"state_dict": {}, "config": Path}, tmp_path / "pickled.pth")
    with pytest.raises(CheckpointError, match="holds pickled objects"):
        fine_tune(tmp_path / "pickled.pth")
    other = run("SASRec", "tiny", (), {key: settings[key] for key in (*STAGE_KEYS, "epochs")})
    with pytest.raises(CheckpointError, match="of another architecture"):
        fine_tune(folder_of(other) / "best.pth")
    state = checkpoint.load_checkpoint(folder_of(other) / "best.pth")
    checkpoint.save_checkpoint({**state, "item_hash": "others"}, tmp_path / "others.pth")
    with pytest.raises(CheckpointError, match="was trained on other items"):
        fine_tune(tmp_path / "others.pth")

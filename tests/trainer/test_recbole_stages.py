"""RecBole's S3Rec in one run: the numbers of its two runs of one seed, and what is kept of the first."""

import pytest
import torch
from support import built_run, folder_of, numbers, two_stage_settings

from recbole_mpo.quick_start.evaluate import evaluate_checkpoint
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.trainer import checkpoint


@pytest.fixture
def settings(tiny_settings):
    return two_stage_settings(tiny_settings)


def test_fine_tuning_alone_gives_what_the_whole_run_gives(settings):
    whole = run("S3Rec", "tiny", (), settings)
    weights = folder_of(whole) / "pretrained.pth"
    stage = {"train_stage": "finetune", "pretrained": str(weights)}
    alone = run("S3Rec", "tiny", (), {**settings, **stage})
    assert numbers(alone) == numbers(whole)
    assert "pretraining" not in alone and not (folder_of(alone) / "pretrained.pth").exists()
    weights.unlink()
    assert evaluate_checkpoint(folder_of(alone) / "best.pth")["test"] == alone["test"]


def test_weights_without_our_names_around_them_are_taken(settings, tmp_path):
    whole = run("S3Rec", "tiny", (), settings)
    state = checkpoint.load_checkpoint(folder_of(whole) / "pretrained.pth")["state_dict"]
    torch.save({"state_dict": state}, tmp_path / "plain.pth")
    stage = {"train_stage": "finetune", "pretrained": str(tmp_path / "plain.pth")}
    assert numbers(run("S3Rec", "tiny", (), {**settings, **stage})) == numbers(whole)


@pytest.mark.parametrize(("epochs", "expected"), [(1, 1), (3, 1), (4, 2), (300, 100), (0, 0)])
def test_pretraining_takes_a_third_of_the_epochs(settings, tmp_path, epochs, expected):
    del settings["pretrain_epochs"]
    experiment = built_run("S3Rec", "tiny", (), {**settings, "epochs": epochs})
    assert experiment.trainer(tmp_path).plan.epochs == expected


def test_without_pretraining_the_run_is_fine_tuning_alone(settings):
    record = run("S3Rec", "tiny", (), {**settings, "pretrain_epochs": 0})
    assert record["status"] == "completed" and "pretraining" not in record
    assert not (folder_of(record) / "pretrained.pth").exists()


def test_steps_of_pretraining_are_kept_on_request(settings):
    record = run("S3Rec", "tiny", (), {**settings, "pretrain_epochs": 3, "save_step": 2})
    assert sorted(path.name for path in folder_of(record).glob("pretrained*")) == ["pretrained-2.pth", "pretrained.pth"]


def test_fine_tuning_with_sampled_negatives(settings):
    record = run("S3Rec", "tiny", (), {**settings, "loss_type": "BPR"})
    losses = [epoch["train_loss"] for epoch in record["history"]]
    assert record["status"] == "completed" and 0 < losses[1] < losses[0] < 1


def test_pretraining_has_its_own_batches_of_the_same_rows(settings, tmp_path):
    parts = built_run("S3Rec", "tiny", (), settings)
    loader = parts.loaders[0]
    longer = parts.trainer(tmp_path).plan.make_loader(loader)
    assert type(longer) is type(loader) and longer._dataset is loader._dataset
    assert (longer.step, loader.step) == (32, 64) and parts.config["train_batch_size"] == 64


def test_fine_tuning_begins_from_the_seed_and_goes_on_from_where_it_was(settings, tmp_path):
    parts = built_run("S3Rec", "tiny", (), settings)
    plan = parts.trainer(tmp_path).plan
    draws = []
    for starts in (True, True, False):
        plan.begin_fine_tuning(starts)
        draws.append(torch.rand(1).item())
    assert draws[0] == draws[1] != draws[2] and parts.model.train_stage == "finetune"

"""Pre-training and the run proper in one command: what is kept, what a seed gives, and what is refused."""

from pathlib import Path

import pytest
import torch

from recbole_mpo.common.errors import CheckpointError, ConfigError
from recbole_mpo.quick_start.evaluate import evaluate_checkpoint
from recbole_mpo.quick_start.experiment import Experiment
from recbole_mpo.quick_start.record import read_record
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.quick_start.registry import find_model
from recbole_mpo.trainer import checkpoint
from recbole_mpo.trainer.stages import PretrainingMixin

KEYS = ("data_path", "checkpoint_dir", "show_progress", "use_gpu", "seed", "hidden_size", "inner_size")
MODELS = pytest.mark.parametrize("model", ["S3Rec", "S3RecFixed"])


@pytest.fixture
def settings(tiny_settings):
    shared = {key: tiny_settings[key] for key in KEYS}
    return {**shared, "train_batch_size": 64, "pretrain_batch_size": 32, "pretrain_epochs": 2, "epochs": 2}


def folder_of(record):
    return Path(record["config"]["checkpoint_dir"]) / record["run_id"]


def numbers(record):
    history = [(epoch["epoch"], epoch["train_loss"], epoch["valid"]) for epoch in record["history"]]
    return {**{key: record[key] for key in ("valid", "test", "best_epoch", "epochs_run")}, "history": history}


@MODELS
def test_one_command_runs_both_stages_and_keeps_the_first(settings, model):
    record = run(model, "tiny", (), settings)
    assert record["status"] == "completed" and record["epochs_run"] == len(record["history"]) == 2
    assert [epoch["epoch"] for epoch in record["pretraining"]] == [0, 1]
    before, after = (checkpoint.load_checkpoint(folder_of(record) / name) for name in ("pretrained.pth", "best.pth"))
    assert before["model"] == model and before["item_hash"] == after["item_hash"]
    name = "item_embedding.weight"
    assert not torch.equal(before["state_dict"][name], after["state_dict"][name])
    assert read_record(folder_of(record))["pretraining"] == record["pretraining"]
    results = evaluate_checkpoint(folder_of(record) / "best.pth")
    assert results == {split: record[split] for split in ("valid", "test")}


@MODELS
def test_an_interruption_after_pretraining_costs_none_of_it(settings, model, monkeypatch):
    whole = run(model, "tiny", (), settings)

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(find_model(model).trainer_class, "_begin_fine_tuning", interrupt)
        run(model, "tiny", (), settings)
    # Were it to pre-train again, it would be interrupted again.
    monkeypatch.setattr(PretrainingMixin, "_pretrain", interrupt)
    resumed = run(model, "tiny", (), settings, resume="auto")
    assert resumed["run_id"] != whole["run_id"] and numbers(resumed) == numbers(whole)
    first = [[epoch["train_loss"] for epoch in record["pretraining"]] for record in (resumed, whole)]
    assert first[0] == first[1]


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


@MODELS
def test_an_interrupted_pretraining_goes_on_as_if_it_had_not_been(settings, model, monkeypatch):
    settings = {**settings, "pretrain_epochs": 3}
    whole = run(model, "tiny", (), settings)
    trainer, epochs = find_model(model).trainer_class, []
    train = trainer._train_epoch

    def interrupted(self, loader, epoch, *rest):
        epochs.append(epoch)
        if epoch == 2:
            raise KeyboardInterrupt
        return train(self, loader, epoch, *rest)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(trainer, "_train_epoch", interrupted)
        run(model, "tiny", (), settings)
    assert epochs == [0, 1, 2]
    resumed = run(model, "tiny", (), settings, resume="auto")
    losses = [[epoch["train_loss"] for epoch in record["pretraining"]] for record in (whole, resumed)]
    assert losses[0] == losses[1] and numbers(resumed) == numbers(whole)


@pytest.mark.parametrize(("epochs", "expected"), [(1, 1), (3, 1), (4, 2), (300, 100), (0, 0)])
def test_pretraining_takes_a_third_of_the_epochs(settings, tmp_path, epochs, expected):
    del settings["pretrain_epochs"]
    experiment = Experiment.of("S3Rec", "tiny", (), {**settings, "epochs": epochs})
    assert experiment.trainer(tmp_path).pretrain_epochs == expected


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


def test_a_dry_run_counts_parameters(settings):
    record = run("S3Rec", "tiny", (), settings, dry_run=True)
    assert record["status"] == "dry_run" and record["params"]["total"] == record["params"]["trainable"] > 0
    assert not list(folder_of(record).glob("*.pth"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_stage": "finetune"}, "name their file in pretrained"),
        ({"train_stage": "finetune", "pretrained": ""}, "name their file in pretrained"),
        ({"pretrained": "weights.pth"}, "pretrained is read with train_stage=finetune alone"),
        ({"train_stage": "fintune"}, "train_stage is 'fintune'; choose one of pretrain, finetune"),
        ({"loss_type": "BCE"}, "loss_type is 'BCE'; choose one of CE, BPR"),
        ({"pretrain_epochs": -1}, "pretrain_epochs must be a whole number from 0 on, not -1"),
        ({"pretrain_epochs": "few"}, "pretrain_epochs must be a whole number from 0 on, not 'few'"),
        ({"pretrain_batch_size": 0}, "pretrain_batch_size must be at least 1"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, changes, message):
    with pytest.raises(ConfigError, match=message):
        Experiment.of("S3Rec", "tiny", (), {**settings, **changes}).model  # noqa: B018


def test_weights_that_are_absent_pickled_or_of_other_items_are_refused(settings, tmp_path):
    def fine_tune(path):
        run("S3Rec", "tiny", (), {**settings, "train_stage": "finetune", "pretrained": str(path)})

    with pytest.raises(CheckpointError, match="absent.pth does not exist"):
        fine_tune(tmp_path / "absent.pth")
    torch.save({"state_dict": {}, "config": Path}, tmp_path / "pickled.pth")
    with pytest.raises(CheckpointError, match="holds pickled objects"):
        fine_tune(tmp_path / "pickled.pth")
    other = run("SASRec", "tiny", (), {key: settings[key] for key in (*KEYS, "epochs")})
    with pytest.raises(CheckpointError, match="of another architecture"):
        fine_tune(folder_of(other) / "best.pth")
    state = checkpoint.load_checkpoint(folder_of(other) / "best.pth")
    checkpoint.save_checkpoint({**state, "item_hash": "others"}, tmp_path / "others.pth")
    with pytest.raises(CheckpointError, match="was trained on other items"):
        fine_tune(tmp_path / "others.pth")

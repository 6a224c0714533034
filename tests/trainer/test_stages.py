"""Pre-training and the run proper in one command: what is kept, and what an interruption costs."""

import pytest
import torch
from support import built_run, folder_of, numbers, two_stage_settings

from recbole_mpo.quick_start.evaluate import evaluate_checkpoint
from recbole_mpo.quick_start.record import read_record
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.quick_start.registry import find_model
from recbole_mpo.trainer import checkpoint
from recbole_mpo.trainer.item_vector_trainer import ItemVectorTrainer
from recbole_mpo.trainer.stages import Pretraining, PretrainingMixin
from recbole_mpo.trainer.trainer import RunTrainerMixin

MODELS = pytest.mark.parametrize("model", ["S3Rec", "S3RecFixed"])


@pytest.fixture
def settings(tiny_settings):
    return two_stage_settings(tiny_settings)


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

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(RunTrainerMixin, "fit", interrupt)
        run(model, "tiny", (), settings)
    # Were it to pre-train again, it would be interrupted again.
    monkeypatch.setattr(PretrainingMixin, "_pretrain", interrupt)
    resumed = run(model, "tiny", (), settings, resume="auto")
    assert resumed["run_id"] != whole["run_id"] and numbers(resumed) == numbers(whole)
    first = [[epoch["train_loss"] for epoch in record["pretraining"]] for record in (resumed, whole)]
    assert first[0] == first[1]


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


def test_pretraining_is_in_full_precision_whatever_is_around_it(settings, tmp_path):
    built = built_run("S3RecFixed", "tiny", (), settings)
    trainer = built.trainer(tmp_path)
    built.model.eval()
    batch, losses = next(iter(trainer.plan.make_loader(built.loaders[0]))), []
    for is_mixed in (False, True):
        torch.manual_seed(0)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=is_mixed):
            losses.append(trainer.plan.loss(batch))
    torch.manual_seed(0)
    assert losses[0] == losses[1] == built.model.pretraining_loss(batch)


class StagedTrainer(PretrainingMixin, ItemVectorTrainer):
    """Any model's trainer, with a plan of pre-training."""


class TestAnyModelAndPlan:
    @pytest.fixture
    def parts(self, tiny_settings):
        return built_run("UniSRec", "tiny", (), tiny_settings)

    @staticmethod
    def planned(parts, tmp_path, epochs):
        """A trainer whose pre-training shrinks item vectors, on the run's own loader; and what was called."""
        calls = []

        def make_loader(train_data):
            calls.append("loader")
            return train_data

        def loss(batch):
            calls.append("loss")
            return parts.model.encode_items().square().mean()

        plan = Pretraining(epochs, make_loader, loss, lambda starts: calls.append(("fine-tuning", starts)))
        return StagedTrainer(parts.config, parts.model, tmp_path, plan), calls

    def test_the_plan_comes_first_and_is_told_when_it_ends(self, parts, tmp_path):
        trainer, calls = self.planned(parts, tmp_path, 3)
        trainer.fit(*parts.loaders[:2])
        steps = len(parts.loaders[0])
        assert calls == ["loader", *["loss"] * (3 * steps), ("fine-tuning", True)]
        assert [epoch["epoch"] for epoch in trainer.pretraining] == [0, 1, 2]
        assert [epoch["epoch"] for epoch in trainer.history] == [0, 1]
        losses = [epoch["train_loss"] for epoch in trainer.pretraining]
        assert losses == sorted(losses, reverse=True) and losses[0] < 1 < trainer.history[0]["train_loss"]
        assert sorted(path.name for path in tmp_path.glob("*.pth")) == ["best.pth", "last.pth", "pretrained.pth"]

    def test_the_optimizer_begins_anew(self, parts, tmp_path, monkeypatch):
        trainer, _ = self.planned(parts, tmp_path, 1)
        first, seen = trainer.optimizer, []
        fit = RunTrainerMixin.fit
        monkeypatch.setattr(RunTrainerMixin, "fit", lambda self, *rest: seen.append(self.optimizer) or fit(self, *rest))
        trainer.fit(*parts.loaders[:2])
        assert first.state and seen[0] is not first

    def test_no_epochs_are_no_stage(self, parts, tmp_path):
        trainer, calls = self.planned(parts, tmp_path, 0)
        trainer.fit(*parts.loaders[:2])
        assert calls == [("fine-tuning", True)] and trainer.pretraining == []
        assert not (tmp_path / "pretrained.pth").exists()

    def test_a_run_that_goes_on_says_so_to_its_plan(self, parts, tmp_path):
        self.planned(parts, tmp_path, 1)[0].fit(*parts.loaders[:2])
        trainer, calls = self.planned(parts, tmp_path, 1)
        trainer.resume(tmp_path / "last.pth", parts.loaders[0])
        trainer.fit(*parts.loaders[:2])
        assert calls == [("fine-tuning", False)] and len(trainer.pretraining) == 1

    def test_nothing_is_written_where_nothing_is_saved(self, parts, tmp_path):
        trainer, _ = self.planned(parts, tmp_path, 1)
        trainer.fit(*parts.loaders[:2], saved=False)
        assert not list(tmp_path.glob("*.pth"))

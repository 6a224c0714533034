"""RecBole's training options work on the text models' loop."""

import pytest
import torch
from support import built_run

from recbole_mpo.common.errors import RecboleMPOError
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.trainer import ranking
from recbole_mpo.trainer.checkpoint import load_checkpoint
from recbole_mpo.trainer.trainer import RunTrainer


@pytest.mark.parametrize("train_mode", ["packed", "pairwise"])
def test_the_loss_of_an_epoch_is_the_mean_over_its_steps(tiny_settings, tmp_path, monkeypatch, train_mode):
    built = built_run("UniSRec", "tiny", (), {**tiny_settings, "train_mode": train_mode})
    trainer, calculate, losses = built.trainer(tmp_path), built.model.calculate_loss, []
    monkeypatch.setattr(built.model, "calculate_loss", lambda batch: losses.append(calculate(batch)) or losses[-1])
    trainer._train_epoch(built.loaders[0], 0)
    mean = sum(loss.item() for loss in losses) / len(losses)
    assert len(losses) > 1 and trainer.history[0]["train_loss"] == pytest.approx(mean)


def test_tensorboard_gets_the_losses(tiny_settings, tmp_path):
    record = run("UniSRec", "tiny", (), tiny_settings)
    assert list((tmp_path / "log_tensorboard" / record["run_id"]).glob("events.out.tfevents.*"))


def test_best_checkpoint_is_the_best_epochs(tiny_settings, tmp_path):
    record = run("UniSRec", "tiny", (), {**tiny_settings, "epochs": 6, "learning_rate": 0.05})
    scores = [epoch["valid"]["ndcg@10"] for epoch in record["history"]]
    assert record["best_epoch"] == scores.index(max(scores)) < 5
    assert record["valid"]["ndcg@10"] == pytest.approx(max(scores), abs=1e-12)
    best = torch.load(tmp_path / "saved" / record["run_id"] / "best.pth", weights_only=True)
    assert best["epoch"] == record["best_epoch"]


def test_best_epoch_is_the_saved_one_where_scores_tie(tiny_settings, tmp_path):
    """RecBole saves again at an equal score: with a frozen model every epoch ties."""
    settings = {**tiny_settings, "epochs": 3, "learning_rate": 0.0}
    record = run("UniSRec", "tiny", (), settings)
    best = torch.load(tmp_path / "saved" / record["run_id"] / "best.pth", weights_only=True)
    assert record["best_epoch"] == best["epoch"] == 2


def test_early_stopping_counts_evaluations(tiny_settings):
    record = run("UniSRec", "tiny", (), {**tiny_settings, "epochs": 50, "stopping_step": 2, "learning_rate": 0.05})
    assert record["epochs_run"] == record["best_epoch"] + 1 + 3
    assert not record["hit_epoch_limit"]


BLOWN_UP = "training has blown up: start a new run with a lower learning_rate or with clip_grad_norm"


class TestBlownUpTraining:
    """It stops in one line, leaves a record ``failed``, and no checkpoint of that epoch."""

    @pytest.mark.parametrize(
        ("settings", "reason"),
        [
            ({"learning_rate": 1e30}, "the training loss is nan in epoch 0"),
            ({"learning_rate": 1e38, "train_batch_size": 10**6}, "the weights .* are not finite after epoch 0"),
        ],
    )
    def test_of_a_text_model(self, tiny_settings, tmp_path, settings, reason):
        record_path = tmp_path / "r.json"
        with pytest.raises(RecboleMPOError, match=f"^{reason}; {BLOWN_UP}$"):
            run("UniSRec", "tiny", (), {**tiny_settings, "learner": "sgd", **settings}, record_path=record_path)
        assert '"status": "failed"' in record_path.read_text()
        assert not list(tmp_path.glob("saved/*/*.pth"))

    @pytest.mark.parametrize("model", ["SASRec", "GRU4Rec", "CCDR", "S3RecFixed"])
    def test_of_other_models(self, tiny_settings, tmp_path, model):
        keys = ("data_path", "checkpoint_dir", "show_progress", "use_gpu", "seed")
        settings = {**{key: tiny_settings[key] for key in keys}, "epochs": 1, "learning_rate": 1e38}
        if model == "CCDR":
            settings |= {key: tiny_settings[key] for key in ("cache_dir", "text_encoder")}
            settings |= {"ccdr_align": ["word"], "hidden_size": 16}
        what = "(the training loss|the weights|a step of the optimizer)"
        with pytest.raises(RecboleMPOError, match=f"^{what} .*; {BLOWN_UP}$"):
            run(model, "tiny", (), settings, record_path=tmp_path / "r.json")
        assert '"status": "failed"' in (tmp_path / "r.json").read_text()
        assert not list(tmp_path.glob("saved/*/*.pth"))

    def test_the_checkpoint_of_the_epoch_before_stays(self, tiny_settings, tmp_path, monkeypatch):
        train_epoch = RunTrainer._train_epoch

        def damaged(trainer, data, epoch, *rest, **named):
            if epoch == 1:
                trainer.model.LayerNorm.bias.data[3] = torch.nan
            return train_epoch(trainer, data, epoch, *rest, **named)

        monkeypatch.setattr(RunTrainer, "_train_epoch", damaged)
        with pytest.raises(RecboleMPOError, match="the training loss is nan in epoch 1"):
            run("UniSRec", "tiny", (), tiny_settings)
        (last,) = tmp_path.glob("saved/*/last.pth")
        assert load_checkpoint(last)["epoch"] == 0

    @pytest.mark.parametrize("mode", ["full", "uni20"])
    def test_recboles_evaluator_does_not_rank_its_scores(self, tiny_settings, tmp_path, mode):
        keys = ("data_path", "checkpoint_dir", "show_progress", "use_gpu", "seed")
        settings = {**{key: tiny_settings[key] for key in keys}, "eval_mode": "recbole", "eval_args": {"mode": mode}}
        built = built_run("SASRec", "tiny", (), settings)
        trainer = built.trainer(tmp_path)
        trainer.eval_collector.data_collect(built.loaders[0])
        built.model.LayerNorm.bias.data[3] = torch.nan
        with pytest.raises(RecboleMPOError, match="scores that are infinite or not a number"):
            trainer.evaluate(built.loaders[2], load_best_model=False)


@pytest.mark.parametrize("model", ["UniSRec", "SASRec"])
def test_an_evaluation_is_of_the_best_weights_unless_told_otherwise(tiny_settings, tmp_path, model):
    keys = ("data_path", "checkpoint_dir", "show_progress", "use_gpu", "seed", "hidden_size", "inner_size")
    settings = tiny_settings if model == "UniSRec" else {key: tiny_settings[key] for key in keys}
    built = built_run(model, "tiny", (), {**settings, "epochs": 1})
    trainer = built.trainer(tmp_path)
    trainer.fit(*built.loaders[:2], verbose=False)
    best = built.model.LayerNorm.weight.detach().clone()
    built.model.LayerNorm.weight.data.fill_(0.5)
    trainer.evaluate(built.loaders[2], load_best_model=False)
    assert (built.model.LayerNorm.weight == 0.5).all()
    trainer.evaluate(built.loaders[2])
    assert torch.equal(built.model.LayerNorm.weight, best)


@pytest.mark.parametrize("is_shown", [True, False])
def test_an_evaluation_shows_its_progress_if_asked_to(tiny_settings, tmp_path, monkeypatch, is_shown):
    built, shown = built_run("UniSRec", "tiny", (), tiny_settings), []
    show = ranking.progress_bar
    monkeypatch.setattr(ranking, "progress_bar", lambda *rows, **how: shown.append(how["shown"]) or show(*rows, **how))
    built.trainer(tmp_path).evaluate(built.loaders[2], load_best_model=False, show_progress=is_shown)
    assert shown == [is_shown]


def test_a_model_without_training_has_one_epoch_without_a_loss(tiny_settings):
    keys = ("data_path", "checkpoint_dir", "show_progress", "use_gpu", "seed")
    (epoch,) = run("Pop", "tiny", (), {key: tiny_settings[key] for key in keys})["history"]
    assert (epoch["epoch"], epoch["train_loss"], epoch["train_seconds"]) == (0, 0.0, 0.0)


def comparable(record):
    return {key: record[key] for key in ("valid", "test", "best_epoch", "epochs_run")} | {
        "history": [(epoch["epoch"], epoch["train_loss"], epoch["valid"]) for epoch in record["history"]]
    }


def weights(folder):
    return torch.load(folder / "last.pth", weights_only=True)["state_dict"]


@pytest.mark.parametrize("overrides", [{}, {"train_mode": "pairwise"}, {"mpo_expand": 2}])
def test_resumed_run_is_bit_identical(tiny_settings, tmp_path, overrides):
    model = "MPORecExpand" if overrides.get("mpo_expand") else "MPORec"
    settings = {**tiny_settings, **overrides}
    whole = run(model, "tiny", (), {**settings, "epochs": 4, "checkpoint_dir": str(tmp_path / "whole")})
    first = run(model, "tiny", (), {**settings, "epochs": 2, "checkpoint_dir": str(tmp_path / "parts")})
    folder = tmp_path / "parts" / first["run_id"]
    resumed = run(
        model, "tiny", (), {**settings, "epochs": 4, "checkpoint_dir": str(tmp_path / "parts")}, resume=str(folder)
    )
    assert comparable(resumed) == comparable(whole)
    assert resumed["run_id"] == first["run_id"]
    whole_weights = weights(tmp_path / "whole" / whole["run_id"])
    assert all(torch.equal(value, whole_weights[name]) for name, value in weights(folder).items())


def test_finished_run_is_not_trained_again(tiny_settings, tmp_path):
    first = run("UniSRec", "tiny", (), tiny_settings)
    again = run("UniSRec", "tiny", (), tiny_settings, resume=str(tmp_path / "saved" / first["run_id"]))
    assert comparable(again) == comparable(first)


class TestResume:
    """Every field of ``last.pth`` comes back, and a run that would have stopped stops."""

    @pytest.fixture
    def stopped(self, tiny_settings, tmp_path):
        """The settings of a run of one epoch, its ``last.pth`` with made-up progress, and what that holds."""
        record = run("UniSRec", "tiny", (), {**tiny_settings, "epochs": 1})
        path = tmp_path / "saved" / record["run_id"] / "last.pth"
        state = load_checkpoint(path)
        result = {name: 0.75 for name in state["best_valid_result"]}
        state |= {"cur_step": 2, "best_valid_score": 0.75, "best_valid_result": result}
        state["pretraining"] = [{"epoch": 0, "train_loss": 3.0, "train_seconds": 1.0}]
        torch.save(state, path)
        return tiny_settings, path, state

    def test_progress_comes_back(self, stopped, tmp_path):
        settings, path, state = stopped
        built = built_run("UniSRec", "tiny", (), {**settings, "epochs": 5})
        trainer = built.trainer(tmp_path)
        trainer.resume(path, built.loaders[0])
        assert (trainer.start_epoch, trainer.cur_step, trainer.best_valid_score) == (1, 2, 0.75)
        for name in ("best_valid_result", "history", "pretraining"):
            assert getattr(trainer, name) == state[name], name
        assert not trainer.is_finished
        moments = trainer.optimizer.state_dict()["state"]
        assert moments.keys() == state["optimizer"]["state"].keys()
        for number, entries in moments.items():
            for name, value in entries.items():
                assert torch.equal(value, state["optimizer"]["state"][number][name])
        for name, value in built.model.state_dict().items():
            assert torch.equal(value, state["state_dict"][name])

    @pytest.mark.parametrize(("patience", "epochs"), [(2, 2), (3, 3)])
    def test_epochs_without_progress_before_the_stop_count(self, stopped, patience, epochs):
        """None is better than a score of 0.75: with two before, one more than the patience is reached sooner."""
        settings, path, _ = stopped
        settings = {**settings, "epochs": 9, "stopping_step": patience}
        built = built_run("UniSRec", "tiny", (), settings)
        trainer = built.trainer(path.parent)
        trainer.resume(path, built.loaders[0])
        trainer.fit(built.loaders[0], built.loaders[1], verbose=False)
        assert len(trainer.history) == epochs and trainer.best_valid_score == 0.75

    @pytest.mark.parametrize(
        ("settings", "is_finished"),
        [({"stopping_step": 1}, True), ({"epochs": 1}, True), ({"stopping_step": 2}, False)],
    )
    def test_a_run_is_finished_where_it_would_have_stopped(self, stopped, tmp_path, settings, is_finished):
        built = built_run("UniSRec", "tiny", (), {**stopped[0], "epochs": 5, **settings})
        trainer = built.trainer(tmp_path)
        trainer.resume(stopped[1], built.loaders[0])
        assert trainer.is_finished == is_finished

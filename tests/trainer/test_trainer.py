"""RecBole's training options work on the text models' loop."""

import pytest
import torch
from support import built_run

from recbole_mpo.common.errors import RecboleMPOError
from recbole_mpo.quick_start.recorded_run import run


def steps(experiment, tmp_path):
    """Trains one epoch; (mean loss, parameters before, parameters after)."""
    model = experiment.model
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    trainer = experiment.spec.trainer_class(experiment.config, model, tmp_path)
    loss = trainer._train_epoch(experiment.loaders[0], 0)
    return loss, before, dict(model.named_parameters())


def test_mixed_precision_trains(tiny_settings, tmp_path):
    exact = steps(built_run("MPORec", "tiny", (), tiny_settings), tmp_path)[0]
    mixed = steps(built_run("MPORec", "tiny", (), {**tiny_settings, "enable_amp": True}), tmp_path)[0]
    assert mixed != exact
    assert mixed == pytest.approx(exact, rel=0.05)


def test_gradients_are_clipped(tiny_settings, tmp_path):
    settings = {**tiny_settings, "learner": "sgd", "learning_rate": 1.0, "train_batch_size": 10**6}
    clipped = {**settings, "clip_grad_norm": {"max_norm": 1e-3}}
    _, before, after = steps(built_run("UniSRec", "tiny", (), clipped), tmp_path)
    moved = torch.cat([(after[name] - before[name]).flatten() for name in before])
    assert moved.norm().item() == pytest.approx(1e-3, rel=1e-3)


def test_core_learning_rate_scales_their_step_alone(tiny_settings, tmp_path):
    settings = {**tiny_settings, "learner": "sgd", "train_batch_size": 10**6}
    moves = []
    for multiplier in (1.0, 2.0):
        experiment = built_run("MPORec", "tiny", (), {**settings, "mpo_lr_multiplier": multiplier})
        _, before, after = steps(experiment, tmp_path)
        moves.append({name: after[name].detach() - before[name] for name in before})
    for name, single in moves[0].items():
        factor = 2.0 if ".cores." in name else 1.0
        torch.testing.assert_close(moves[1][name], factor * single, rtol=1e-2, atol=1e-6)


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


def test_nan_loss_stops_with_a_failed_record(tiny_settings, tmp_path):
    with pytest.raises(RecboleMPOError, match="loss is not a number in epoch .* lower learning_rate"):
        run("UniSRec", "tiny", (), {**tiny_settings, "learning_rate": 1e30}, record_path=tmp_path / "r.json")
    assert '"status": "failed"' in (tmp_path / "r.json").read_text()


@pytest.mark.parametrize("train_mode", ["packed", "pairwise"])
def test_items_are_encoded_once_per_evaluation(tiny_settings, tmp_path, monkeypatch, train_mode):
    settings = {**tiny_settings, "eval_batch_size": 3, "train_mode": train_mode}
    experiment = built_run("MPORec", "tiny", (), settings)
    trainer = experiment.trainer(tmp_path)
    calls = []
    encode = experiment.model.encode_items
    monkeypatch.setattr(experiment.model, "encode_items", lambda *ids: calls.append(ids) or encode(*ids))
    ranks = trainer.target_ranks(experiment.loaders[2])
    assert calls == [()] and len(ranks["rank"]) == len(experiment.splits[2])


def test_packed_and_pairwise_evaluate_alike(tiny_settings, tmp_path):
    found = []
    for train_mode in ("packed", "pairwise"):
        experiment = built_run("MPORec", "tiny", (), {**tiny_settings, "train_mode": train_mode})
        found.append(experiment.trainer(tmp_path).evaluate(experiment.loaders[2], load_best_model=False))
    assert found[0] == pytest.approx(found[1], abs=1e-12)


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

"""The trainer of models over item vectors: one step, its learning rates, and evaluation with vectors computed once."""

from types import SimpleNamespace

import pytest
import torch
from support import built_run

from recbole_mpo.layers.ranks import Ranks


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


def test_each_of_several_processes_gets_its_rows(tiny_settings, tmp_path):
    built = built_run("MPORec", "tiny", (), tiny_settings)
    trainer, batch = built.trainer(tmp_path), next(iter(built.loaders[0]))
    assert trainer._own_part(batch) is batch
    trainer.train_loader = built.loaders[0]
    parts = []
    for number in range(2):
        built.model.ranks = Ranks(number, 2)
        parts.append(trainer._own_part(batch))
    assert sum(map(len, parts)) == len(batch) and all(0 < len(part) < len(batch) for part in parts)
    # A loader of shards gives each process its own.
    trainer.train_loader = SimpleNamespace(is_dealt=True)
    assert trainer._own_part(batch) is batch

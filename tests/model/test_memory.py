"""A text model with an item memory: what it learns, ranks and recommends; SASRec-CE is RecBole's SASRec."""

from pathlib import Path

import numpy as np
import pytest
import torch
from recbole.data.interaction import Interaction

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.common.recbole_globals import sequential_models
from recbole_mpo.quick_start.evaluate import evaluate_checkpoint
from recbole_mpo.quick_start.experiment import Experiment
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.release.recommend import Recommender


def with_weight(settings, value, name="MPORec", **changes):
    experiment = Experiment.of(name, "tiny", (), {**settings, "memory": "covisit", **changes})
    with torch.no_grad():
        experiment.model.memory.weight.fill_(value)
    return experiment


def test_with_weight_zero_the_model_is_the_one_without(tiny_settings):
    plain, memory = Experiment.of("MPORec", "tiny", (), tiny_settings), with_weight(tiny_settings, 0.0)
    rows = plain.splits[2][np.arange(10)]
    assert torch.equal(plain.model.eval().full_sort_predict(rows), memory.model.eval().full_sort_predict(rows))


def test_the_memory_adds_the_covisits_of_the_newest_items(tiny_settings):
    experiment = with_weight(tiny_settings, 0.8)
    model, rows = experiment.model.eval(), experiment.splits[2][np.arange(len(experiment.splits[2]))]
    covisit = Experiment.of("CoVisit", "tiny", (), {k: tiny_settings[k] for k in ("data_path", "use_gpu")}).model
    counts = covisit.full_sort_predict(rows) - covisit.tie_break
    found = model.full_sort_predict(rows)
    with torch.no_grad():
        model.memory.weight.zero_()
    torch.testing.assert_close(
        found - model.full_sort_predict(rows), 0.8 * torch.log1p(5 * counts).float(), rtol=1e-4, atol=1e-4
    )


def test_training_sees_the_table_without_the_pair_it_is_trained_on(tiny_settings):
    """A pair of items that neighbours once in all data has no count left for its own row."""
    experiment = with_weight(tiny_settings, 1.0)
    model = experiment.model
    for batch in experiment.loaders[0]:
        added = model._remembered(batch, batch.targets)
        dense = added.add_to(torch.zeros(len(batch.targets), model.n_items))
        flat = batch.items.flatten()
        last = flat[batch.predicting]
        starts, neighbours, counts = model.memory.starts, model.memory.neighbours, model.memory.counts
        for row, (item, target) in enumerate(zip(last.tolist(), batch.targets.tolist(), strict=True)):
            begin, end = starts[item], starts[item + 1]
            count = counts[begin:end][neighbours[begin:end] == target].sum().item()
            assert count >= 1  # the training pair itself
            if count == 1 and batch.positions.flatten()[batch.predicting[row]] == 0:
                assert dense[row, target] == 0


@pytest.mark.parametrize("loss", ["full", "chunked"])
def test_a_run_learns_the_weight_and_its_checkpoint_ranks_and_recommends(tiny_settings, loss):
    record = run("MPORec", "tiny", (), {**tiny_settings, "memory": "covisit", "loss": loss})
    assert record["params"]["by_group"]["memory"] == {"total": 1, "trainable": 1}
    path = Path(record["config"]["checkpoint_dir"]) / record["run_id"] / "best.pth"
    assert torch.load(path, weights_only=True)["state_dict"]["memory.weight"] != 0
    assert evaluate_checkpoint(path) == {split: record[split] for split in ("valid", "test")}
    recommender = Recommender.from_checkpoint(path)
    found = recommender.recommend([["i3", "i4"]], topk=3)[0]
    model = recommender.model
    rows = Interaction({"item_id_list": torch.tensor([[recommender.row_of["i3"], recommender.row_of["i4"]]]),
                        "item_length": torch.tensor([2])})  # fmt: skip
    scores = model.full_sort_predict(rows)[0]
    assert found[0].score == pytest.approx(scores[recommender.row_of[found[0].token]].item(), abs=1e-4)


def test_the_memorys_weight_has_its_own_learning_rate_and_can_be_frozen(tiny_settings):
    experiment = Experiment.of("UniSRec", "tiny", (), {**tiny_settings, "memory": "covisit", "learning_rate": 0.002})
    groups = experiment.trainer("run").optimizer.param_groups
    assert [len(group["params"]) for group in groups if group["lr"] == pytest.approx(0.06)] == [1]
    frozen = Experiment.of("UniSRec", "tiny", (), {**tiny_settings, "memory": "covisit", "freeze": ["memory"]})
    assert not frozen.model.memory.weight.requires_grad


@pytest.mark.parametrize("changes", [{"loss": "sampled"}, {"train_mode": "pairwise"}])
def test_what_the_memory_cannot_work_with_is_said(tiny_settings, changes):
    with pytest.raises(ConfigError, match="memory=covisit needs train_mode=packed and a loss over all items"):
        with_weight(tiny_settings, 0.0, **changes)
    with pytest.raises(ConfigError, match="memory is 'both'"):
        Experiment.of("MPORec", "tiny", (), {**tiny_settings, "memory": "both"}).model  # noqa: B018


def test_sasrec_with_cross_entropy_is_recboles(tiny_settings):
    """One parameter set, no dropout: loss, gradients and scores over an epoch's rows, packed against padded."""
    shared = {key: tiny_settings[key] for key in ("data_path", "use_gpu", "hidden_size", "inner_size", "show_progress")}
    still = {"hidden_dropout_prob": 0.0, "attn_dropout_prob": 0.0, "train_batch_size": 10_000}
    ours = Experiment.of("SASRecCE", "tiny", (), {**shared, **still})
    theirs = Experiment.of("SASRec", "tiny", (), {**shared, **still, "trim_batches": False})
    assert isinstance(theirs.model, sequential_models().SASRec)
    theirs.model.load_state_dict(ours.model.state_dict())
    packed, padded = (next(iter(experiment.loaders[0])) for experiment in (ours, theirs))
    losses = []
    for experiment, batch in ((ours, packed), (theirs, padded)):
        experiment.model.double().train()
        losses.append(experiment.model.calculate_loss(batch))
        losses[-1].backward()
    torch.testing.assert_close(*losses, rtol=1e-9, atol=1e-9)
    reference = dict(theirs.model.named_parameters())
    for name, parameter in ours.model.named_parameters():
        torch.testing.assert_close(parameter.grad, reference[name].grad, rtol=1e-6, atol=1e-9, msg=name)
    rows = theirs.splits[2][np.arange(20)]
    scores = [experiment.model.eval().full_sort_predict(rows) for experiment in (ours, theirs)]
    torch.testing.assert_close(*scores, rtol=1e-9, atol=1e-9)

"""A text model with an item memory: what it learns, ranks and recommends."""

from pathlib import Path

import numpy as np
import pytest
import torch
from recbole.data.interaction import Interaction
from support import built_run

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.data.training_counts import counts_hash, training_transitions
from recbole_mpo.model.covisit_memory import make_memory
from recbole_mpo.quick_start.evaluate import evaluate_checkpoint
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.release.recommend import Recommender


def with_weight(settings, value, name="MPORec", **changes):
    experiment = built_run(name, "tiny", (), {**settings, "memory": "covisit", **changes})
    with torch.no_grad():
        experiment.model.memory.weight.fill_(value)
    return experiment


def test_none_is_made_where_none_is_asked_for(tiny_settings):
    plain = built_run("UniSRec", "tiny", (), tiny_settings)
    assert make_memory(plain.config, plain.splits[0]) is None
    assert plain.model.memory is None and plain.model.counts_hash is None


def test_it_holds_the_counts_of_training_in_both_directions(tiny_settings):
    experiment = with_weight(tiny_settings, 0.0, memory_factor=7.0, recent_weights=[1.0, 0.5])
    memory = make_memory(experiment.config, experiment.splits[0])
    counts = training_transitions(experiment.splits[0]).toarray()
    held = np.zeros(counts.shape)
    starts, neighbours = memory.module.starts.tolist(), memory.module.neighbours.tolist()
    for item in range(len(starts) - 1):
        places = slice(starts[item], starts[item + 1])
        held[item, neighbours[places]] = memory.module.counts[places]
    assert np.array_equal(held, counts + counts.T) and held.any()
    assert memory.counts_hash == counts_hash(training_both_ways(experiment)) == experiment.model.counts_hash
    assert len(memory.module.recent_weights) == 2


def training_both_ways(experiment):
    counts = training_transitions(experiment.splits[0])
    return (counts + counts.T).tocsr()


def test_with_weight_zero_the_model_is_the_one_without(tiny_settings):
    plain, memory = built_run("MPORec", "tiny", (), tiny_settings), with_weight(tiny_settings, 0.0)
    rows = plain.splits[2][np.arange(10)]
    assert torch.equal(plain.model.eval().full_sort_predict(rows), memory.model.eval().full_sort_predict(rows))


def test_the_memory_adds_the_covisits_of_the_newest_items(tiny_settings):
    experiment = with_weight(tiny_settings, 0.8)
    model, rows = experiment.model.eval(), experiment.splits[2][np.arange(len(experiment.splits[2]))]
    covisit = built_run("CoVisit", "tiny", (), {k: tiny_settings[k] for k in ("data_path", "use_gpu")}).model
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
        added = model.remembered(batch, batch.targets)
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
    experiment = built_run("UniSRec", "tiny", (), {**tiny_settings, "memory": "covisit", "learning_rate": 0.002})
    groups = experiment.trainer("run").optimizer.param_groups
    assert [len(group["params"]) for group in groups if group["lr"] == pytest.approx(0.06)] == [1]
    frozen = built_run("UniSRec", "tiny", (), {**tiny_settings, "memory": "covisit", "freeze": ["memory"]})
    assert not frozen.model.memory.weight.requires_grad


@pytest.mark.parametrize("changes", [{"loss": "sampled"}, {"train_mode": "pairwise"}])
def test_what_the_memory_cannot_work_with_is_said(tiny_settings, changes):
    with pytest.raises(ConfigError, match="memory=covisit needs train_mode=packed and a loss over all items"):
        with_weight(tiny_settings, 0.0, **changes)
    with pytest.raises(ConfigError, match="memory is 'both'"):
        built_run("MPORec", "tiny", (), {**tiny_settings, "memory": "both"}).model  # noqa: B018


@torch.no_grad()
def test_items_of_a_history_that_have_no_id_are_passed_over(tiny_settings):
    model = built_run("UniSRec", "tiny", (), {**tiny_settings, "memory": "covisit"}).model.eval()
    torch.nn.init.ones_(model.memory.weight)
    count = len(model.memory.recent_weights)
    history = torch.tensor([[4, 5, model.n_items + 3]])
    scores = model.remember(torch.zeros(1, model.n_items), history, torch.tensor([3]))
    # The other two keep their age.
    recent, exists = torch.zeros(1, count, dtype=torch.long), torch.zeros(1, count, dtype=torch.bool)
    recent[0, 1:3], exists[0, 1:3] = torch.tensor([5, 4]), True
    assert torch.equal(scores, model.memory(recent, exists).add_to(torch.zeros(1, model.n_items))) and scores.any()

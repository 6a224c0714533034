"""CCDR: what each loss teaches, what is drawn, how it scores, and its runs."""

import pytest
import torch
from model.baselines.two_domains import batch_of, experiment, taught, two_domain_settings, write_domain
from support import RestoredRun, built_run

from recbole_mpo.common.errors import ConfigError, DataError
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.release.recommend import Recommender
from recbole_mpo.trainer import checkpoint


@pytest.fixture
def settings(tiny_settings, tmp_path):
    """Settings of a run on ``few``, with ``many`` as its source."""
    return two_domain_settings(tiny_settings, tmp_path / "data")


def test_each_loss_falls(settings):
    torch.manual_seed(0)
    parts = experiment(settings)
    model, batch = parts.model.train(), batch_of(parts)
    optimizer, totals = torch.optim.Adam(model.parameters(), 0.01), []
    for _ in range(60):
        losses = model.calculate_loss(batch)
        optimizer.zero_grad()
        sum(losses).backward()
        optimizer.step()
        totals.append(torch.stack(losses).detach())
    before, after = torch.stack(totals[:10]).mean(dim=0), torch.stack(totals[-10:]).mean(dim=0)
    # Neighbours and views in the target, neighbours in the source, taxonomy nodes and neighbours between the domains.
    assert len(before) == 5 and before.isfinite().all() and (after < before).all()


def test_draws_are_of_the_neighbours_kind(settings):
    torch.manual_seed(0)
    parts = experiment(settings)
    model, batch = parts.model, batch_of(parts)
    for domain, own in model.domains.items():
        (items, nexts, others), (anchors, nodes, strangers) = model._draw_triples(domain, batch)
        assert max(group.max() for group in (items, nexts, others, anchors)) < own.item_num
        assert min(nodes.min(), strangers.min()) >= own.item_num and others.min() > 0
        assert own.neighbours.contains(anchors, nodes).all()
        assert (domain == "target") == torch.equal(nexts, batch.targets)


def test_neighbours_and_the_node_itself_are_no_negatives(settings):
    model = experiment(settings).model
    own = model.domains["target"]
    every = torch.arange(len(own.kinds))
    unusable = model._not_negative("target", every, every)
    assert unusable.diagonal().all() and unusable.sum() == len(own.neighbours.neighbours) + len(every)


def test_frequent_nodes_are_drawn_more_often_by_three_quarters_of_their_degree(settings):
    own = experiment(settings).model.domains["source"]
    weights = own.item_draw.cumulative.diff(prepend=torch.zeros(1))[: own.item_num]
    expected = own.neighbours.degrees[: own.item_num].clamp(min=1).double() ** 0.75
    torch.testing.assert_close(weights[1:], expected[1:])
    assert weights[0] == 0


def test_views_of_the_same_items_differ_and_teach_them(settings):
    torch.manual_seed(0)
    parts = experiment(settings, hidden_dropout_prob=0.0)
    model, batch = parts.model.train(), batch_of(parts)
    items = model._contrasted(batch)
    first, second = (model.encode_nodes("target", items)[0] for _ in range(2))
    assert not torch.allclose(first, second)
    assert "items" in taught_rows_of_all(model, model._domain_losses("target", batch)[1])


def taught_rows_of_all(model, loss) -> set[str]:
    taught(model, loss)
    own = model.domains["target"]
    return {"items"} if own.embedding.weight.grad[: own.item_num].any() else set()


def test_weights_of_zero_leave_their_losses_out(settings):
    parts = experiment(settings, ccdr_intra_weight=0, ccdr_inter_weight=0)
    assert len(parts.model.calculate_loss(batch_of(parts))) == 2
    alone = experiment(settings, ccdr_source=None, ccdr_intra_weight=0)
    assert len(alone.model.calculate_loss(batch_of(alone))) == 1


def test_evaluation_takes_all_neighbours_and_draws_nothing(settings):
    parts = experiment(settings)
    model = parts.model.eval()
    interaction, _, _, targets = next(iter(parts.loaders[1]))
    interaction["item_id"] = targets
    with torch.no_grad():
        scores = model.full_sort_predict(interaction)
        torch.testing.assert_close(scores, model.full_sort_predict(interaction), rtol=0, atol=0)
        torch.testing.assert_close(model.predict(interaction), scores[torch.arange(len(scores)), targets])


def test_older_items_count_less(settings):
    model = experiment(settings).model
    vectors = torch.eye(model.n_items, 16)
    state = model.encode_sequences(vectors, torch.tensor([[3, 5, 0]]), torch.tensor([2]))[0]
    assert state[5].item() == pytest.approx(1 / 1.7) and state[3].item() == pytest.approx(0.7 / 1.7)


def test_frozen_nodes_stay(settings):
    before = experiment(settings).model.domains["target"].embedding.weight.clone()
    record = run("CCDR", "few", (), {**settings, "freeze": "nodes"})
    state = checkpoint.load_checkpoint(f"{settings['checkpoint_dir']}/{record['run_id']}/last.pth")["state_dict"]
    assert torch.equal(state["domains.target.embedding.weight"], before)
    with pytest.raises(ConfigError, match="nothing is left to train"):
        run("CCDR", "few", (), {**settings, "freeze": ["nodes", "aggregator", "other"]})


def test_another_datasets_nodes_are_not_taken_over(settings, tmp_path):
    write_domain(tmp_path / "data", "else", 40, 3)
    first = run("CCDR", "few", (), settings)
    path = f"{settings['checkpoint_dir']}/{first['run_id']}/best.pth"
    start = built_run("CCDR", "else", (), settings).model
    model = built_run("CCDR", "else", (), {**settings, "pretrained": path}).model
    weights = checkpoint.load_checkpoint(path)["state_dict"]
    assert torch.equal(model.domains["target"].embedding.weight, start.domains["target"].embedding.weight)
    name = "encoder.layers.0.project.weight"
    assert torch.equal(model.state_dict()[name], weights[name])


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(settings):
    whole = run("CCDR", "few", (), {**settings, "epochs": 3})
    half = run("CCDR", "few", (), {**settings, "epochs": 1})
    folder = f"{settings['checkpoint_dir']}/{half['run_id']}"
    resumed = run("CCDR", "few", (), {**settings, "epochs": 3}, resume=folder)
    assert (resumed["valid"], resumed["test"]) == (whole["valid"], whole["test"])


def test_a_checkpoint_recommends(settings):
    record = run("CCDR", "few", (), settings)
    recommender = Recommender.from_checkpoint(f"{settings['checkpoint_dir']}/{record['run_id']}/best.pth")
    (found,) = recommender.recommend([["3", "4"]], topk=5)
    assert len(found) == 5 and not {"3", "4"} & {item.token for item in found}


@pytest.mark.parametrize("changes", [{"ccdr_match_loss": "ce"}, {"ccdr_aggregator": "fm_gat"},
                                     {"item_input": "text+id"}, {"ccdr_source": None}, {"ccdr_align": []}])  # fmt: skip
def test_every_form_trains_and_its_checkpoint_ranks_the_same(settings, changes):
    record = run("CCDR", "few", (), {**settings, **changes})
    folder = settings["checkpoint_dir"] + "/" + record["run_id"]
    again = RestoredRun(folder + "/best.pth")
    values = again.trainer(folder).evaluate(again.loaders[2], load_best_model=False)
    assert {name: float(value) for name, value in values.items()} == record["test"]
    assert checkpoint.load_checkpoint(folder + "/best.pth")["counts_hash"] == again.model.counts_hash


def test_the_softmax_over_triggers_teaches_the_decay(settings):
    parts = experiment(settings, ccdr_match_loss="ce")
    assert "trigger_decay" in taught(parts.model.train(), parts.model.calculate_loss(batch_of(parts))[0])
    assert not experiment(settings).model.trigger_decay.requires_grad


@pytest.mark.parametrize(("changes", "message"), [
    ({"ccdr_align": ["word", "colour"]}, "ccdr_align names 'colour'; choose from user, brand"),
    ({"ccdr_fan_out": [10, 0]}, "ccdr_fan_out must be a list of whole numbers from 1 up"),
    ({"ccdr_fan_out": None}, "ccdr_fan_out must be a list of whole numbers from 1 up, not None"),
    ({"ccdr_trigger_decay": 1.0}, "ccdr_trigger_decay must be between 0 and 1"),
    ({"ccdr_aggregator": "mean"}, "ccdr_aggregator is 'mean'; choose one of gat, fm_gat"),
    ({"ccdr_match_loss": "bpr"}, "ccdr_match_loss is 'bpr'; choose one of neighbor, ce"),
    ({"n_heads": 3}, "hidden_size 16 is not a multiple of n_heads 3"),
    ({"item_input": "text"}, "CCDR takes item_input=id or text"),
])  # fmt: skip
def test_settings_that_do_not_fit_are_refused(settings, changes, message):
    with pytest.raises(ConfigError, match=message):
        experiment(settings, **changes).model  # noqa: B018


def test_a_missing_source_is_named(settings):
    with pytest.raises(DataError, match="nowhere"):
        experiment(settings, ccdr_source="nowhere").model  # noqa: B018

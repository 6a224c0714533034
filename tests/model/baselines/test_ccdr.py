"""CCDR: what each loss teaches, what the domains share, and what the graph may know."""

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from recbole_mpo.common.errors import ConfigError, DataError
from recbole_mpo.model.baselines import ccdr
from recbole_mpo.quick_start.experiment import Experiment
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.release.recommend import Recommender
from recbole_mpo.trainer import checkpoint

KEYS = ("data_path", "checkpoint_dir", "cache_dir", "text_encoder", "show_progress", "use_gpu", "seed", "hidden_size")
WORDS = "garden lamp steel cup cotton chair paper brush glass table".split()


def write_domain(folder, name: str, users: int, seed: int, user: str = "u"):
    """Items of ten words, five items a word; histories stay with a word or go to the next one."""
    draw = np.random.default_rng(seed)
    target = folder / name
    target.mkdir(parents=True)
    rows = ["user_id:token\titem_id:token\ttimestamp:float"]
    for number in range(users):
        word = int(draw.integers(10))
        for step in range(8):
            rows.append(f"{user}{number}\t{word * 5 + int(draw.integers(5))}\t{step}")
            word = (word + int(draw.random() < 0.3)) % 10
    (target / f"{name}.inter").write_text("\n".join(rows) + "\n", encoding="utf-8")
    titles = [f"{item}\t{WORDS[item // 5]} {name} {'abcde'[item % 5] * 3}." for item in range(50)]
    text = ["item_id:token\ttext:token_seq", *titles]
    (target / f"{name}.text").write_text("\n".join(text) + "\n", encoding="utf-8")


@pytest.fixture
def settings(tiny_settings, tmp_path):
    write_domain(tmp_path / "data", "few", 40, 0)
    write_domain(tmp_path / "data", "many", 150, 1, "v")
    kept = {key: tiny_settings[key] for key in KEYS}
    return {**kept, "train_batch_size": 64, "epochs": 1, "ccdr_source": "many", "ccdr_clusters": 6}


def experiment(settings, **changes):
    return Experiment.of("CCDR", "few", (), {**settings, **changes})


def batch_of(parts):
    parts.loaders[0].set_epoch(0)
    return next(iter(parts.loaders[0]))


def taught(model, loss) -> set[str]:
    model.zero_grad()
    loss.backward()
    return {name for name, value in model.named_parameters() if value.grad is not None and value.grad.any()}


def test_a_run_with_a_source_counts_what_is_aligned(settings, capsys):
    record = run("CCDR", "few", (), settings)
    assert record["status"] == "completed" and record["test"]["hit@10"] > 0
    said = capsys.readouterr().out
    assert "CCDR between few and many; aligned: user 0, brand 0, category 0, word 9, cluster " in said
    assert "aligned users: 0, so the loss between users is off" in said


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


def taught_rows(model, loss) -> dict[str, set[str]]:
    """Of each domain's table which kinds of rows a loss teaches."""
    names = taught(model, loss) - {"kind_embedding.weight"}
    found = {}
    for domain, own in model.domains.items():
        rows = own.embedding.weight.grad
        if f"domains.{domain}.embedding.weight" in names:
            parts = {"items": rows[: own.item_num], "shared": rows[own.item_num :]}
            found[domain] = {kind for kind, part in parts.items() if part.any()}
            names.remove(f"domains.{domain}.embedding.weight")
    assert not names
    return found


def test_losses_between_domains_teach_the_rows_they_should(settings):
    torch.manual_seed(0)
    model = experiment(settings, ccdr_fan_out=[], hidden_dropout_prob=0.0).model.train()
    losses = model.inter_losses()
    assert losses.keys() == {"taxonomy", "neighbour"}
    assert taught_rows(model, losses["taxonomy"]) == {"target": {"shared"}, "source": {"shared"}}
    assert taught_rows(model, model.inter_losses()["neighbour"]) == {"target": {"items"}, "source": {"shared"}}


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
    none = model._is_none("target", every, every)
    assert none.diagonal().all() and none.sum() == len(own.neighbours.neighbours) + len(every)


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


def test_users_of_the_same_name_are_aligned_and_contrasted(settings, tmp_path):
    write_domain(tmp_path / "data", "same", 40, 2, "u")
    model = experiment(settings, ccdr_source="same", ccdr_inter_nodes=2).model
    torch.manual_seed(0)
    assert [list(model.inter_losses()) for _ in range(5)] == [["user", "taxonomy", "neighbour"]] * 5


def aligned_margin(model) -> float:
    """Mean cosine of a word in one domain with itself in the other, less that with other words."""
    model.eval()
    own = {name: model.aligned_taxonomy + model.domains[name].item_num for name in ("source", "target")}
    source, target = (F.normalize(model.encode_nodes(name, nodes)[0], dim=1) for name, nodes in own.items())
    cosines = source @ target.t()
    others = ~torch.eye(len(cosines), dtype=torch.bool)
    return (cosines.diagonal().mean() - cosines[others].mean()).item()


@pytest.mark.parametrize("permuted", [False, True])
def test_aligned_nodes_come_together_unless_others_are_aligned(settings, monkeypatch, permuted):
    torch.manual_seed(0)
    parts = experiment(settings, ccdr_align=["word"])
    model, batch = parts.model.train(), batch_of(parts)
    if permuted:
        inter, right = model.inter_losses, ccdr.contrast

        def wrong():
            with monkeypatch.context() as patch:
                patch.setattr(ccdr, "contrast", lambda first, second, *rest: right(first, second.roll(1, 0), *rest))
                return inter()

        monkeypatch.setattr(model, "inter_losses", wrong)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(60):
        optimizer.zero_grad()
        sum(model.calculate_loss(batch)).backward()
        optimizer.step()
    margin = aligned_margin(model)
    assert margin < 0.1 if permuted else margin > 0.3


def test_rows_of_valid_and_test_change_nothing_in_the_graph(settings, tmp_path):
    before = experiment(settings)
    for name in ("few", "many"):
        path = tmp_path / "data" / name / f"{name}.inter"
        frame = pd.read_csv(path, sep="\t", dtype=str)
        user, item, _ = frame.columns
        newest = frame.groupby(user).tail(2).index
        frame.loc[newest, item] = frame.loc[newest, item].to_numpy()[::-1]
        frame.to_csv(path, sep="\t", index=False)
    after = experiment(settings)
    names = [one.dataset.field2id_token["item_id"].tolist() for one in (before, after)]
    # Items are numbered by first appearance anywhere, so edges are compared by token.
    edges = [edges_by_token(one.model, tokens) for one, tokens in zip((before, after), names, strict=True)]
    assert edges[0] == edges[1]
    # The source's items are numbered by the reader of categories, in order of name.
    source = [edges_by_token(one.model, list(map(str, range(51))), "source") for one in (before, after)]
    assert source[0] == source[1]


def edges_by_token(model, tokens, domain="target"):
    own = model.domains[domain]
    table, names = own.neighbours, [*tokens, *(f"shared {node}" for node in range(len(own.kinds) - len(tokens)))]
    rows = torch.repeat_interleave(table.degrees).tolist()
    weights = table.cumulative.diff().round(decimals=6).tolist()
    columns = table.neighbours.tolist()
    return {(names[row], names[column], value) for row, column, value in zip(rows, columns, weights, strict=True)}


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


def test_without_anything_shared_there_is_still_the_target(settings, tmp_path):
    """Also with a source too small to have training pairs, and without texts, which nothing needs."""
    (tmp_path / "data" / "short").mkdir()
    rows = "".join(f"w{user}\t{item}\t{item}\n" for user in range(3) for item in (1, 2))
    header = "user_id:token\titem_id:token\ttimestamp:float\n"
    (tmp_path / "data" / "short" / "short.inter").write_text(header + rows, encoding="utf-8")
    for changes in ({"ccdr_align": []}, {"ccdr_align": ["user"]}, {"ccdr_align": "user"},
                    {"ccdr_align": [], "ccdr_intra_weight": 0, "ccdr_match_loss": "ce"}):  # fmt: skip
        for source in ("short", None):
            parts = experiment(settings, ccdr_source=source, **changes)
            losses = parts.model.calculate_loss(batch_of(parts))
            assert 1 <= len(losses) <= 2 and all(loss.isfinite() for loss in losses)


def test_frozen_nodes_stay(settings):
    before = experiment(settings).model.domains["target"].embedding.weight.clone()
    record = run("CCDR", "few", (), {**settings, "freeze": "nodes"})
    state = checkpoint.load_checkpoint(f"{settings['checkpoint_dir']}/{record['run_id']}/last.pth")["state_dict"]
    assert torch.equal(state["domains.target.embedding.weight"], before)
    with pytest.raises(ConfigError, match="nothing is left to train"):
        run("CCDR", "few", (), {**settings, "freeze": ["nodes", "aggregator", "other"]})


def test_another_data_sets_nodes_are_not_taken_over(settings, tmp_path):
    write_domain(tmp_path / "data", "else", 40, 3)
    first = run("CCDR", "few", (), settings)
    path = f"{settings['checkpoint_dir']}/{first['run_id']}/best.pth"
    start = Experiment.of("CCDR", "else", (), settings).model
    model = Experiment.of("CCDR", "else", (), {**settings, "pretrained": path}).model
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
    again, _ = Experiment.from_checkpoint(folder + "/best.pth")
    values = again.trainer(folder).evaluate(again.loaders[2], load_best_model=False)
    assert {name: float(value) for name, value in values.items()} == record["test"]
    assert checkpoint.load_checkpoint(folder + "/best.pth")["counts_hash"] == again.model.counts_hash


def test_the_softmax_over_triggers_teaches_the_decay(settings):
    parts = experiment(settings, ccdr_match_loss="ce")
    assert "trigger_decay" in taught(parts.model.train(), parts.model.calculate_loss(batch_of(parts))[0])
    assert not experiment(settings).model.trigger_decay.requires_grad


@pytest.mark.parametrize(("changes", "message"), [
    ({"ccdr_align": ["word", "colour"]}, "ccdr_align names 'colour'; choose from user, brand"),
    ({"ccdr_fan_out": [10, 0]}, "ccdr_fan_out must be a list of whole numbers from 1 on"),
    ({"ccdr_fan_out": None}, "ccdr_fan_out must be a list of whole numbers from 1 on, not None"),
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

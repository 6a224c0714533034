"""Tasks of pre-training: each is its formula, trains what it should, and their sum is weighted."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support import LetterEncoder, built_run, interrupted_in

from recbole_mpo.common.errors import CheckpointError, ConfigError
from recbole_mpo.data.batches import pack
from recbole_mpo.data.sequences import Windows
from recbole_mpo.model import tasks
from recbole_mpo.model.task_weighting import WEIGHTINGS
from recbole_mpo.model.tasks import TaskSum, contrast, last_targets, make_tasks, neighbours, unpacked
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.trainer.checkpoint import load_checkpoint

NAMES = ("nip", "si", "ss", "rel", "mip")


@pytest.fixture
def settings(tiny_settings, monkeypatch):
    LetterEncoder.replace_all(monkeypatch)
    return {**tiny_settings, "loss": "sampled", "sampled_items": 10}


@pytest.fixture
def built(settings):
    def make(names, **changes):
        return built_run("UniSRec", "tiny", (), {**settings, "tasks": list(names), **changes})

    return make


def first_batch(one):
    return next(iter(one.loaders[0]))


def batch_of(*histories):
    """A packed batch; each history's last item is the target of the one before it."""
    values = np.concatenate([np.array(history) for history in histories])
    lengths = np.array([len(history) - 1 for history in histories])
    starts = np.cumsum([0, *[len(history) for history in histories]])[:-1]
    return pack(values, Windows(starts, lengths, lengths.copy(), np.arange(len(lengths))))


# Parts of a batch


def test_histories_are_unpacked_as_they_were():
    batch = batch_of([3, 4, 5, 6], [7, 8], [9, 4, 2])
    histories, lengths, targets = unpacked(batch)
    found = {
        (tuple(history[:length].tolist()), target.item())
        for history, length, target in zip(histories, lengths, targets, strict=True)
    }
    assert found == {((3, 4, 5), 6), ((7,), 8), ((9, 4), 2)}
    assert not histories[torch.arange(3) >= lengths.unsqueeze(1)].any()
    last = last_targets(batch)
    assert sorted(last.targets.tolist()) == [2, 6, 8] and torch.equal(last.items, batch.items)


def test_neighbours_stand_in_one_history_and_are_different():
    before, after = neighbours(batch_of([3, 4, 4, 5, 1], [3, 4, 9], [8, 7]))
    assert sorted(zip(before.tolist(), after.tolist(), strict=True)) == [(3, 4), (4, 5)]


# Formulas


@torch.no_grad()
def published_contrast(queries, others, targets, temperature):
    """UniSRec's published formula, one row after another: same targets leave exp(0) in the denominator."""
    losses = []
    for row, query in enumerate(queries):
        total = 0.0
        for column, other in enumerate(others):
            logit = float(query @ other) / temperature
            total += math.exp(0.0 if column != row and targets[column] == targets[row] else logit)
        losses.append(-math.log(math.exp(float(query @ others[row]) / temperature) / total))
    return sum(losses) / len(losses)


def test_the_published_contrast_is_reproduced():
    draw = torch.Generator().manual_seed(0)
    queries, others = (F.normalize(torch.randn(6, 5, generator=draw, dtype=torch.float64), dim=1) for _ in range(2))
    targets = torch.tensor([1, 2, 1, 3, 1, 2])
    same = targets.unsqueeze(1) == targets
    loss = contrast(queries / 0.07, others, torch.arange(6), same, residual=True)
    assert loss.item() == pytest.approx(published_contrast(queries, others, targets.tolist(), 0.07), abs=1e-9)
    without = contrast(queries / 0.07, others, torch.arange(6), same, residual=False)
    assert without < loss


def test_the_published_loss_is_that_of_si_and_ss_with_their_weights(built, monkeypatch):
    """Computed from the model's own vectors and states, one history at a time; nothing is dropped or noisy."""
    one = built(["si", "ss"], task_weights={"ss": 1e-3}, unisrec_compat=True)
    monkeypatch.setattr(tasks, "DROPPED", 0.5)
    model, batch = one.model.eval(), first_batch(one)
    histories, lengths, targets = unpacked(batch)
    torch.manual_seed(3)
    loss = model.calculate_loss(batch).item()
    vectors = model.encode_items()
    torch.manual_seed(3)
    keeps = torch.rand(histories.shape) >= 0.5
    chosen = (torch.rand(len(histories), 1) * lengths.unsqueeze(1)).long().squeeze(1)
    states, dropped = [], []
    for row, (history, length) in enumerate(zip(histories, lengths, strict=True)):
        items = history[:length].tolist()
        kept = [item for place, item in enumerate(items) if keeps[row, place] or place == chosen[row]]
        for part, into in ((items, states), (kept, dropped)):
            state = model.encode_sequences(vectors, torch.tensor([part]), torch.tensor([len(part)]))[0]
            into.append(F.normalize(state, dim=0))
    positives = F.normalize(vectors[targets], dim=1)
    parts = [published_contrast(states, others, targets.tolist(), 0.07) for others in (positives, dropped)]
    assert loss == pytest.approx(parts[0] + 1e-3 * parts[1], abs=1e-5)


def test_neighbours_are_contrasted_in_both_directions(built):
    one = built(["rel", "si"])
    model = one.model.eval()
    batch = batch_of([3, 4, 5, 1], [6, 7, 8])
    vectors = F.normalize(model.encode_items(), dim=1).detach()
    items = [3, 4, 5, 6, 7]
    losses = []
    for query, positive in [(3, 4), (4, 5), (6, 7), (4, 3), (5, 4), (7, 6)]:
        scores = {item: float(vectors[query] @ vectors[item]) / 0.07 for item in items if item != query}
        losses.append(-scores[positive] + math.log(sum(map(math.exp, scores.values()))))
    assert model.objective.tasks["rel"](model, batch).item() == pytest.approx(sum(losses) / 6, abs=1e-5)


def test_masked_items_are_found_from_both_sides(built):
    """The state of a hidden place depends on what comes after it, and not on the hidden item itself."""
    one = built(["mip", "si"])
    model, task = one.model.eval(), one.model.objective.tasks["mip"]

    def states(items, hidden):
        vectors = model.encode_items()
        inputs = F.embedding(torch.tensor([items]), vectors).clone()
        inputs[0, hidden] = task.mask
        padding = torch.zeros(1, len(items), dtype=torch.bool)
        return model.sequence.states_from_both_sides(inputs, padding)[0, hidden]

    torch.testing.assert_close(states([3, 4, 5], 1), states([3, 9, 5], 1))
    assert not torch.allclose(states([3, 4, 5], 1), states([3, 4, 8], 1))
    assert 0 < task(model, first_batch(one)).item() < 2 / 0.07


# What is trained


@pytest.mark.parametrize(
    ("name", "trains_encoder"), [("nip", True), ("si", True), ("ss", True), ("rel", False), ("mip", True)]
)
def test_a_task_trains_what_it_should(built, name, trains_encoder):
    one = built([name, "si" if name != "si" else "rel"])
    model = one.model.train()
    model.objective.tasks[name](model, first_batch(one)).backward()
    reached = {part.split(".")[0] for part, weight in model.named_parameters() if weight.grad is not None}
    assert ("trm_encoder" in reached) == trains_encoder and "moe_adaptor" in reached
    assert ("objective" in reached) == (name == "mip")
    gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("name", NAMES)
def test_every_loss_falls(built, name, settings):
    names = [name, "si" if name == "nip" else "nip"]
    record = run("UniSRec", "tiny", (), {**settings, "tasks": names, "epochs": 6, "learning_rate": 0.01})
    losses = [epoch["task_losses"][name] for epoch in record["history"]]
    assert min(losses[3:]) < losses[0]


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_every_loss_falls_under_every_weighting(settings, weighting):
    names = ["nip", "ss", "rel"]
    changes = {"tasks": names, "task_weighting": weighting, "epochs": 5, "learning_rate": 0.02}
    history = run("UniSRec", "tiny", (), {**settings, **changes})["history"]
    for name in names:
        assert min(epoch["task_losses"][name] for epoch in history[1:]) < history[0]["task_losses"][name]
    assert all(epoch["task_weights"].keys() == set(names) for epoch in history)


def test_one_history_of_one_item_has_a_loss_of_every_task(built):
    one = built(NAMES)
    for name, task in one.model.objective.tasks.items():
        loss = task(one.model, batch_of([3, 4], [5, 6, 7])) if name != "nip" else torch.tensor(0.0)
        assert torch.isfinite(loss)


@pytest.mark.parametrize("loss", ["full", "sampled"])
@pytest.mark.parametrize("mask_pad", [False, True])
def test_losses_are_divided_by_that_of_a_guess(built, loss, mask_pad):
    plain, divided = (
        built(NAMES, loss=loss, mask_pad=mask_pad, loss_norm=norm).model.eval() for norm in ("none", "logN")
    )
    batch = batch_of([3, 4, 5, 1], [6, 7, 8], [9, 4, 2])
    losses = []
    for model in (plain, divided):
        torch.manual_seed(0)
        losses.append(model.objective.losses(model, batch))
    histories = unpacked(batch)[0]
    neighbouring = neighbours(batch).unique()
    counts = {"nip": 30 + (not mask_pad), "si": 3, "ss": 3, "rel": len(neighbouring), "mip": len(histories.unique())}
    assert plain.n_items == 31
    for name, count in counts.items():
        assert losses[1][name].item() == pytest.approx(losses[0][name].item() / math.log(count), rel=1e-5)


def test_a_guess_among_one_is_not_divided_by_zero():
    assert tasks.log_count(1) == tasks.log_count(2) == math.log(2)


# The connection


@pytest.mark.parametrize("model", ["UniSRec", "MPORecExpand"])
@pytest.mark.parametrize(("kind", "fuse"), [("residual", "main"), ("attention", "mean"), ("residual", "gated")])
def test_a_new_connection_changes_nothing(settings, model, kind, fuse):
    """Neither what a seed gives the other weights, nor losses, nor scores."""
    connected, plain = (
        built_run(model, "tiny", (), {**settings, "tasks": list(NAMES), **changes})
        for changes in ({"cross_task": kind, "fuse": fuse}, {})
    )
    ours, theirs = connected.model.state_dict(), plain.model.state_dict()
    added = ours.keys() - theirs.keys()
    assert theirs.keys() <= ours.keys() and added and all(name.startswith("cross_task.") for name in added)
    assert {name.split(".")[2] for name in added if ".heads." in name} == set(NAMES) - {"rel"}
    assert all(torch.equal(ours[name], weight) for name, weight in theirs.items())
    results = []
    for one in (connected, plain):
        torch.manual_seed(0)
        losses = one.model.train().objective.losses(one.model, first_batch(one))
        interaction = next(iter(one.loaders[1]))[0]
        with torch.no_grad():
            results.append((losses, one.model.eval().full_sort_predict(interaction)))
    (first, scores), (second, others) = results
    assert all(torch.equal(first[name], second[name]) for name in NAMES) and torch.equal(scores, others)


def test_the_main_task_is_nip_or_else_the_first_with_states(built):
    assert built(["si", "nip"], cross_task="residual").model.cross_task.main == "nip"
    assert built(["rel", "ss", "si"], cross_task="residual").model.cross_task.main == "ss"
    assert built(["nip", "si"]).model.cross_task is None


@pytest.mark.parametrize("fuse", ["main", "gated"])
def test_items_are_predicted_through_the_connection(built, fuse):
    one = built(["nip", "si"], cross_task="residual", fuse=fuse)
    model, states = one.model.eval(), torch.randn(4, 16)
    torch.nn.init.normal_(model.cross_task.heads["nip"].up)
    torch.testing.assert_close(model.queries(states), model.scoring.queries(model.cross_task(states)))
    assert torch.equal(model.queries(states, "si"), model.scoring.queries(states))
    assert not torch.allclose(model.queries(states), model.scoring.queries(states))


class TestStartingFromAConnection:
    @pytest.fixture
    def connected(self, settings):
        return {**settings, "tasks": ["nip", "si"], "cross_task": "attention", "fuse": "mean", "epochs": 1}

    @pytest.fixture
    def best(self, connected, tmp_path):
        record = run("UniSRec", "tiny", (), {**connected, "learning_rate": 0.05})
        return str(tmp_path / "saved" / record["run_id"] / "best.pth")

    @pytest.mark.parametrize("name", ["UniSRec", "MPORec"])
    def test_the_same_one_is_taken_over(self, connected, best, name):
        model = built_run(name, "tiny", (), {**connected, "pretrained": best}).model
        trained = load_checkpoint(best)["state_dict"]
        ours = {name: weight for name, weight in model.state_dict().items() if name.startswith("cross_task.")}
        assert ours and all(torch.equal(trained[name], weight) for name, weight in ours.items())
        assert ours["cross_task.exchange.output"].any()

    def test_without_one_the_run_says_what_it_leaves_out(self, settings, best, caplog):
        model = built_run("MPORec", "tiny", (), {**settings, "pretrained": best}).model
        assert model.cross_task is None
        expected = "predicts from the states before it; --tasks=nip,si --cross_task=attention --fuse=mean keeps it"
        assert expected in caplog.text

    def test_a_new_one_starts_where_weights_without_one_are(self, connected, settings, tmp_path):
        record = run("UniSRec", "tiny", (), {**settings, "epochs": 1})
        best = str(tmp_path / "saved" / record["run_id"] / "best.pth")
        one = built_run("UniSRec", "tiny", (), {**connected, "pretrained": best})
        plain = built_run("UniSRec", "tiny", (), {**settings, "pretrained": best})
        interaction = next(iter(one.loaders[1]))[0]
        with torch.no_grad():
            scores = [each.model.eval().full_sort_predict(interaction) for each in (one, plain)]
        assert torch.equal(*scores)

    def test_another_one_is_refused_by_name(self, connected, best):
        with pytest.raises(CheckpointError, match=r"another architecture.*cross_task\.exchange"):
            built_run("UniSRec", "tiny", (), {**connected, "cross_task": "residual", "pretrained": best}).model  # noqa: B018


# The sum


def test_the_sum_is_weighted_and_the_losses_are_kept(built):
    one = built(["si", "rel"], task_weights={"rel": 0.25})
    model, batch = one.model.eval(), first_batch(one)
    losses = model.objective.losses(model, batch)
    total = model.calculate_loss(batch)
    assert total.item() == pytest.approx(losses["si"].item() + 0.25 * losses["rel"].item(), rel=1e-6)
    assert model.end_epoch()["task_losses"] == {name: pytest.approx(loss.item()) for name, loss in losses.items()}
    assert model.end_epoch() == {}


def test_the_next_item_alone_is_the_objective_itself(built):
    assert not isinstance(built(["nip"]).model.objective, TaskSum)
    assert make_tasks({"tasks": None}, objective := torch.nn.Identity()) is objective
    assert built(["nip"]).model.end_epoch() == {}


def test_what_belongs_to_the_tasks_stays_with_pre_training(settings, tmp_path):
    record = run("UniSRec", "tiny", (), {**settings, "tasks": list(NAMES), "epochs": 1})
    best = tmp_path / "saved" / record["run_id"] / "best.pth"
    assert "objective.tasks.mip.mask" in load_checkpoint(best)["state_dict"]
    fine_tuned = run("MPORec", "tiny", (), {**settings, "pretrained": str(best), "epochs": 1})
    assert fine_tuned["status"] == "completed"


def test_a_run_of_several_tasks_goes_on_bit_for_bit(settings):
    settings = {**settings, "tasks": list(NAMES), "epochs": 3}
    whole = run("UniSRec", "tiny", (), settings)

    with interrupted_in(2):
        run("UniSRec", "tiny", (), settings)
    again = run("UniSRec", "tiny", (), settings, resume="auto")
    kept = [(epoch["train_loss"], epoch["task_losses"], epoch["valid"]) for epoch in again["history"]]
    assert kept == [(epoch["train_loss"], epoch["task_losses"], epoch["valid"]) for epoch in whole["history"]]


def test_padded_rows_have_the_next_item_alone(built):
    with pytest.raises(ConfigError, match="tasks other than nip need train_mode=packed"):
        built(["si"], train_mode="pairwise")

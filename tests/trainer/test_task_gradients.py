"""Steps that work on the gradients of single tasks: projected, balanced, or of one task alone."""

import pytest
import torch
from support import LetterEncoder, built_run
from torch import nn

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.model.task_sum import TaskSum
from recbole_mpo.model.task_weighting import WEIGHTINGS
from recbole_mpo.trainer.optimizer import optimizer_groups
from recbole_mpo.trainer.task_gradients import projected_weights, step_loss

TASKS = ["nip", "si", "ss", "rel", "mip"]


class Slope(nn.Module):
    """A task whose gradient of the model's ``shared`` is given, and which may have a head and a weight of its own."""

    def __init__(self, slope, own=0.0):
        super().__init__()
        self.slope, self.own = torch.tensor(slope), own
        self.head = nn.Parameter(torch.ones(()))

    def forward(self, model, batch):
        return (self.slope * model.shared).sum() + self.own * self.head + 5.0


class Sloping(nn.Module):
    """A model of two weights, trained on tasks with given slopes."""

    cross_task = None

    def __init__(self, weighting, tasks, fixed=None):
        super().__init__()
        self.shared = nn.Parameter(torch.zeros(2))
        self.objective = TaskSum(tasks, WEIGHTINGS[weighting](fixed or [1.0] * len(tasks)))

    @property
    def task_sum(self):
        return self.objective

    def calculate_loss(self, batch):
        return self.objective(self, batch)


def two(weighting, first, second, fixed=None):
    return Sloping(weighting, {"a": Slope(first, own=2.0), "b": Slope(second, own=3.0)}, fixed)


def gradients(model):
    """The gradients of a step, by name, without those of parameters that have none."""
    model.zero_grad()
    step_loss(model, None).backward()
    return {name: weight.grad.tolist() for name, weight in model.named_parameters() if weight.grad is not None}


class TestPCGrad:
    def test_conflicting_gradients_lose_what_they_conflict_in(self):
        """(1, 0) becomes (.5, .5) and (-1, 1) becomes (0, 1)."""
        found = gradients(two("pcgrad", [1.0, 0.0], [-1.0, 1.0]))
        assert found["shared"] == pytest.approx([0.5, 1.5])
        assert found["objective.tasks.a.head"] == 2.0 and found["objective.tasks.b.head"] == 3.0

    def test_others_are_added_as_they_are(self):
        for second in ([1.0, 1.0], [0.0, 3.0]):
            assert gradients(two("pcgrad", [1.0, 0.0], second))["shared"] == [1.0 + second[0], second[1]]

    def test_the_settings_weights_come_first(self):
        found = gradients(two("pcgrad", [1.0, 0.0], [-1.0, 1.0], fixed=[4.0, 1.0]))
        # (4, 0) becomes (2, 2), and (-1, 1) becomes (0, 1).
        assert found["shared"] == pytest.approx([2.0, 3.0]) and found["objective.tasks.a.head"] == 8.0

    def test_the_share_of_conflicts_is_kept(self):
        model = two("pcgrad", [3.0, 4.0], [-1.0, 0.0])
        gradients(model)
        model.shared.data += 1.0
        gradients(model)
        measured = model.objective.end_epoch()
        assert measured["gradient_conflicts"] == 1.0
        assert measured["gradient_lengths"] == pytest.approx({"a": 5.0, "b": 1.0})
        assert measured["task_losses"] == pytest.approx({"a": 7.0 + 3.5, "b": 8.0 - 0.5})
        assert measured["task_weights"] == {"a": 1.0, "b": 1.0}

    def test_the_order_is_drawn(self):
        rows = torch.randn(4, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
        drawn = set()
        for seed in range(20):
            torch.manual_seed(seed)
            drawn.add(tuple(projected_weights(rows @ rows.t()).tolist()))
        assert len(drawn) > 1

    def test_is_that_of_torchjd(self):
        aggregation = pytest.importorskip("torchjd.aggregation", reason="torchjd is not installed")
        for seed in range(10):
            rows = torch.randn(5, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
            torch.manual_seed(seed)
            expected = aggregation.PCGrad()(rows)
            torch.manual_seed(seed)
            torch.testing.assert_close(projected_weights(rows @ rows.t()) @ rows, expected)


class TestGradNorm:
    def test_gradients_are_weighted(self):
        model = two("gradnorm", [3.0, 0.0], [0.0, 1.0])
        model.objective.weighting.log_weights.data = torch.tensor([1.0, 0.0])
        first, second = (2 * torch.softmax(torch.tensor([1.0, 0.0]), dim=0)).tolist()
        found = gradients(model)
        assert found["shared"] == pytest.approx([3 * first, second])
        assert found["objective.tasks.a.head"] == pytest.approx(2 * first)
        # The longer gradient is to be shorter.
        assert found["objective.weighting.log_weights"][0] > 0 > found["objective.weighting.log_weights"][1]

    def test_a_loss_a_hundred_times_larger_gets_an_equally_long_gradient(self):
        model = two("gradnorm", [30.0, 40.0], [-0.3, 0.4])
        optimizer = torch.optim.Adam(model.objective.weighting.parameters(), lr=0.01)
        for _ in range(1000):
            optimizer.zero_grad()
            step_loss(model, None).backward()
            optimizer.step()
        model.objective.end_epoch()
        gradients(model)
        lengths = model.objective.end_epoch()["gradient_lengths"]
        assert lengths["a"] == pytest.approx(lengths["b"], rel=0.05)

    def test_needs_weights_that_all_tasks_train(self):
        model = two("gradnorm", [3.0, 0.0], [0.0, 1.0])
        model.shared.requires_grad_(False)
        with pytest.raises(ConfigError, match="task_weighting=gradnorm needs weights that all tasks train"):
            step_loss(model, None)


@pytest.mark.parametrize("name", WEIGHTINGS)
def test_one_task_has_the_gradients_of_its_loss(name):
    model = Sloping(name, {"a": Slope([3.0, -4.0], own=2.0)})
    factor = 0.5 if name == "uncertainty" else 1.0
    found = gradients(model)
    assert found["shared"] == pytest.approx([3.0 * factor, -4.0 * factor])
    assert found["objective.tasks.a.head"] == pytest.approx(2.0 * factor)


def test_a_task_that_trains_nothing_is_no_obstacle():
    for name in ("pcgrad", "alternating"):
        model = two(name, [1.0, 0.0], [0.0, 1.0])
        model.shared.requires_grad_(False)
        model.objective.tasks["b"].head.requires_grad_(False)
        for _ in range(2):
            gradients(model)


@pytest.mark.parametrize("name", ["pcgrad", "gradnorm"])
def test_what_is_done_with_the_loss_reaches_its_gradients(name):
    """A scaler multiplies the loss before the backward pass."""
    model = two(name, [1.0, 0.0], [-1.0, 1.0])
    torch.manual_seed(0)
    once = gradients(model)
    model.zero_grad()
    (8 * step_loss(model, None)).backward()
    assert model.shared.grad.tolist() == pytest.approx([8 * one for one in once["shared"]])


# Whole models


@pytest.fixture
def built(tiny_settings, monkeypatch):
    LetterEncoder.replace_all(monkeypatch)
    settings = {**tiny_settings, "loss": "sampled", "sampled_items": 10, "tasks": TASKS}

    def make(weighting, model="UniSRec", **changes):
        return built_run(model, "tiny", (), {**settings, "task_weighting": weighting, **changes})

    return make


def batches(one):
    while True:
        yield from one.loaders[0]


def changed_in_steps(one, count):
    """The names of the parameters that each step changes."""
    model, source = one.model.train(), batches(one)
    optimizer = torch.optim.Adam(optimizer_groups(model, 0.01), weight_decay=0.1)
    changed = []
    for _ in range(count):
        before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
        optimizer.zero_grad()
        step_loss(model, next(source)).backward()
        optimizer.step()
        changed.append({name for name, weight in model.named_parameters() if not torch.equal(weight, before[name])})
    return changed


@pytest.mark.parametrize("kind", ["residual", "attention"])
def test_alternating_trains_one_task_and_then_the_connection_alone(built, kind):
    one = built("alternating", cross_task=kind, fuse="gated", hidden_dropout_prob=0.0, attn_dropout_prob=0.0)
    names = {name for name, _ in one.model.named_parameters()}
    connection = {name for name in names if name.startswith("cross_task.")}
    heads = {name for name in connection if ".heads." in name}
    shared = {name for name in names if not name.startswith(("cross_task.", "objective."))}
    changed = changed_in_steps(one, 12)
    # Adam and weight decay move all that has a gradient; in the first round what is behind a zero has none.
    for task, step in zip(TASKS, changed[6:11], strict=True):
        own = {name for name in heads if f".heads.{task}." in name}
        assert step <= shared | own | {f"objective.tasks.{task}.mask"}
        assert own <= step and ("objective.tasks.mip.mask" in step) == (task == "mip")
        reaches_encoder = any(name.startswith("trm_encoder.") for name in step)
        assert reaches_encoder == (task != "rel") and any(name.startswith("moe_adaptor.") for name in step)
    assert changed[5] | changed[11] <= connection - heads and changed[11]


def test_alternating_without_a_connection_has_no_step_for_it(built):
    one = built("alternating")
    changed_in_steps(one, 6)
    measured = one.model.end_epoch()
    assert measured["task_weights"] == pytest.approx({name: (1 + (name == "nip")) / 6 for name in TASKS})


@pytest.mark.parametrize(
    ("model", "loss"), [("UniSRec", "sampled"), ("MPORec", "full"), ("LoRA", "sampled"), ("MPORecLight", "chunked")]
)
def test_projection_without_conflict_is_the_sum(built, monkeypatch, model, loss):
    """With all products of gradients at zero or above nothing is projected, and the gradients are those of the sum."""
    monkeypatch.setattr("recbole_mpo.trainer.task_gradients.projected_weights", lambda products: torch.ones(5))
    one = built("pcgrad", model, loss=loss, item_chunk=10)
    built_model, batch = one.model.eval(), next(batches(one))
    found = []
    for loss_of in (step_loss, lambda model, batch: model.calculate_loss(batch)):
        built_model.zero_grad()
        torch.manual_seed(0)
        value = loss_of(built_model, batch)
        value.backward()
        gradients = {name: weight.grad for name, weight in built_model.named_parameters() if weight.grad is not None}
        found.append((value.item(), gradients))
    (first, ours), (second, sums) = found
    assert first == pytest.approx(second, rel=1e-6) and ours.keys() == sums.keys()
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, sums[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["pcgrad", "gradnorm"])
def test_gradients_keep_their_precision_under_bfloat16(built, name):
    one = built(name)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = step_loss(one.model.train(), next(batches(one)))
    loss.backward()
    moved = [weight.grad for weight in one.model.parameters() if weight.grad is not None]
    assert all(gradient.dtype == torch.float32 and gradient.isfinite().all() for gradient in moved)

"""What the optimizer updates, and at which learning rate."""

import pytest
import torch
from support import built_run

from recbole_mpo.common.errors import CheckpointError, ConfigError
from recbole_mpo.model.parameters import core_names, freeze
from recbole_mpo.trainer.optimizer import MULTIPLIERS, load_optimizer, optimizer_groups


@pytest.fixture
def light(tiny_settings):
    return built_run("MPORecLight", "tiny", (), tiny_settings).model


def names_of(model, parameters):
    by_id = {id(parameter): name for name, parameter in model.named_parameters()}
    return {by_id[id(parameter)] for parameter in parameters}


def test_optimizer_holds_the_trainable_parameters_and_only_those(light):
    freeze(light, ["encoder", "positions"])
    cores, rest = optimizer_groups(light, 0.01, {"mpo_lr_multiplier": 3.0})
    assert (cores["lr"], rest["lr"]) == (pytest.approx(0.03), 0.01)
    trainable = {name for name, parameter in light.named_parameters() if parameter.requires_grad}
    assert names_of(light, cores["params"]) == {name for name in trainable if ".cores." in name}
    assert names_of(light, rest["params"]) == {name for name in trainable if ".cores." not in name}
    assert not any(name.endswith(".cores.2") or "trm_encoder" in name for name in trainable)


def test_frozen_tensors_do_not_move(light):
    freeze(light, "encoder")
    frozen = {name: p.clone() for name, p in light.named_parameters() if not p.requires_grad}
    trained = {name: p.clone() for name, p in light.named_parameters() if p.requires_grad}
    optimizer = torch.optim.Adam(optimizer_groups(light, 0.1), weight_decay=0.1)
    light.score(light.encode_items()[1:3], light.encode_items()).square().mean().backward()
    optimizer.step()
    now = dict(light.named_parameters())
    assert all(torch.equal(now[name], value) for name, value in frozen.items())
    assert any(not torch.equal(now[name], value) for name, value in trained.items())


def test_what_weighs_tasks_has_a_rate_of_its_own_and_does_not_decay(tiny_settings):
    tasks = {"tasks": ["nip", "mip"], "task_weighting": "uncertainty"}
    model = built_run("UniSRec", "tiny", (), {**tiny_settings, **tasks}).model
    weighting, rest = optimizer_groups(model, 0.01, {"weighting_lr_multiplier": 5.0})
    assert names_of(model, weighting["params"]) == {"objective.weighting.log_variances"}
    assert (weighting["lr"], weighting["weight_decay"], rest["lr"]) == (pytest.approx(0.05), 0.0, 0.01)
    assert "weight_decay" not in rest and "objective.tasks.mip.mask" in names_of(model, rest["params"])
    optimizer = torch.optim.Adam([weighting, rest], weight_decay=0.1)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.0, 0.1]
    freeze(model, ["adaptor", "encoder", "positions", "layer_norm"])
    model.objective.tasks["mip"].mask.requires_grad_(False)
    with pytest.raises(ConfigError, match="nothing is left to train"):
        optimizer_groups(model, 0.1)


def test_nothing_left_to_train_is_an_error(tiny_settings):
    model = built_run("UniSRec", "tiny", (), tiny_settings).model
    freeze(model, ["adaptor", "encoder", "positions", "layer_norm"])
    with pytest.raises(ConfigError, match="nothing is left to train"):
        optimizer_groups(model, 0.1)


@pytest.mark.parametrize(
    ("name", "changes", "rates"),
    [
        ("UniSRec", {}, [0.01]),
        ("MPORec", {}, [0.03, 0.01]),
        ("UniSRec", {"evidence": ["covisit"]}, [0.05, 0.01]),
        ("MPORec", {"evidence": ["covisit"]}, [0.03, 0.05, 0.01]),
        ("SASRecCE", {"item_input": "id"}, [0.01]),
    ],
)
def test_cores_and_evidence_have_rates_of_their_own(tiny_settings, name, changes, rates):
    model = built_run(name, "tiny", (), {**tiny_settings, **changes}).model
    groups = optimizer_groups(model, 0.01, {"mpo_lr_multiplier": 3.0, "evidence_lr_multiplier": 5.0})
    assert [group["lr"] for group in groups] == pytest.approx(rates)
    # Each parameter stands in one group, in the model's order: a checkpoint's optimizer state goes by it.
    names = [list(names_in_order(model, group["params"])) for group in groups]
    assert sorted(sum(names, [])) == sorted(name for name, _ in model.named_parameters())
    order = [name for name, _ in model.named_parameters()]
    assert all(group == sorted(group, key=order.index) for group in names)
    if "evidence" in changes:
        of_covisits = [f"evidence.kinds.covisit.{name}" for name in ("weight", "log_recent", "log_factor")]
        assert names[-2] == ["evidence.repeats", *of_covisits]


def names_in_order(model, parameters):
    by_id = {id(parameter): name for name, parameter in model.named_parameters()}
    return (by_id[id(parameter)] for parameter in parameters)


def test_a_rate_of_zero_is_a_rate(light):
    cores, rest = optimizer_groups(light, 0.01, {"mpo_lr_multiplier": 0.0})
    assert cores["lr"] == 0 and cores["params"] and rest["lr"] == 0.01


def test_a_group_without_parameters_is_left_out(light):
    freeze(light, "adaptor")
    (group,) = optimizer_groups(light, 0.01, {"mpo_lr_multiplier": 3.0})
    assert group["lr"] == 0.01 and not any(".cores." in name for name in names_of(light, group["params"]))


OPTIMIZERS = {
    "adam": lambda groups: torch.optim.Adam(groups, fused=True),
    "adamw": torch.optim.AdamW,
    "sgd": lambda groups: torch.optim.SGD(groups, lr=0.1),
    "adagrad": torch.optim.Adagrad,
    "rmsprop": torch.optim.RMSprop,
    "sparse_adam": torch.optim.SparseAdam,
}


class TestLoadOptimizer:
    """The state of an optimizer comes back from a checkpoint, if it is one of these parameters."""

    @staticmethod
    def trained(name, steps, shapes=((2,), (3, 4))):
        """Return parameters, and their optimizer after steps with made-up gradients."""
        generator = torch.Generator().manual_seed(0)
        parameters = [torch.nn.Parameter(torch.ones(shape)) for shape in shapes]
        optimizer = OPTIMIZERS[name]([{"params": [parameter]} for parameter in parameters])
        for _ in range(steps):
            for parameter in parameters:
                gradient = torch.randn(parameter.shape, generator=generator)
                parameter.grad = gradient.to_sparse() if name == "sparse_adam" else gradient
            optimizer.step()
        return parameters, optimizer

    @pytest.mark.parametrize("name", OPTIMIZERS)
    def test_goes_on_as_if_never_stopped(self, name, tmp_path):
        (*_, whole), optimizer = self.trained(name, 3)
        torch.save(optimizer.state_dict(), tmp_path / "state.pth")
        _, other = self.trained(name, 0)
        load_optimizer(other, torch.load(tmp_path / "state.pth", weights_only=True), "last.pth")
        for optimizer_now in (optimizer, other):
            parameter = optimizer_now.param_groups[1]["params"][0]
            parameter.data.copy_(whole.detach())
            gradient = torch.full_like(parameter, 0.3)
            parameter.grad = gradient.to_sparse() if name == "sparse_adam" else gradient
        optimizer.step(), other.step()
        assert torch.equal(other.param_groups[1]["params"][0], whole)

    def test_the_settings_stay_those_of_the_run(self):
        state = self.trained("adam", 1)[1].state_dict()
        state["param_groups"][0]["lr"] = "fast"
        _, optimizer = self.trained("adam", 0)
        load_optimizer(optimizer, state, "last.pth")
        assert [group["lr"] for group in optimizer.param_groups] == [1e-3, 1e-3]

    @pytest.mark.parametrize("name", ["adagrad", "rmsprop"])
    def test_that_of_another_kind_is_refused(self, name):
        _, optimizer = self.trained("adam", 0)
        with pytest.raises(CheckpointError, match="last.pth has an optimizer whose state of parameter 0 does not fit"):
            load_optimizer(optimizer, self.trained(name, 1)[1].state_dict(), "last.pth")

    @pytest.mark.parametrize("shapes", [((2,), (4, 3)), ((3,), (3, 4)), ((2,), (12,))])
    def test_that_of_other_shapes_is_refused(self, shapes):
        """torch takes it, and fails in the next step."""
        _, optimizer = self.trained("adam", 0)
        with pytest.raises(CheckpointError, match="an optimizer whose state of parameter [01] does not fit the model"):
            load_optimizer(optimizer, self.trained("adam", 1, shapes)[1].state_dict(), "last.pth")

    def test_that_of_more_parameters_is_refused(self):
        _, optimizer = self.trained("adam", 0)
        state = self.trained("adam", 1, ((2,), (3, 4), (1,)))[1].state_dict()
        with pytest.raises(CheckpointError, match="last.pth has an optimizer of other parameters, so it cannot be res"):
            load_optimizer(optimizer, state, "last.pth")


def test_ids_in_the_scores_have_a_rate_of_their_own_and_cores_keep_theirs(tiny_settings):
    settings = {**tiny_settings, "item_input": "text+id", "mpo_target_modules": "all-linear"}
    model = built_run("MPORec", "tiny", (), settings).model
    rates = {key: rate for rate, key in enumerate(MULTIPLIERS, start=2)}
    groups = optimizer_groups(model, 1.0, rates)
    names = {parameter: name for name, parameter in model.named_parameters()}
    found = {group["lr"]: {names[parameter] for parameter in group["params"]} for group in groups}
    assert {"item_ids.table", "item_ids.bias"} <= found[rates["id_lr_multiplier"]]
    assert found[rates["mpo_lr_multiplier"]] == core_names(model) and len(found) == 3
    assert sum(map(len, found.values())) == len(names)

"""Freezing by group, optimizer groups, and the counts that are printed."""

import pytest
import torch

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.model.parameters import core_names, count_parameters, freeze, group_of, parameter_table
from recbole_mpo.quick_start.experiment import Experiment
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.trainer.checkpoint import load_checkpoint
from recbole_mpo.trainer.optimizer import optimizer_groups


@pytest.fixture
def light(tiny_settings):
    return Experiment.of("MPORecLight", "tiny", (), tiny_settings).model


def names_of(model, parameters):
    by_id = {id(parameter): name for name, parameter in model.named_parameters()}
    return {by_id[id(parameter)] for parameter in parameters}


def test_optimizer_holds_the_trainable_parameters_and_only_those(light):
    freeze(light, ["encoder", "positions"])
    cores, rest = optimizer_groups(light, 0.01, mpo_lr_multiplier=3.0)
    assert (cores["lr"], rest["lr"]) == (pytest.approx(0.03), 0.01)
    trainable = {name for name, parameter in light.named_parameters() if parameter.requires_grad}
    assert names_of(light, cores["params"]) == {name for name in trainable if ".cores." in name}
    assert names_of(light, rest["params"]) == {name for name in trainable if ".cores." not in name}
    assert not any(name.endswith(".cores.2") or "trm_encoder" in name for name in trainable)


def test_inserted_cores_share_the_cores_learning_rate(tiny_settings):
    model = Experiment.of("MPORecExpand", "tiny", (), tiny_settings).model
    expansion = {name for name, _ in model.named_parameters() if ".expansion." in name}
    assert len(expansion) == 2 * 2  # two experts, two inserted cores each
    assert expansion <= core_names(model)


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


@pytest.mark.parametrize(("name", "groups"), [("UniSRec_F", {"encoder", "positions"}), ("MPORecLight", set())])
def test_a_run_moves_everything_but_what_is_frozen(tiny_settings, name, groups):
    """Frozen tensors keep their bytes over an epoch; all others move."""
    before = Experiment.of(name, "tiny", (), tiny_settings).model.state_dict()
    record = run(name, "tiny", (), {**tiny_settings, "epochs": 1})
    after = load_checkpoint(f"{tiny_settings['checkpoint_dir']}/{record['run_id']}/last.pth")["state_dict"]
    same = {key for key in before if before[key].numpy().tobytes() == after[key].numpy().tobytes()}
    assert same == {key for key in before if group_of(key) in groups or key.endswith("lin.cores.2")}


def test_nothing_left_to_train_is_an_error(tiny_settings):
    model = Experiment.of("UniSRec", "tiny", (), tiny_settings).model
    freeze(model, ["adaptor", "encoder", "positions", "layer_norm"])
    with pytest.raises(ConfigError, match="nothing is left to train"):
        optimizer_groups(model, 0.1)


def test_a_group_the_model_lacks_is_named(tiny_settings):
    model = Experiment.of("UniSRec", "tiny", (), tiny_settings).model
    with pytest.raises(ConfigError, match="freeze names 'item_ids'; this model's groups are adaptor, encoder"):
        freeze(model, ["item_ids"])


def test_counts_agree_with_the_parameters(light):
    counts = count_parameters(light)
    table = light.item_features.numel()
    assert counts["total"] == sum(p.numel() for p in light.parameters()) + table
    assert counts["trainable"] == sum(p.numel() for p in light.parameters() if p.requires_grad)
    assert counts["by_group"]["item_features (frozen text)"] == {"total": table, "trainable": 0}


def test_table_lines_up():
    table = parameter_table({"total": 1234, "trainable": 5, "by_group": {"encoder": {"total": 1234, "trainable": 5}}})
    assert table.splitlines() == [
        "  group    total  trainable",
        "  encoder  1,234          5",
        "  all      1,234          5",
    ]

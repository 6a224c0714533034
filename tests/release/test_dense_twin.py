"""The dense twin of a model with MPO or LoRA layers: the same scores, another class."""

import pytest
import torch
from support import built_run

from recbole_mpo.model.unisrec import UniSRec
from recbole_mpo.release.dense_twin import dense_settings, dense_twin, dense_weights, is_dense

CASES = [
    ("MPORec", {"mpo_target_modules": "all-linear", "evidence": ["covisit", "words"]}),
    ("MPORecExpand", {"item_input": "text+id"}),
    ("LoRA", {"lora_rank": 2, "lora_alpha": 6}),
]


def moved(model):
    """Move all weights from their start, at which some layers change nothing."""
    draw = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=draw)
    return model.eval()


@torch.no_grad()
@pytest.mark.parametrize(("name", "changes"), CASES)
def test_it_scores_as_the_model_does(tiny_settings, name, changes):
    one = built_run(name, "tiny", (), {**tiny_settings, **changes})
    model = moved(one.model)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    torch.manual_seed(3)
    twin = dense_twin(model, one.config)
    drawn = torch.rand(3)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(3))
    assert type(twin) is UniSRec and is_dense(twin) and not is_dense(model)
    rows = one.splits[2][[0, 1, 2]]
    torch.testing.assert_close(twin.eval().full_sort_predict(rows), model.full_sort_predict(rows), atol=1e-4, rtol=0)
    after = model.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)


def test_a_dense_model_is_its_own(tiny_settings):
    one = built_run("UniSRec", "tiny", (), tiny_settings)
    assert dense_twin(one.model, one.config) is one.model
    weights = dense_weights(one.model)
    assert weights.keys() == one.model.state_dict().keys()


def test_settings_of_the_layers_are_left_out():
    settings = {"model": "MPORec", "mpo_pad": False, "lora_rank": 2, "hidden_size": 4, "pretrained": "x"}
    assert dense_settings(settings) == {"model": "UniSRec", "hidden_size": 4, "pretrained": None}

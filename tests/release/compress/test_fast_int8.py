"""Products in int8: near those of the rounded weights, and every matrix is replaced."""

import pytest
import torch
from release.compress.tiny_models import scores_of, tiny_model
from torch import nn

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.release.compress.context import Context, matrices, weight_of
from recbole_mpo.release.compress.fast_int8 import FastInt8Linear, fast_int8
from recbole_mpo.release.compress.low_rank_matrices import svd
from recbole_mpo.release.compress.mpo_bonds import mpo


def test_it_computes_nearly_what_its_weight_does():
    torch.manual_seed(0)
    codes = torch.randint(-127, 128, (12, 9), dtype=torch.int8)
    layer, x = FastInt8Linear(codes, torch.tensor(0.01), torch.ones(12)), torch.randn(4, 3, 9)
    exact = x @ layer.merged_weight().t() + 1
    assert layer(x).shape == (4, 3, 12)
    assert float((layer(x) - exact).norm() / exact.norm()) < 0.02
    assert FastInt8Linear(codes, torch.tensor(0.01), None)(x).shape == (4, 3, 12)


@pytest.mark.parametrize("before", [None, svd])
def test_every_matrix_is_replaced(before):
    model, context = tiny_model(), Context()
    if before:
        before(model, 0.5, context)
    fast_int8(model, None, context)
    parts = [module for module in model.modules() if isinstance(module, FastInt8Linear)]
    assert len(parts) == context.notes["int8-fast"]["matrices"] == 16 * (2 if before else 1)
    assert not any(isinstance(module, nn.Linear) for module in model.modules())
    if not before:
        for name, layer in matrices(model).items():
            former = matrices(tiny_model())[name].weight
            assert float((weight_of(layer) - former).abs().max().detach()) <= 0.51 * float(layer.scale)
        assert 0 < float((scores_of(model) - scores_of(tiny_model())).abs().max()) < 5


def test_nothing_to_replace_is_an_error():
    model = tiny_model()
    mpo(model, 1, Context())
    with pytest.raises(ConfigError, match="int8-fast found no matrix to quantise"):
        fast_int8(model, None, Context())

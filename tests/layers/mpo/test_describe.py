"""What ``print(model)`` says of an MPO layer."""

import warnings

from recbole_mpo.layers.mpo import MPOLinear


def test_extra_repr():
    layer = MPOLinear(768, 300, bias=False)
    layer.expand(2)
    assert layer.extra_repr() == (
        "in_features=768, out_features=300, bias=False, in_factors=(3,4,4,4,4), out_factors=(2,3,5,5,2), "
        "bond_dims=(6,72,160,8), expansion=2@bond2, params=271652 (117.9% of dense), trainable=all"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer.freeze_central()
    assert layer.extra_repr().endswith("trainable=auxiliary")
    layer.requires_grad_(False)
    assert layer.extra_repr().endswith("trainable=none")
    layer.cores[0].requires_grad_(True)
    assert layer.extra_repr().endswith("trainable=some")

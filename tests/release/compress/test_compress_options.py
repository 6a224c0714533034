"""Values that are out of range, or that nothing uses, are refused by name."""

import pytest

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.release.compress.compress_options import Options
from recbole_mpo.release.compress.method import parse_variants
from recbole_mpo.release.compress.methods import METHODS


def steps_of(method, may_leave_out=False):
    return [step for steps in parse_variants(method, METHODS, may_leave_out) for step in steps]


@pytest.mark.parametrize(
    "method, values, message",
    [
        ("svd:0.5,prune:0.5", {"target_ratio": [0.5]}, "target_ratio chooses strengths that are left out"),
        ("fp16", {"l1": 0.1, "finetune_epochs": [1]}, "no method is trained further"),
    ],
)
def test_what_nothing_uses_is_refused(method, values, message):
    with pytest.raises(ConfigError, match=message):
        Options(method, **values).check_used(steps_of(method))


def test_what_a_method_uses_is_taken():
    Options("svd", target_ratio=[0.5]).check_used(steps_of("svd", True))
    Options("svd:0.5", l1=0.1, finetune_epochs=[1]).check_used(steps_of("svd:0.5"))


@pytest.mark.parametrize(
    "values", [{"l1": 0.1}, {"l1": -1.0}, {"target_ratio": [1.0]}, {"times": "x"}, {"finetune_epochs": [-1]}]
)
def test_what_is_out_of_range_is_refused(values):
    with pytest.raises(ConfigError, match=next(iter(values))):
        Options("svd:0.5", **values).check()

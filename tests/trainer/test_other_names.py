"""What ``load_state_dict`` says of other names and shapes, in one line that leaves nothing out."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from recbole_mpo.layers.mpo import convert_to_mpo
from recbole_mpo.trainer.other_names import MOST_SHOWN, describe_differences, shorten


def described(model: nn.Module, weights: dict) -> str:
    with pytest.raises(RuntimeError) as caught:
        model.load_state_dict(weights)
    return describe_differences(caught.value)


def experts(count: int, size: int = 3) -> nn.Module:
    return nn.ModuleDict({"experts": nn.ModuleList(nn.Linear(size, 2) for _ in range(count))})


class TestDescription:
    def test_shapes_missing_and_unexpected_names_are_told_together(self):
        weights = {**experts(2, size=4).state_dict(), "odd.weight": torch.zeros(1), "odd.2": torch.zeros(1)}
        del weights["experts.1.bias"]
        said = "size mismatch for experts.{0,1}.weight ([2, 4], here [2, 3]); it lacks experts.1.bias; "
        assert described(experts(2), weights) == f"{said}it also has odd.2, odd.weight"

    def test_each_alone(self):
        weights = experts(4).state_dict()
        assert described(experts(2), weights) == "it also has experts.{2,3}.bias, experts.{2,3}.weight"
        assert described(experts(8), weights) == "it lacks experts.{4-7}.bias, experts.{4-7}.weight"
        weights["experts.2.weight"] = torch.zeros(())
        assert described(experts(4), weights) == "size mismatch for experts.2.weight ([], here [2, 3])"

    def test_a_dense_weight_of_another_shape_is_told_as_such_for_a_layer_of_cores(self):
        model = convert_to_mpo(experts(3, size=12), target_modules="all-linear")
        said = described(model, experts(3, size=8).state_dict())
        assert said == "size mismatch for experts.{0-2} (weight: the checkpoint has (2, 8), the layer has (2, 12))"

    def test_a_file_of_another_model_takes_no_more_than_a_line(self):
        weights = {f"{'x' * 200}{letter}\n\x1b[2J{number}": torch.zeros(1) for letter in "ab" for number in range(99)}
        said = described(experts(2), weights)
        assert "\n" not in said and "\x1b" not in said and len(said) < 4000
        assert said.startswith("it lacks experts.{0,1}.bias, experts.{0,1}.weight; it also has xxx")
        assert said.endswith(f" and {198 - MOST_SHOWN} more")

    def test_an_error_of_another_kind_stays_as_it_is(self):
        assert describe_differences(RuntimeError("no\nplace")) == r"no\nplace"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], []),
        (["b", "a"], ["a", "b"]),
        (["a.3.b"], ["a.3.b"]),
        ([f"a.{number}" for number in (10, 9, 8, 11)], ["a.{8-11}"]),
        (["a.1.b", "a.3.b", "a.5.b"], ["a.{1,3,5}.b"]),
        (["a.0.b.0", "a.0.b.1", "a.1.b.0", "a.1.b.1"], ["a.{0,1}.b.{0,1}"]),
        (["a.0.b.0", "a.0.b.1", "a.1.b.0"], ["a.0.b.0", "a.0.b.1", "a.1.b.0"]),
        (["0", "1", "", "a..b", "a.1.b"], ["", "a..b", "a.1.b", "{0,1}"]),
        (["a.01", "a.1", "a.2"], ["a.{1,2,01}"]),
    ],
)
def test_names_that_differ_in_numbers_are_one(names, expected):
    assert shorten(names) == expected


PARTS = st.sampled_from(["a", "b", "", "0", "1", "2", "3", "10"])


@given(st.sets(st.lists(PARTS, min_size=1, max_size=4).map(".".join)))
def test_no_name_is_left_out_or_made_up(names):
    """Braces are opened again by a simple reader."""
    opened = set()
    for short in shorten(names):
        prefixes = {""}
        for part in short.split("."):
            begin, _, end = part.strip("{}").partition("-")
            numbers = map(str, range(int(begin), int(end) + 1)) if end else begin.split(",")
            prefixes = {f"{prefix}.{number}" for number in numbers for prefix in prefixes}
        opened |= {prefix[1:] for prefix in prefixes}
    assert opened == names

"""What was fitted to item texts goes into a checkpoint and comes back."""

import numpy as np
import pytest
import torch

from recbole_mpo.common.errors import FeatureError
from recbole_mpo.data.fitted_tensors import as_tensors, of_tensors
from recbole_mpo.text.fitted_text import FittedBlock, FittedText
from recbole_mpo.text.standardising import Standardising


def test_what_was_fitted_comes_back_by_dataset():
    numbers = Standardising(np.arange(3, dtype=np.float32), np.ones(1, dtype=np.float32))
    block = FittedBlock(numbers, {"idf": np.ones(2, dtype=np.float32)})
    fitted = {"a": FittedText((block,)), "b": FittedText((FittedBlock(),))}
    tensors = as_tensors(fitted)
    assert tensors.keys() == {"a", "b"} and tensors["a"]["mean"].tolist() == [0, 1, 2]
    back = of_tensors(tensors)
    assert back["b"].blocks == fitted["b"].blocks
    for name, array in fitted["a"].arrays().items():
        np.testing.assert_array_equal(back["a"].arrays()[name], array)


def test_stored_tensors_do_not_change_with_the_arrays():
    mean = np.zeros(2, dtype=np.float32)
    tensors = as_tensors({"a": FittedText((FittedBlock(Standardising(mean)),))})
    mean += 1
    assert tensors["a"]["mean"].tolist() == [0, 0]


def test_what_no_run_fits_is_refused():
    with pytest.raises(FeatureError, match="the unknown part 'median'"):
        of_tensors({"a": {"median": torch.zeros(2)}})

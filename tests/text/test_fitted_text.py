"""What was fitted to item texts, as arrays in a checkpoint and back."""

import numpy as np
import pytest

from recbole_mpo.common.errors import FeatureError
from recbole_mpo.text.fitted_text import FittedText
from recbole_mpo.text.standardising import Standardising

MEAN, SCALE = np.arange(3, dtype=np.float32), np.array([2], dtype=np.float32)


@pytest.mark.parametrize("mean", [MEAN, None])
@pytest.mark.parametrize("scale", [SCALE, None])
@pytest.mark.parametrize("encoder", [{}, {"words": np.frombuffer(b"a", dtype=np.uint8)}])
def test_what_was_kept_comes_back(mean, scale, encoder):
    kept = FittedText(Standardising(mean, scale), encoder)
    back = FittedText.of(kept.arrays())
    assert back.standardising.mean is mean and back.standardising.scale is scale and back.encoder == encoder


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"median": MEAN}, "the unknown part 'median'"),
        ({"mean": MEAN.reshape(1, 3)}, r"mean of the features has shape \(1, 3\)"),
        ({"mean": np.full(3, np.inf)}, "numbers that are not finite"),
        ({"scale": MEAN}, "should be one positive number"),
        ({"scale": 0 * SCALE}, r"scale of the features is \[0.0\]"),
        ({"scale": SCALE * np.nan}, r"scale of the features is \[nan\]"),
    ],
)
def test_what_no_run_fits_is_refused(arrays, message):
    with pytest.raises(FeatureError, match=message):
        FittedText.of(arrays)

"""What was fitted to item texts, as arrays in a checkpoint and back."""

import numpy as np
import pytest

from recbole_mpo.common.errors import FeatureError
from recbole_mpo.text.encoding import Encoded
from recbole_mpo.text.fitted_text import FittedBlock, FittedText
from recbole_mpo.text.standardising import Standardising

MEAN, SCALE = np.arange(3, dtype=np.float32), np.array([2], dtype=np.float32)


@pytest.mark.parametrize("mean", [MEAN, None])
@pytest.mark.parametrize("scale", [SCALE, None])
@pytest.mark.parametrize("encoder", [{}, {"words": np.frombuffer(b"a", dtype=np.uint8)}])
def test_what_was_kept_comes_back(mean, scale, encoder):
    block = FittedBlock(Standardising(mean, scale), encoder)
    for blocks in ((block,), (FittedBlock(), block), (block, block, FittedBlock(Standardising(MEAN, None)))):
        back = FittedText.of(FittedText(blocks).arrays()).blocks
        for one, other in zip(back, blocks, strict=True):
            assert one.standardising.mean is other.standardising.mean
            assert one.standardising.scale is other.standardising.scale and one.encoder == other.encoder


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"median": MEAN}, "the unknown part 'median'"),
        ({"mean": MEAN, "2.mean": MEAN}, r"has the blocks \[0, 2\]; one is missing"),
        ({"mean": MEAN, "1.median": MEAN}, "the unknown part 'median'"),
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


def encoded(size, level, seed):
    features = (level * (3 + np.random.default_rng(seed).standard_normal((9, size)))).astype(np.float32)
    features[4] = 0
    return Encoded(features, {"words": np.frombuffer(b"a", dtype=np.uint8)} if size == 2 else {})


def test_features_of_several_encoders_stand_side_by_side_and_count_the_same():
    parts = [encoded(3, 0.05, 0), encoded(2, 40.0, 1)]
    fitted = FittedText.fit(parts, True, True)
    assert [sorted(block.encoder) for block in fitted.blocks] == [[], ["words"]]
    features = fitted.apply(parts)
    assert features.shape == (9, 5) and not features[4].any()
    for columns in (features[:, :3], features[:, 3:]):
        present = np.delete(columns, 4, axis=0)
        np.testing.assert_allclose(present.mean(axis=0), 0, atol=1e-5)
        assert np.square(present).mean() == pytest.approx(1, rel=1e-4)


def test_features_of_one_encoder_are_changed_in_place():
    part = encoded(3, 1.0, 0)
    assert FittedText.fit([part], True, False).apply([part]) is part.features


def test_another_number_of_encoders_is_refused():
    fitted = FittedText.fit([encoded(3, 1.0, 0)], True, True)
    with pytest.raises(FeatureError, match="features of 1 encoders were fitted, but there are 2"):
        fitted.apply([encoded(3, 1.0, 0), encoded(2, 1.0, 0)])

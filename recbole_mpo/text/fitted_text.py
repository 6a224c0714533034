"""What was fitted to the item texts that a run began with, in the form in which checkpoints store it."""

from dataclasses import dataclass, field

import numpy as np

from recbole_mpo.common.errors import FeatureError
from recbole_mpo.text.standardising import Standardising

MEAN, SCALE, OF_ENCODER = "mean", "scale", "encoder."


@dataclass(frozen=True)
class FittedText:
    """What turns an item's text into features, apart from the encoder that the settings name.

    Attributes:
        standardising: the mean and the scale of the features.
        encoder: what the encoder was fitted to, by name; empty for most encoders.
    """

    standardising: Standardising = field(default_factory=Standardising)
    encoder: dict[str, np.ndarray] = field(default_factory=dict)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all numbers as arrays by name."""
        own = {MEAN: self.standardising.mean, SCALE: self.standardising.scale}
        of_encoder = {f"{OF_ENCODER}{name}": array for name, array in self.encoder.items()}
        return {name: array for name, array in own.items() if array is not None} | of_encoder

    @classmethod
    def of(cls, arrays: dict[str, np.ndarray]) -> "FittedText":
        """Return what :meth:`arrays` gave.

        Raises:
            FeatureError: an array has an unknown name or a shape that no fit gives.
        """
        encoder = {name.removeprefix(OF_ENCODER): part for name, part in arrays.items() if name.startswith(OF_ENCODER)}
        mean, scale = arrays.get(MEAN), arrays.get(SCALE)
        unknown = arrays.keys() - {MEAN, SCALE} - {f"{OF_ENCODER}{name}" for name in encoder}
        if unknown:
            raise FeatureError(f"what was fitted to item texts has the unknown part {min(unknown)!r}")
        if mean is not None and (mean.ndim != 1 or not np.isfinite(mean).all()):
            raise FeatureError(f"the mean of the features has shape {mean.shape} or numbers that are not finite")
        if scale is not None and (scale.shape != (1,) or not 0 < scale[0] < np.inf):
            raise FeatureError(f"the scale of the features is {scale.tolist()}; it should be one positive number")
        return cls(Standardising(mean, scale), encoder)

"""What was fitted to the item texts that a run began with, in the form in which checkpoints store it.

Shapes: T items, F feature.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from recbole_mpo.common.errors import FeatureError
from recbole_mpo.common.values import shown
from recbole_mpo.text.encoding import Encoded
from recbole_mpo.text.standardising import Standardising

MEAN, SCALE, OF_ENCODER = "mean", "scale", "encoder."


@dataclass(frozen=True)
class FittedBlock:
    """What turns an item's text into the features of one encoder, apart from the encoder itself.

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
    def of(cls, arrays: dict[str, np.ndarray]) -> "FittedBlock":
        """Return what :meth:`arrays` gave.

        Raises:
            FeatureError: an array has an unknown name or a shape that no fit gives.
        """
        encoder = {name.removeprefix(OF_ENCODER): part for name, part in arrays.items() if name.startswith(OF_ENCODER)}
        mean, scale = arrays.get(MEAN), arrays.get(SCALE)
        unknown = arrays.keys() - {MEAN, SCALE} - {f"{OF_ENCODER}{name}" for name in encoder}
        if unknown:
            raise FeatureError(f"what was fitted to item texts has the unknown part {shown(min(unknown))}")
        broken = [name for name, part in encoder.items() if not np.isfinite(part).all()]
        if broken:
            raise FeatureError(f"what the encoder was fitted to has numbers that are not finite: {shown(broken[0])}")
        if mean is not None and (mean.ndim != 1 or not np.isfinite(mean).all()):
            raise FeatureError(f"the mean of the features has shape {mean.shape} or numbers that are not finite")
        if scale is not None and (scale.shape != (1,) or not 0 < scale[0] < np.inf):
            raise FeatureError(f"the scale of the features is {scale.tolist()}; it should be one positive number")
        return cls(Standardising(mean, scale), encoder)


@dataclass(frozen=True)
class FittedText:
    """What turns an item's text into features: a block for each encoder, whose features stand side by side.

    Attributes:
        blocks: what was fitted for each encoder.
    """

    blocks: tuple[FittedBlock, ...]

    @classmethod
    def fit(cls, encoded: Sequence[Encoded], centers: bool, scales: bool) -> "FittedText":
        """Return what is fitted to the features of each encoder.

        Args:
            encoded: features of item texts by each encoder, and what it was fitted to.
            centers: whether to subtract the mean.
            scales: whether to divide by the root mean square of what is left, so that all encoders count the same.
        """
        numbers = (Standardising.fit(one.features, centers, scales) for one in encoded)
        return cls(tuple(FittedBlock(one, part.fitted) for one, part in zip(numbers, encoded, strict=True)))

    def apply(self, encoded: Sequence[Encoded]) -> np.ndarray:
        """Centre and scale the features of each encoder in place; return them side by side, [T, F].

        Raises:
            FeatureError: there is another number of encoders or of features than those that this was fitted to.
        """
        if len(encoded) != len(self.blocks):
            raise FeatureError(
                f"features of {len(self.blocks)} encoders were fitted, but there are {len(encoded)}; use the "
                "text_encoder or feature_file of the run that they come from"
            )
        for block, part in zip(self.blocks, encoded, strict=True):
            block.standardising.apply(part.features)
        return encoded[0].features if len(encoded) == 1 else np.hstack([part.features for part in encoded])

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all numbers as arrays by name; those of the second encoder begin with ``1.``, and so on."""
        prefixes = [f"{number}." for number in range(1, len(self.blocks))]
        # Nothing, under the name of each later block: a block may have no numbers.
        arrays = {prefix: np.zeros(0, dtype=np.float32) for prefix in prefixes}
        for prefix, block in zip(["", *prefixes], self.blocks, strict=True):
            arrays |= {prefix + name: array for name, array in block.arrays().items()}
        return arrays

    @classmethod
    def of(cls, arrays: dict[str, np.ndarray]) -> "FittedText":
        """Return what :meth:`arrays` gave.

        Raises:
            FeatureError: an array has an unknown name or a shape that no fit gives.
        """
        of_block: dict[int, dict[str, np.ndarray]] = {0: {}}
        for name, array in arrays.items():
            number, dot, rest = name.partition(".")
            is_later = bool(dot) and number.isdecimal() and len(number) < 4
            own = of_block.setdefault(int(number) if is_later else 0, {})
            if rest or not is_later:
                own[rest if is_later else name] = array
        if sorted(of_block) != list(range(len(of_block))):
            raise FeatureError(f"what was fitted to item texts has the blocks {sorted(of_block)}; one is missing")
        return cls(tuple(FittedBlock.of(of_block[number]) for number in sorted(of_block)))

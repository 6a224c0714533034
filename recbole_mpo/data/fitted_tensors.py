"""What was fitted to item texts, in the form in which checkpoints store it: tensors by dataset and name."""

import numpy as np
import torch

from recbole_mpo.text.fitted_text import FittedText

# By name of the dataset, and by name of the part.
FittedTensors = dict[str, dict[str, torch.Tensor]]


def as_tensors(fitted: dict[str, FittedText]) -> FittedTensors:
    """Return what was fitted to the item texts of each dataset as tensors."""
    return {
        name: {part: torch.from_numpy(np.array(array)) for part, array in one.arrays().items()}
        for name, one in fitted.items()
    }


def of_tensors(stored: FittedTensors) -> dict[str, FittedText]:
    """Return what :func:`as_tensors` was given.

    Raises:
        FeatureError: it is not what a run fits.
    """
    return {
        name: FittedText.of({part: tensor.numpy() for part, tensor in tensors.items()})
        for name, tensors in stored.items()
    }

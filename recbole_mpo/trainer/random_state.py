"""The state of a process's random generators as plain data."""

import logging
import random
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from recbole_mpo.common.errors import CheckpointError

logger = logging.getLogger(__name__)


def rng_state(device: torch.device) -> dict:
    """Return the state of the global random generators, and of that of ``device``, as plain data."""
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": {
            "kind": kind,
            "keys": torch.from_numpy(keys.astype(np.int64)),
            "position": int(position),
            "has_gauss": int(has_gauss),
            "gauss": float(gauss),
        },
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        "threads": torch.get_num_threads(),
    }


@contextmanager
def refusals_named(path: str | Path):
    """Turn a generator's refusal of its state into one line that names the checkpoint.

    Raises:
        CheckpointError: a generator in this block refuses its state.
    """
    try:
        yield
    except (OverflowError, RuntimeError, TypeError, ValueError) as problem:
        raise CheckpointError(
            f"checkpoint {path} has a state of the random generators that cannot be restored "
            f"({str(problem).splitlines()[0]}); start a new run from its weights with --pretrained"
        ) from problem


def restore_rng_state(state: dict, device: torch.device, path: str | Path):
    """Restore the state of the random generators; warn if the number of threads differs, as this affects rounding.

    Args:
        state: what ``rng_state`` returned; ``checkpoint_content.Random`` says what it holds.
        device: the device of the run.
        path: file of the checkpoint, for messages.

    Raises:
        CheckpointError: a generator refuses its state.
    """
    with refusals_named(path):
        version, internal, gauss = state["python"]
        random.setstate((version, tuple(internal), gauss))
        saved = state["numpy"]
        keys = saved["keys"].numpy().astype(np.uint32)
        np.random.set_state((saved["kind"], keys, saved["position"], saved["has_gauss"], saved["gauss"]))
        torch.set_rng_state(state["torch"])
        if state["cuda"] is not None and device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda"], device)
    if state["threads"] != torch.get_num_threads():
        logger.warning(
            "the checkpoint was written with %d threads, but this run has %d: it resumes, but rounding may differ",
            state["threads"],
            torch.get_num_threads(),
        )

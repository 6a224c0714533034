"""Arrays that are computed once and then read from a file, which says what they were computed from."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from recbole_mpo import __version__
from recbole_mpo.common.files import replacing_path
from recbole_mpo.text.cache import DAMAGED, hash_arrays

logger = logging.getLogger(__name__)

# Names of what a file's header has beside the arrays.
IDENTITY, HASH = "identity", "arrays_sha256"


def load_arrays(path: Path, identity: dict[str, Any]) -> dict[str, np.ndarray] | None:
    """Return the arrays of a file by name; None if it is absent, damaged or made from something else.

    Args:
        path: the file.
        identity: what the arrays must have been computed from; the file may say more.
    """
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            arrays = {key: file.get_tensor(key) for key in file.keys()}
        stored = json.loads(header[IDENTITY])
        if hash_arrays(arrays) != header[HASH]:
            raise ValueError("the hash of the numbers is not the one in the header")
        changed = [key for key, value in identity.items() if stored.get(key) != value]
    except (*DAMAGED, SafetensorError) as error:
        logger.warning("%s is damaged (%s: %s); it is made again", path, type(error).__name__, error)
        return None
    if changed:
        logger.info("%s was made from another %s", path, " and ".join(changed))
        return None
    return arrays


def save_arrays(path: Path, identity: dict[str, Any], arrays: dict[str, np.ndarray]):
    """Write arrays by name; a folder that cannot be written to costs a warning, and the next run computes them again.

    Args:
        path: the file, which is replaced.
        identity: what the arrays were computed from, as plain data.
        arrays: the arrays.
    """
    # safetensors writes the memory of an array as it lies, whatever the order of its axes.
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    header = {
        IDENTITY: json.dumps(identity),
        HASH: str(hash_arrays(arrays)),
        "created_by": f"recbole_mpo {__version__}",
    }
    try:
        with replacing_path(path) as temporary:
            save_file(arrays, temporary, metadata=header)
    except (OSError, SafetensorError) as error:
        logger.warning("%s cannot be stored (%s), so that the next run makes it again", path, error)

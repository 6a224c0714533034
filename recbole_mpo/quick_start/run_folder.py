"""The folder and the process of a run."""

import os
import platform
import secrets
from datetime import datetime
from pathlib import Path

import psutil

from recbole_mpo.common.errors import RecboleMPOError


def make_run_dir(checkpoint_dir: str | Path, model: str, dataset: str) -> Path:
    """Create a folder ``<model>-<dataset>-<time>-<random>`` and return its path.

    The random part separates runs that start in the same second.

    Raises:
        RecboleMPOError: the folder cannot be created.
    """
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    path = Path(checkpoint_dir) / f"{model}-{dataset}-{stamp}-{secrets.token_hex(3)}"
    try:
        path.mkdir(parents=True)
    except OSError as problem:
        raise RecboleMPOError(f"cannot create {path}: {problem.strerror}; set --checkpoint_dir") from problem
    return path


def this_process() -> dict:
    """Return the identity of this process, for the record of a run with the status ``running``."""
    return {"pid": os.getpid(), "started": psutil.Process().create_time(), "host": platform.node()}


def is_running(process: dict | None) -> bool:
    """Return whether a process is running on this machine; False for an unknown one or one of another machine."""
    if process is None or process["host"] != platform.node() or process["pid"] == os.getpid():
        return False
    try:
        # Process numbers are reused, so the process must also have started at the recorded time.
        return abs(psutil.Process(process["pid"]).create_time() - process["started"]) < 1.0
    except psutil.NoSuchProcess:
        return False

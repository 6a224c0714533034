"""A run's folder, and which process a run belongs to."""

import os
import platform
import secrets
from datetime import datetime
from pathlib import Path

import psutil

from recbole_mpo.common.errors import RecboleMPOError


def make_run_dir(checkpoint_dir: str | Path, model: str, dataset: str) -> Path:
    """Return a new folder ``<model>-<dataset>-<time>-<random>``; runs started in the same second do not meet."""
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    path = Path(checkpoint_dir) / f"{model}-{dataset}-{stamp}-{secrets.token_hex(3)}"
    try:
        path.mkdir(parents=True)
    except OSError as problem:
        raise RecboleMPOError(f"cannot create {path}: {problem.strerror}; set --checkpoint_dir") from problem
    return path


def this_process() -> dict:
    """Return which process a run belongs to while its record says ``running``."""
    return {"pid": os.getpid(), "started": psutil.Process().create_time(), "host": platform.node()}


def is_running(process: dict | None) -> bool:
    """Return whether that process is alive on this machine; an unknown or another machine's one counts as gone."""
    if process is None or process["host"] != platform.node() or process["pid"] == os.getpid():
        return False
    try:
        # A number is used again after a restart, so the process must have started when the record says.
        return abs(psutil.Process(process["pid"]).create_time() - process["started"]) < 1.0
    except psutil.NoSuchProcess:
        return False

"""The folder and the process of a run."""

import json
import os
import platform
import secrets
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from recbole_mpo.common.errors import ConfigError, RecboleMPOError

LOCK_FILE = "run.lock"


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


@contextmanager
def training_in(run_dir: Path):
    """Hold a run's folder for this process while the block lasts; the system frees it however the process ends.

    The lock's file stays: only a lock on it means that a run trains there.

    Raises:
        ConfigError: another run trains in the folder; the message names its process.
        RecboleMPOError: the file system refuses the lock.
    """
    path = run_dir / LOCK_FILE
    # Read first, because older versions of filelock empty the file as they try.
    holder = _holder(path)
    lock = FileLock(path)
    try:
        # Not at once, because --resume=auto of another process asks by holding the lock for a moment.
        lock.acquire(timeout=0.5)
    except Timeout as problem:
        raise ConfigError(f"the run in {run_dir} is still training, in {holder}") from problem
    except (OSError, NotImplementedError) as problem:
        raise RecboleMPOError(f"cannot lock {path}: {problem}; set --checkpoint_dir") from problem
    try:
        path.write_text(json.dumps(this_process()), encoding="utf-8")
        yield
    finally:
        lock.release()


def is_held(run_dir: Path) -> bool:
    """Return whether a run trains in a folder, in this process or another one."""
    path = run_dir / LOCK_FILE
    if not path.is_file():
        return False
    try:
        with FileLock(path).acquire(timeout=0):
            return False
    except Timeout:
        return True
    except (OSError, NotImplementedError):
        return False


def _holder(path: Path) -> str:
    """Return words for the process that wrote a lock's file."""
    try:
        process = json.loads(path.read_text(encoding="utf-8"))
        here = process["host"] == platform.node()
        return f"process {process['pid']}" + ("" if here else f" of {process['host']}")
    # The file may be absent, half written, or on Windows closed to readers.
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def this_process() -> dict:
    """Return the identity of this process, for the record of a run with the status ``running``."""
    return {"pid": os.getpid(), "started": psutil.Process().create_time(), "host": platform.node()}


def is_running(process: dict | None) -> bool:
    """Return whether a process is running on this machine; False for an unknown one or one of another machine."""
    try:
        if process is None or process["host"] != platform.node() or process["pid"] == os.getpid():
            return False
        # Process numbers are reused, so the process must also have started at the recorded time.
        return abs(psutil.Process(process["pid"]).create_time() - process["started"]) < 1.0
    # Records are edited and damaged: what names no process is not running.
    except (psutil.NoSuchProcess, KeyError, TypeError, ValueError, OverflowError):
        return False

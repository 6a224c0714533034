"""A run's surroundings: its folder, memory, device and revision."""

import hashlib
import os
import platform
import resource
import secrets
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import psutil
import torch

from recbole_mpo.errors import RecboleMPOError


def make_run_dir(checkpoint_dir: str | Path, model: str, dataset: str) -> Path:
    """A new folder ``<model>-<dataset>-<time>-<random>``; runs started in the same second do not meet."""
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    path = Path(checkpoint_dir) / f"{model}-{dataset}-{stamp}-{secrets.token_hex(3)}"
    try:
        path.mkdir(parents=True)
    except OSError as problem:
        raise RecboleMPOError(f"cannot create {path}: {problem.strerror}; set --checkpoint_dir") from problem
    return path


def this_process() -> dict:
    """Which process a run belongs to while its record says ``running``."""
    return {"pid": os.getpid(), "started": psutil.Process().create_time(), "host": platform.node()}


def is_running(process: dict | None) -> bool:
    """Whether that process is alive on this machine; an unknown or another machine's one counts as gone."""
    if process is None or process["host"] != platform.node() or process["pid"] == os.getpid():
        return False
    try:
        # A number is used again after a restart, so the process must have started when the record says.
        return abs(psutil.Process(process["pid"]).create_time() - process["started"]) < 1.0
    except psutil.NoSuchProcess:
        return False


def reset_peak_memory(device: torch.device):
    """Starts measuring a GPU's peak anew; a CPU process has one peak for its whole life."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory of the device since training began; on a CPU that of the process since its start."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def device_description(device: torch.device) -> dict:
    """What a timing was measured on."""
    return {
        "type": device.type,
        "name": torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu_name(),
        "threads": torch.get_num_threads(),
        "platform": platform.platform(),
        "python": platform.python_version(),
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")


def revision() -> dict:
    """Git commit of the source tree this package runs from, and whether it has changes; None if installed."""
    folder = Path(__file__).resolve().parent
    try:
        tracked = _git(folder, "ls-files", "--error-unmatch", "__init__.py")
        commit = _git(folder, "rev-parse", "HEAD") if tracked else None
        return {"commit": commit, "dirty": bool(_git(folder, "status", "--porcelain", "-uno")) if commit else None}
    except OSError:
        return {"commit": None, "dirty": None}


def _git(folder: Path, *arguments: str) -> str | None:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def file_hash(path: str | Path) -> str:
    """sha256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if sys.version_info >= (3, 11) else _digest(file)


def _digest(file) -> str:
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()

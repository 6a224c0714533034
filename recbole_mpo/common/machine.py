"""The machine and code of a run: memory, device and Git revision."""

import platform
import resource
import subprocess
import sys
from pathlib import Path

import torch


def reset_peak_memory(device: torch.device):
    """Reset a GPU's peak memory; the peak of a CPU process cannot be reset."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory_mb(device: torch.device) -> float:
    """Return the peak memory in MB: of a GPU since :func:`reset_peak_memory`, of a CPU process since its start."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def device_description(device: torch.device) -> dict:
    """Return the hardware and versions that a timing was measured on."""
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
    """Return the source tree's Git commit and whether it has changes; both are None for an installed package."""
    folder = Path(__file__).resolve().parents[1]
    try:
        tracked = _git(folder, "ls-files", "--error-unmatch", "__init__.py")
        commit = _git(folder, "rev-parse", "HEAD") if tracked else None
        return {"commit": commit, "dirty": bool(_git(folder, "status", "--porcelain", "-uno")) if commit else None}
    except OSError:
        return {"commit": None, "dirty": None}


def _git(folder: Path, *arguments: str) -> str | None:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None

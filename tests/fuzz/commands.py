"""Real processes of the command line: run to their end, or killed."""

import os
import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

LONGEST_CPU_SECONDS, LONGEST_SECONDS = 20, 180
# The processes share the machine: as many at a time as the tests are meant for cores, of one thread each.
AT_A_TIME = 2
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}


class Done(NamedTuple):
    """How a process ended, and what it said."""

    code: int
    out: str
    said: str


def _limit_cpu():
    # Of a machine that others use too, the time by the clock says little.
    resource.setrlimit(resource.RLIMIT_CPU, (LONGEST_CPU_SECONDS, LONGEST_CPU_SECONDS))


def _start(arguments: list[str], folder: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "recbole_mpo", *arguments],
        cwd=folder,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=_limit_cpu,
    )


def run_command(arguments: list[str], folder: Path) -> Done:
    """Run a command to its end; a hang ends with the code of a signal."""
    process = _start(arguments, folder)
    try:
        out, said = process.communicate(timeout=LONGEST_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        out, said = process.communicate()
    return Done(process.returncode, out.decode(errors="replace"), said.decode(errors="replace"))


def is_killed_after(seconds: float, arguments: list[str], folder: Path) -> bool:
    """Kill a command after some seconds; return False if it has ended before."""
    process = _start(arguments, folder)
    try:
        _, said = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return True
    assert process.returncode == 0, said.decode()
    return False


def in_parallel(work, inputs) -> list:
    """Return the results of ``work`` for each input, some at a time."""
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        return list(pool.map(work, inputs))

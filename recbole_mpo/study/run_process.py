"""One run of a comparison in a process of its own, which ends when the process that started it ends."""

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from recbole_mpo.common.files import replacing
from recbole_mpo.common.process import PARENT
from recbole_mpo.study.matrix import Cell

# Folders beside the report: run folders, the settings and the output of each process.
RUNS, SETTINGS, LOGS = "runs", "settings", "logs"
# How long a process may take to end when it is asked to.
END_SECONDS = 60
# Bytes at the end of a log that hold its last lines.
TAIL = 4096


@dataclass
class RunProcess:
    """A started run.

    Attributes:
        cell: the run.
        log: file with its output.
        process: its process.
        log_start: where its output begins in the file, after that of earlier processes.
        begin: when it was started, in seconds of ``time.monotonic``.
    """

    cell: Cell
    log: Path
    process: subprocess.Popen
    log_start: int = 0
    begin: float = field(default_factory=time.monotonic)

    @classmethod
    def start(cls, cell: Cell, folder: Path, threads: int | None = None, resume: Path | None = None) -> "RunProcess":
        """Start a run, or go on with it.

        Args:
            cell: the run.
            folder: folder of the comparison.
            threads: number of threads for the process; those of this process by default.
            resume: the run's folder from an earlier session.
        """
        name = _file_name(cell)
        settings, log = folder / SETTINGS / f"{name}.yaml", folder / LOGS / f"{name}.log"
        with replacing(settings) as file:
            file.write(yaml.safe_dump(_settings(cell, folder), sort_keys=True, allow_unicode=True).encode())
        log.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "recbole_mpo", "run", f"--model={cell.row.model}", f"--dataset={cell.dataset}"]
        environment = {**os.environ, PARENT: str(os.getpid()), "PYTHONUNBUFFERED": "1"}
        if threads is not None:
            environment["OMP_NUM_THREADS"] = str(threads)
        with open(log, "ab") as output:
            log_start = output.tell()
            process = subprocess.Popen(
                [*command, f"--config_files={settings}", *([f"--resume={resume}"] if resume else [])],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                # Ctrl-C reaches the comparison alone, which then ends its processes in order.
                start_new_session=True,
            )
        return cls(cell, log, process, log_start)

    @property
    def has_ended(self) -> bool:
        """Return whether the process has ended."""
        return self.process.poll() is not None

    @property
    def seconds(self) -> float:
        """Return how long the process has run."""
        return time.monotonic() - self.begin

    def last_line(self, pattern: str = "") -> str:
        """Return the last line of this process's output that contains a text; an empty text if none does."""
        with open(self.log, "rb") as file:
            file.seek(max(self.log_start, file.seek(0, os.SEEK_END) - TAIL))
            lines = file.read().decode(errors="replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip() and pattern in line), "")

    def end(self):
        """Ask the process to end."""
        if not self.has_ended:
            self.process.terminate()

    def wait(self):
        """Wait until a process that was asked to end has ended; one that does not listen is killed."""
        try:
            self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _settings(cell: Cell, folder: Path) -> dict:
    own = {"checkpoint_dir": str(folder / RUNS), "run_label": cell.row.name, "show_progress": False}
    return {**cell.settings, **own}


def _file_name(cell: Cell) -> str:
    """Return a name for the files of a run that every file system takes; the hash keeps equal ones apart."""
    name = re.sub(r"[^A-Za-z0-9.+-]+", "_", cell.row.name).strip("._")
    return f"{name}-{cell.dataset}-{cell.seed}-{cell.plan.identity.settings[:8]}"

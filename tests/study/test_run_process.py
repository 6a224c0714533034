"""A run in a process of its own."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from recbole_mpo.quick_start.record import read_record
from recbole_mpo.study.matrix import plan_cells, read_rows
from recbole_mpo.study.run_process import LOGS, RUNS, RunProcess


@pytest.fixture
def cell(tiny_settings):
    """A run of the simplest model."""
    content = {"data_path": tiny_settings["data_path"], "runs": {"most popular!": {"model": "Pop"}}}
    return plan_cells(read_rows(content, [3], {}), "tiny")[0]


def wait(process, seconds=120):
    end = time.monotonic() + seconds
    while not process.has_ended and time.monotonic() < end:
        time.sleep(0.1)
    assert process.has_ended


def test_a_run_leaves_its_record_under_its_name(cell, tmp_path):
    process = RunProcess.start(cell, tmp_path)
    wait(process)
    assert process.process.returncode == 0, process.log.read_text()
    (path,) = (tmp_path / RUNS).glob("*/record.json")
    record = read_record(path)
    assert (record["status"], record["label"], record["seed"]) == ("completed", "most popular!", 3)
    assert process.log.parent == tmp_path / LOGS and process.log.name.startswith("most_popular-tiny-3-")
    assert "record:" in process.last_line() and process.last_line("no such text") == ""
    process.end()
    process.wait()


def test_a_process_that_is_ended_leaves_no_child(cell, tmp_path):
    process = RunProcess.start(cell, tmp_path)
    process.end()
    process.wait()
    assert process.has_ended and not psutil.pid_exists(process.process.pid)


def test_a_process_ends_when_the_one_that_started_it_is_killed(tmp_path):
    waiting = "import time; from recbole_mpo.common import process; process.end_with_parent(); time.sleep(60)"
    parent = textwrap.dedent(f"""
        import os, subprocess, sys, time
        child = subprocess.Popen([sys.executable, "-c", {waiting!r}],
                                 env={{**os.environ, "RECBOLE_MPO_PARENT": str(os.getpid())}})
        print(child.pid, flush=True)
        time.sleep(60)
    """)
    started = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True, cwd=Path.cwd())
    child = psutil.Process(int(started.stdout.readline()))
    time.sleep(0.5)
    assert child.is_running()
    os.kill(started.pid, signal.SIGKILL)
    started.wait()
    child.wait(30)
    assert not child.is_running()
    started.stdout.close()

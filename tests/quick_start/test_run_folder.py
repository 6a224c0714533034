"""Run folders, and which process a run belongs to."""

import os
import subprocess
import sys

import psutil
import pytest

from recbole_mpo.common.errors import RecboleMPOError
from recbole_mpo.quick_start import run_folder


def test_run_folders_started_in_one_second_differ(tmp_path):
    folders = {run_folder.make_run_dir(tmp_path / "a" / "b", "MPORec", "tiny") for _ in range(20)}
    assert len(folders) == 20
    assert all(folder.is_dir() and folder.name.startswith("MPORec-tiny-") for folder in folders)


def test_a_checkpoint_dir_that_is_a_file_is_named(tmp_path):
    (tmp_path / "saved").write_text("", encoding="utf-8")
    with pytest.raises(RecboleMPOError, match="cannot create .*saved.*--checkpoint_dir"):
        run_folder.make_run_dir(tmp_path / "saved", "MPORec", "tiny")


def test_a_process_is_running_while_it_lives_on_this_machine():
    own = run_folder.this_process()
    assert own["pid"] == os.getpid()
    # This process is about to start another run, so its former one is over.
    assert not run_folder.is_running(own)
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        alive = {**own, "pid": other.pid, "started": psutil.Process(other.pid).create_time()}
        assert run_folder.is_running(alive)
        assert not run_folder.is_running({**alive, "host": "elsewhere"})
        # After a restart of the machine another process may have the number.
        assert not run_folder.is_running({**alive, "started": alive["started"] - 3600})
    finally:
        other.communicate(b"\n")
    assert not run_folder.is_running(alive)

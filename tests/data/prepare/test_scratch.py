"""Scratch folders are gone at the end, also those of processes that were killed; nothing else is touched."""

import signal
import subprocess
import sys
import time

import pytest

from recbole_mpo.data.prepare.scratch import MARK, scratch_folder

KILLED = """
import sys, time
from pathlib import Path
from recbole_mpo.data.prepare.scratch import scratch_folder
with scratch_folder(Path(sys.argv[1]), ".shop.") as folder:
    (folder / "half").write_text("x")
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("error", [None, KeyboardInterrupt])
def test_the_folder_is_gone_at_the_end(tmp_path, error):
    try:
        with scratch_folder(tmp_path, ".shop.") as folder:
            (folder / "half").write_text("x")
            if error is not None:
                raise error
    except KeyboardInterrupt:
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_goes_at_the_next_time_and_not_before_it_ends(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    left = process.stdout.readline().strip()
    with scratch_folder(tmp_path, ".shop.") as folder:
        assert {str(path) for path in tmp_path.iterdir()} == {left, str(folder)}, "its maker still runs"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    time.sleep(0.1)
    with scratch_folder(tmp_path, ".shop.") as folder:
        assert [str(path) for path in tmp_path.iterdir()] == [str(folder)]


def test_folders_that_were_not_made_here_stay(tmp_path):
    for name in (".shop.mybackup", ".shop.12345678"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine").touch()
    (tmp_path / ".shop.a_file_8").touch()
    (tmp_path / ".shop.S.12345678").mkdir()
    (tmp_path / ".shop.S.12345678" / MARK).touch()
    with scratch_folder(tmp_path, ".shop."):
        pass
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {".shop.mybackup", ".shop.12345678", ".shop.a_file_8", ".shop.S.12345678"}

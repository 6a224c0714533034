"""Run folders, and which process a run belongs to."""

import json
import os
import subprocess
import sys

import psutil
import pytest

from recbole_mpo.common.errors import ConfigError, RecboleMPOError
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


@pytest.mark.parametrize(
    "process", [{}, [], {"host": None}, {"pid": "x"}, {"pid": -1, "started": 0}, {"pid": 10**30, "started": 0}, "text"]
)
def test_what_names_no_process_is_not_running(process):
    here = run_folder.this_process()["host"]
    assert not run_folder.is_running({"host": here, **process} if isinstance(process, dict) else process)


HOLDS = """
import sys, pathlib
from recbole_mpo.quick_start.run_folder import training_in
with training_in(pathlib.Path(sys.argv[1])):
    print("holds", flush=True)
    input()
"""


@pytest.fixture
def holder(tmp_path):
    """A process that trains in ``tmp_path``, as far as the lock goes."""
    other = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout.readline() == "holds\n"
    yield other
    other.kill()
    other.communicate()


class TestLock:
    def test_a_folder_is_held_by_one_process_which_the_error_names(self, holder, tmp_path):
        assert run_folder.is_held(tmp_path)
        for _ in range(2):
            with (
                pytest.raises(ConfigError, match=f"is still training, in process {holder.pid}$"),
                run_folder.training_in(tmp_path),
            ):
                pytest.fail("two runs train in one folder")

    def test_the_lock_ends_with_its_process_however_that_ends(self, holder, tmp_path):
        holder.kill()
        holder.wait()
        assert not run_folder.is_held(tmp_path)
        with run_folder.training_in(tmp_path):
            assert json.loads((tmp_path / "run.lock").read_text()) == run_folder.this_process()

    def test_one_process_holds_a_folder_once(self, tmp_path):
        with run_folder.training_in(tmp_path):
            assert run_folder.is_held(tmp_path)
            with pytest.raises(ConfigError, match=f"in process {os.getpid()}$"), run_folder.training_in(tmp_path):
                pytest.fail("two runs train in one folder")
        assert not run_folder.is_held(tmp_path)

    @pytest.mark.parametrize("content", ["", "{}", "[1]", "\udcff"])
    def test_a_holder_that_is_not_written_down_is_another_process(self, holder, tmp_path, content):
        (tmp_path / "run.lock").write_text(content, encoding="utf-8", errors="surrogateescape")
        with pytest.raises(ConfigError, match="in another process$"), run_folder.training_in(tmp_path):
            pass

    def test_another_machine_is_named(self, holder, tmp_path):
        (tmp_path / "run.lock").write_text('{"pid": 5, "host": "elsewhere"}')
        with pytest.raises(ConfigError, match="in process 5 of elsewhere$"), run_folder.training_in(tmp_path):
            pass

    def test_a_folder_without_a_lock_is_free(self, tmp_path):
        assert not run_folder.is_held(tmp_path) and not list(tmp_path.iterdir())

    def test_a_refused_lock_names_the_file(self, tmp_path):
        (tmp_path / "run.lock").mkdir()
        with pytest.raises(RecboleMPOError, match=r"cannot lock .*run\.lock.*--checkpoint_dir"):
            with run_folder.training_in(tmp_path):
                pass

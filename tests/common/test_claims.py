"""A lock file is held by one at a time, in other processes too, and is free once its holder is gone."""

import errno
import fcntl
import subprocess
import sys

import pytest

from recbole_mpo.common.claims import claimed

HOLD = """
import sys
from recbole_mpo.common.claims import claimed
with claimed(sys.argv[1]) as is_mine:
    print(is_mine, flush=True)
    sys.stdin.read(1)
"""


def test_a_second_holder_is_refused_until_the_first_lets_go(tmp_path):
    with claimed(tmp_path / "new" / "a.lock") as first:
        with claimed(tmp_path / "new" / "a.lock") as second, claimed(tmp_path / "b.lock") as other:
            assert (first, second, other) == (True, False, True)
    with claimed(tmp_path / "new" / "a.lock") as again:
        assert again


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    path = tmp_path / "a.lock"
    arguments = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "True\n"
        with claimed(path) as is_mine:
            assert not is_mine
        process.kill()
        with claimed(path, waits=True) as is_mine:
            assert is_mine


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("problem", [OSError(errno.ENOLCK, "No locks here"), NotImplementedError("No locks here")])
def test_where_there_are_no_locks_work_goes_on_with_a_warning(tmp_path, monkeypatch, caplog, problem, waits):
    def refuse(*_):
        raise problem

    monkeypatch.setattr(fcntl, "flock", refuse)
    with claimed(tmp_path / "a.lock", waits) as is_mine:
        assert is_mine
    assert "No locks here): let one process alone work there" in caplog.text


def test_a_file_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "taken.lock").mkdir()
    with pytest.raises(OSError, match=r"taken\.lock"), claimed(tmp_path / "taken.lock"):
        pass

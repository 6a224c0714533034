"""A lock file is held by one at a time, in other processes too, and is free once its holder is gone."""

import errno
import fcntl
import subprocess
import sys

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


def test_where_there_are_no_locks_work_goes_on(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with claimed(tmp_path / "a.lock") as is_mine:
        assert is_mine

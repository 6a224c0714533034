"""Claims: one process has a run at a time, and the system frees what a killed process had."""

import subprocess
import sys
import textwrap

import pytest
from filelock import FileLock, Timeout

from recbole_mpo.common.errors import RecboleMPOError
from recbole_mpo.study.scaling.run_claims import Claims


def test_one_has_a_run_at_a_time(tmp_path):
    first, second = Claims(tmp_path / "claims"), Claims(tmp_path / "claims")
    assert not second.are_others()
    assert first.take("a") and not second.take("a") and second.take("b")
    assert first.are_others() and second.are_others()
    second.free("b")
    assert not first.are_others()
    first.free("a")
    assert second.take("a")
    second.free("a")


def test_a_look_at_a_lock_is_no_claim(tmp_path, monkeypatch):
    claims, acquire, looks = Claims(tmp_path), FileLock.acquire, []
    (tmp_path / "a.lock").touch()

    def looked_at_by_another(self, **options):
        looks.append(self.lock_file)
        if len(looks) == 1:
            raise Timeout(self.lock_file)
        return acquire(self, **options)

    monkeypatch.setattr(FileLock, "acquire", looked_at_by_another)
    assert not claims.are_others() and len(looks) == 2


def test_a_killed_process_frees_its_claims(tmp_path):
    code = textwrap.dedent(f"""
        import time
        from recbole_mpo.study.scaling.run_claims import Claims
        claims = Claims({str(tmp_path)!r})
        print(claims.take("a"), flush=True)
        time.sleep(60)
    """)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "True\n"
    assert not Claims(tmp_path).take("a") and Claims(tmp_path).are_others()
    process.kill()
    process.wait()
    assert Claims(tmp_path).take("a")


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    def refuse(self, **_):
        raise NotImplementedError("no locks")

    monkeypatch.setattr(FileLock, "acquire", refuse)
    with pytest.raises(RecboleMPOError, match=r"cannot lock .*a\.lock: no locks; give another --output"):
        Claims(tmp_path).take("a")

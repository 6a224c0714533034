"""A run's surroundings: file hashes, run folders, revision, memory."""

import hashlib
import os
import subprocess
import sys

import psutil
import pytest
import torch

from recbole_mpo import runtime
from recbole_mpo.errors import RecboleMPOError


@pytest.mark.parametrize("size", [0, 3, 3 * 2**20 + 1])
@pytest.mark.parametrize("version", [(3, 10), sys.version_info])
def test_file_hash_is_sha256_on_every_python(tmp_path, monkeypatch, size, version):
    monkeypatch.setattr(sys, "version_info", version)
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    (tmp_path / "file").write_bytes(data)
    assert runtime.file_hash(tmp_path / "file") == hashlib.sha256(data).hexdigest()


def test_run_folders_started_in_one_second_differ(tmp_path):
    folders = {runtime.make_run_dir(tmp_path / "a" / "b", "MPORec", "tiny") for _ in range(20)}
    assert len(folders) == 20
    assert all(folder.is_dir() and folder.name.startswith("MPORec-tiny-") for folder in folders)


def test_a_checkpoint_dir_that_is_a_file_is_named(tmp_path):
    (tmp_path / "saved").write_text("", encoding="utf-8")
    with pytest.raises(RecboleMPOError, match="cannot create .*saved.*--checkpoint_dir"):
        runtime.make_run_dir(tmp_path / "saved", "MPORec", "tiny")


def test_a_process_is_running_while_it_lives_on_this_machine():
    own = runtime.this_process()
    assert own["pid"] == os.getpid()
    # This process is about to start another run, so its former one is over.
    assert not runtime.is_running(own)
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        alive = {**own, "pid": other.pid, "started": psutil.Process(other.pid).create_time()}
        assert runtime.is_running(alive)
        assert not runtime.is_running({**alive, "host": "elsewhere"})
        # After a restart of the machine another process may have the number.
        assert not runtime.is_running({**alive, "started": alive["started"] - 3600})
    finally:
        other.communicate(b"\n")
    assert not runtime.is_running(alive)


class TestRevision:
    @pytest.fixture
    def package(self, tmp_path, monkeypatch):
        """A folder that the module believes to be its own; no repository around it."""
        folder = tmp_path / "tree" / "package"
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("", encoding="utf-8")
        monkeypatch.setattr(runtime, "__file__", str(folder / "runtime.py"))
        monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
        return folder

    @staticmethod
    def git(folder, *arguments):
        identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
        done = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def test_outside_a_checkout_is_none(self, package):
        assert runtime.revision() == {"commit": None, "dirty": None}

    def test_in_a_checkout_that_does_not_track_the_package_is_none(self, package):
        """An environment inside somebody's repository."""
        self.git(package.parent, "init", "-q")
        self.git(package.parent, "commit", "-q", "--allow-empty", "-m", "first")
        assert runtime.revision() == {"commit": None, "dirty": None}

    def test_in_a_checkout_names_the_commit_and_changes(self, package):
        self.git(package.parent, "init", "-q")
        self.git(package.parent, "add", "package/__init__.py")
        self.git(package.parent, "commit", "-q", "-m", "first")
        commit = self.git(package.parent, "rev-parse", "HEAD")
        assert runtime.revision() == {"commit": commit, "dirty": False}
        (package / "untracked").write_text("", encoding="utf-8")
        assert runtime.revision() == {"commit": commit, "dirty": False}
        (package / "__init__.py").write_text("changed = 1\n", encoding="utf-8")
        assert runtime.revision() == {"commit": commit, "dirty": True}

    def test_without_git_is_none(self, package, monkeypatch):
        monkeypatch.setenv("PATH", "")
        assert runtime.revision() == {"commit": None, "dirty": None}


def test_memory_and_device_of_the_cpu():
    cpu = torch.device("cpu")
    assert 50 < runtime.peak_memory_mb(cpu) < 2**20
    described = runtime.device_description(cpu)
    assert described["type"] == "cpu" and described["threads"] == torch.get_num_threads()

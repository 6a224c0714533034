"""A run's surroundings: memory, device and revision."""

import subprocess

import pytest
import torch

from recbole_mpo.common import machine


class TestRevision:
    @pytest.fixture
    def package(self, tmp_path, monkeypatch):
        """A folder that the module believes to be its own; no repository around it."""
        folder = tmp_path / "tree" / "package"
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("", encoding="utf-8")
        monkeypatch.setattr(machine, "__file__", str(folder / "common" / "machine.py"))
        monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
        return folder

    @staticmethod
    def git(folder, *arguments):
        identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
        done = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def test_outside_a_checkout_is_none(self, package):
        assert machine.revision() == {"commit": None, "dirty": None}

    def test_in_a_checkout_that_does_not_track_the_package_is_none(self, package):
        """An environment inside somebody's repository."""
        self.git(package.parent, "init", "-q")
        self.git(package.parent, "commit", "-q", "--allow-empty", "-m", "first")
        assert machine.revision() == {"commit": None, "dirty": None}

    def test_in_a_checkout_names_the_commit_and_changes(self, package):
        self.git(package.parent, "init", "-q")
        self.git(package.parent, "add", "package/__init__.py")
        self.git(package.parent, "commit", "-q", "-m", "first")
        commit = self.git(package.parent, "rev-parse", "HEAD")
        assert machine.revision() == {"commit": commit, "dirty": False}
        (package / "untracked").write_text("", encoding="utf-8")
        assert machine.revision() == {"commit": commit, "dirty": False}
        (package / "__init__.py").write_text("changed = 1\n", encoding="utf-8")
        assert machine.revision() == {"commit": commit, "dirty": True}

    def test_without_git_is_none(self, package, monkeypatch):
        monkeypatch.setenv("PATH", "")
        assert machine.revision() == {"commit": None, "dirty": None}


def test_memory_and_device_of_the_cpu():
    cpu = torch.device("cpu")
    assert 50 < machine.peak_memory_mb(cpu) < 2**20
    described = machine.device_description(cpu)
    assert described["type"] == "cpu" and described["threads"] == torch.get_num_threads()

"""Files replace others whole, with ordinary permissions, through links."""

import errno
import hashlib
import json
import os
import stat
import subprocess
import sys
import time

import pytest

from recbole_mpo.common import files
from recbole_mpo.common.files import file_hash, replacing, replacing_path, write_json, write_lines


def test_a_file_is_there_once_it_is_written(tmp_path):
    path = tmp_path / "folder" / "file.txt"
    with replacing(path) as file:
        file.write(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new" and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_an_error_leaves_the_former_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(error), replacing_path(path) as temporary:
        temporary.write_text("half")
        raise error
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_the_content_is_on_the_disk_before_it_replaces_and_the_folder_after(tmp_path, monkeypatch):
    steps = []
    replace = os.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: steps.append(stat.S_ISDIR(os.fstat(descriptor).st_mode)))
    monkeypatch.setattr(os, "replace", lambda *paths: (steps.append("replace"), replace(*paths)))
    write_lines(tmp_path / "file.txt", ["line"])
    assert steps == [False, "replace", True]


def test_a_folder_that_cannot_be_synced_is_no_error(tmp_path, monkeypatch):
    def refuse(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not for folders")

    monkeypatch.setattr(os, "fsync", refuse)
    write_lines(tmp_path / "file.txt", ["line"])
    assert (tmp_path / "file.txt").read_text() == "line\n"


def test_a_full_disk_is_an_error_that_names_the_file(tmp_path):
    with pytest.raises(OSError) as caught, replacing(tmp_path / "file.txt"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.filename == str(tmp_path / "file.txt") and not list(tmp_path.iterdir())


KILLED = """
import os, signal, sys
from recbole_mpo.common.files import replacing
with replacing(sys.argv[1]) as file:
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_goes_when_the_file_is_written_again(tmp_path):
    path = tmp_path / "file[1].txt"
    neighbour = tmp_path / ".other.txt.aaaaaaaa-1-x.part"
    neighbour.touch()
    os.utime(neighbour, (0, 0))
    subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    (left,) = set(tmp_path.iterdir()) - {neighbour}
    assert left.name.startswith(".file[1].txt.") and left.name.endswith(".part")
    write_lines(path, ["whole"])
    assert set(tmp_path.iterdir()) == {path, neighbour} and path.read_text() == "whole\n"


@pytest.mark.parametrize(
    ("machine", "process", "age", "goes"),
    [
        ("here", "own", -5, False),  # written since this process began: it may be writing still
        ("here", "own", 10**9, True),  # the number belonged to another process
        ("here", "odd", 10**9, False),
        ("other", "1", 60, False),
        ("other", "1", 90_000, True),
    ],
)
def test_what_a_living_process_may_be_writing_stays(tmp_path, machine, process, age, goes):
    name = files._machine() if machine == "here" else "00000000"
    number = os.getpid() if process == "own" else process
    part = tmp_path / f".file.{name}-{number}-abc.part"
    part.touch()
    os.utime(part, (time.time() - age,) * 2)
    write_lines(tmp_path / "file", ["line"])
    assert part.exists() != goes


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_permissions_are_those_of_any_new_file(tmp_path, mask):
    before = os.umask(mask)
    try:
        write_lines(tmp_path / "ours", ["line"])
        (tmp_path / "ordinary").touch()
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ours", "ordinary")]
    assert modes[0] == modes[1]


def test_what_a_link_points_to_is_replaced(tmp_path):
    path, link = tmp_path / "file.txt", tmp_path / "link.txt"
    path.write_text("old")
    link.symlink_to(path)
    write_lines(link, ["new"])
    assert link.is_symlink() and path.read_text() == "new\n"


def test_lines_of_any_number_end_in_a_line_feed_and_half_a_surrogate_is_a_question_mark(tmp_path):
    lines = [f"line {number}" for number in range(20_001)] + ["half \ud83d"]
    write_lines(tmp_path / "file", iter(lines))
    assert (tmp_path / "file").read_bytes() == "".join(f"{line}\n" for line in [*lines[:-1], "half ?"]).encode()


def test_json_is_indented_and_comes_back(tmp_path):
    write_json(tmp_path / "new" / "a.json", {"b": [1, 2.5], "a": "é"})
    content = (tmp_path / "new" / "a.json").read_text("utf-8")
    assert json.loads(content) == {"b": [1, 2.5], "a": "é"}
    assert content.startswith('{\n  "b": [') and content.endswith("}\n")


@pytest.mark.parametrize("size", [0, 3, 3 * 2**20 + 1])
def test_file_hash_is_sha256(tmp_path, size):
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    (tmp_path / "file").write_bytes(data)
    assert file_hash(tmp_path / "file") == hashlib.sha256(data).hexdigest()

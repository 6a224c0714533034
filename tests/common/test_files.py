"""Files replace others whole, with ordinary permissions, through links."""

import hashlib
import json
import os
import stat
import sys

import pytest

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
@pytest.mark.parametrize("version", [(3, 10), sys.version_info])
def test_file_hash_is_sha256_on_every_python(tmp_path, monkeypatch, size, version):
    monkeypatch.setattr(sys, "version_info", version)
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    (tmp_path / "file").write_bytes(data)
    assert file_hash(tmp_path / "file") == hashlib.sha256(data).hexdigest()

"""Added items outlive the process, whatever ended it."""

import errno
import json
import os

import pytest

from recbole_mpo.common.errors import DataError
from recbole_mpo.release.serving.kept_items import KeptItems


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "shop.items.jsonl"


@pytest.fixture
def kept(path):
    opened = KeptItems(path)
    yield opened
    opened.close()


def test_nothing_is_written_before_an_item_is(kept, path):
    assert kept.texts == {} and not path.parent.exists()
    kept.write({})
    assert not path.parent.exists()


def test_items_are_read_again(kept, path):
    texts = {"a": "red lamp", "b\n": 'line\u2028end "quoted"', "ü": "größe"}
    kept.write({"a": texts["a"]})
    kept.write({"b\n": texts["b\n"], "ü": texts["ü"]})
    assert kept.texts == KeptItems(path).texts == texts
    assert len(path.read_bytes().splitlines()) == 3


def test_every_write_is_on_the_disk_before_it_returns(kept, path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(path.read_bytes().count(b"\n")))
    kept.write({"a": "x"})
    assert synced[-1] == 1


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_torn_last_line_is_dropped_and_written_over(kept, path, caplog, cut):
    kept.write({"a": "x", "b": "y"})
    kept.close()
    path.write_bytes(path.read_bytes()[:-cut])
    again = KeptItems(path)
    assert again.texts == {"a": "x"} and "was not written whole" in caplog.text
    again.write({"c": "z"})
    again.close()
    assert KeptItems(path).texts == {"a": "x", "c": "z"}


@pytest.mark.parametrize(
    "line", [b"{", b"[]", b'{"item": "a"}', b'{"item": 1, "text": "x"}', b"\xff", b"", b"[" * 99999]
)
def test_a_malformed_line_is_named(path, line):
    path.parent.mkdir()
    path.write_bytes(b'{"item": "a", "text": "x"}\n' + line + b'\n{"item": "b", "text": "y"}\n')
    with pytest.raises(DataError, match=r"shop\.items\.jsonl, line 2"):
        KeptItems(path)


def test_another_server_cannot_write_at_the_same_time(kept, path):
    kept.write({"a": "x"})
    other = KeptItems(path)
    with pytest.raises(DataError, match="another server; give each a --state_dir"):
        other.write({"b": "y"})
    kept.close()
    other.write({"b": "y"})
    other.close()
    assert KeptItems(path).texts == {"a": "x", "b": "y"}


def test_a_disk_that_is_full_leaves_whole_lines(kept, path):
    kept.write({"a": "x"})
    file = kept._file

    class Full:
        """Writes a part, as a disk does that has no more space."""

        def write(self, content):
            return file.write(content[:7])

        def __getattr__(self, name):
            return getattr(file, name)

    kept._file = Full()
    with pytest.raises(OSError) as caught:
        kept.write({"b": "y"})
    assert caught.value.errno == errno.ENOSPC
    kept._file = file
    kept.write({"c": "z"})
    assert [json.loads(line)["item"] for line in path.read_bytes().splitlines()] == ["a", "c"]
    assert set(kept.texts) == {"a", "c"}


def test_a_file_that_cannot_be_read_is_named(path):
    path.mkdir(parents=True)
    with pytest.raises(DataError, match=r"added items .*shop\.items\.jsonl cannot be read"):
        KeptItems(path)

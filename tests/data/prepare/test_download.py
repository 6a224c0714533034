"""Downloads are whole, continued where they broke off, and recorded; against a local server."""

import hashlib
import json
import re

import pytest

from recbole_mpo.common.errors import DataError
from recbole_mpo.data.prepare import download
from recbole_mpo.data.prepare.download import Unreachable, fetch, note_of

CONTENT = bytes(range(256)) * 40


@pytest.fixture
def site(raw_server, monkeypatch):
    raw_server.files["deep/a.gz"] = CONTENT
    monkeypatch.setattr(download, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(download, "PAUSE_SECONDS", 0.0)
    return raw_server


def get(site, folder, **others):
    return fetch("deep/a.gz", [site.address], folder, show_progress=False, **others)


def test_a_file_arrives_with_its_record(site, tmp_path):
    path = get(site, tmp_path)
    assert path == tmp_path / "a.gz" and path.read_bytes() == CONTENT
    note = json.loads(note_of(path).read_text())
    assert note["bytes"] == len(CONTENT) and note["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert note["address"] == site.address + "deep/a.gz"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.gz", "a.gz.json"]  # no rests


def test_a_file_that_is_there_is_not_fetched_again(site, tmp_path):
    get(site, tmp_path)
    get(site, tmp_path)
    assert len(site.requests) == 1


def test_a_broken_connection_goes_on_where_it_broke(site, tmp_path):
    site.cut["deep/a.gz"] = 4321
    assert get(site, tmp_path).read_bytes() == CONTENT
    assert [asked for _, asked in site.requests] == [None, "bytes=4321-"]


def test_the_next_command_goes_on_where_the_last_one_was_interrupted(site, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "ATTEMPTS", 1)
    site.cut["deep/a.gz"] = 1234
    with pytest.raises(DataError, match="ended after 1,234 of 10,240 bytes"):
        get(site, tmp_path)
    assert not (tmp_path / "a.gz").exists()
    assert get(site, tmp_path).read_bytes() == CONTENT
    assert site.requests[-1][1] == "bytes=1234-"


def test_a_failure_without_words_is_told_by_its_kind():
    assert download._reason(TimeoutError()) == "TimeoutError"
    assert download._reason(TimeoutError("too slow")) == "too slow"


@pytest.mark.parametrize("change", ["content", "no version"])
def test_another_version_begins_anew(site, tmp_path, monkeypatch, change):
    monkeypatch.setattr(download, "ATTEMPTS", 1)
    site.versioned = change == "content"
    site.cut["deep/a.gz"] = 1234
    with pytest.raises(DataError):
        get(site, tmp_path)
    site.files["deep/a.gz"] = CONTENT[::-1]
    assert get(site, tmp_path).read_bytes() == CONTENT[::-1]


def left_over(site, tmp_path, content):
    """A rest of the served version, as a process that was killed leaves it."""
    rest = download._Partial(tmp_path / "a.gz", site.address + "deep/a.gz")
    rest.begin(f'"{len(CONTENT)}-{hash(CONTENT)}"')
    rest.path.write_bytes(content)


@pytest.mark.parametrize("content, transfers", [(CONTENT, 1), (CONTENT * 2, 2)], ids=["all of it", "too much"])
def test_a_rest_that_is_no_part_is_used_or_dropped(site, tmp_path, content, transfers):
    left_over(site, tmp_path, content)
    assert get(site, tmp_path).read_bytes() == CONTENT
    assert len(site.requests) == transfers


def test_a_mirror_does_not_undo_what_another_address_has_sent(site, tmp_path):
    site.cut["deep/a.gz"] = 1234
    site.files["mirror/deep/a.gz"] = CONTENT
    site.cut["mirror/deep/a.gz"] = 99
    first, second = site.address, site.address + "mirror/"
    for address in (first, second):
        partial = download._Partial(tmp_path / "a.gz", address + "deep/a.gz")
        with pytest.raises(ConnectionError):
            download._receive(address + "deep/a.gz", partial, False)
    assert fetch("deep/a.gz", [first, second], tmp_path, show_progress=False).read_bytes() == CONTENT
    assert site.requests[-1] == ("deep/a.gz", "bytes=1234-")


def test_connections_that_break_again_and_again_are_followed_as_long_as_bytes_come(site, tmp_path):
    class Breaking(dict):
        """Every answer ends 1,500 bytes further on, five times."""

        def pop(self, path, default=None):
            self["calls"] = self.get("calls", 0) + 1
            return 1500 * self["calls"] if self["calls"] <= 5 else default

    site.cut = Breaking()
    assert get(site, tmp_path).read_bytes() == CONTENT
    assert len(site.requests) == 6


def test_two_processes_do_not_write_one_file(site, tmp_path):
    with download._alone(tmp_path / "a.gz"), pytest.raises(DataError, match="another process is downloading"):
        get(site, tmp_path)


def test_mirrors_are_tried_in_order(site, tmp_path):
    path = fetch("deep/a.gz", [site.address + "nowhere/", site.address], tmp_path, show_progress=False)
    assert path.read_bytes() == CONTENT
    assert [path for path, _ in site.requests] == ["nowhere/deep/a.gz", "deep/a.gz"]


def test_without_a_network_every_address_is_named_with_its_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "PAUSE_SECONDS", 0.0)
    with pytest.raises(Unreachable) as caught:
        fetch("a.gz", ["http://127.0.0.1:9/x/", "http://127.0.0.1:9/y"], tmp_path / "raw", show_progress=False)
    assert re.search(r"a\.gz could not .*:9/x/a\.gz: .*refused.*; http.*:9/y/a\.gz: ", str(caught.value))


def test_a_page_instead_of_data_is_refused(site, tmp_path):
    site.pages.add("deep/a.gz")
    with pytest.raises(DataError, match="the reply is an HTML page, not data"):
        get(site, tmp_path)
    assert not (tmp_path / "a.gz").exists()


def test_a_wrong_checksum_keeps_the_file_aside(site, tmp_path):
    with pytest.raises(DataError, match=r"not 00 as in properties/sources.yaml; the file was kept as .*a\.gz\.wrong"):
        get(site, tmp_path, sha256="00")
    assert not (tmp_path / "a.gz").exists() and (tmp_path / "a.gz.wrong").read_bytes() == CONTENT


def test_a_file_changed_after_its_download_is_refused(site, tmp_path):
    path = get(site, tmp_path)
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(DataError, match="has changed: its sha256 is no longer"):
        get(site, tmp_path)


def test_a_file_put_there_by_hand_is_used(site, tmp_path):
    (tmp_path / "a.gz").write_bytes(b"mine")
    assert get(site, tmp_path).read_bytes() == b"mine" and not site.requests

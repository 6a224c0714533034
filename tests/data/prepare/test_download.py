"""Downloads are whole, continued where they broke off, and recorded; against a local server."""

import hashlib
import json

import pytest

from recbole_mpo.data.prepare import download
from recbole_mpo.data.prepare.download import fetch, note_of
from recbole_mpo.errors import DataError

CONTENT = bytes(range(256)) * 40


@pytest.fixture
def site(raw_server, monkeypatch):
    raw_server.files["deep/a.gz"] = CONTENT
    monkeypatch.setattr(download, "BLOCK_BYTES", 1000)
    return raw_server


def get(site, folder, **others):
    return fetch("deep/a.gz", [site.address], folder, show_progress=False, **others)


def test_a_file_arrives_with_its_record(site, tmp_path):
    path = get(site, tmp_path)
    assert path == tmp_path / "a.gz" and path.read_bytes() == CONTENT
    note = json.loads(note_of(path).read_text())
    assert note["bytes"] == len(CONTENT) and note["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert note["address"] == site.address + "deep/a.gz"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.gz", "a.gz.json"]


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


@pytest.mark.parametrize("change", ["content", "no version"])
def test_another_version_begins_anew(site, tmp_path, monkeypatch, change):
    monkeypatch.setattr(download, "ATTEMPTS", 1)
    site.versioned = change == "content"
    site.cut["deep/a.gz"] = 1234
    with pytest.raises(DataError):
        get(site, tmp_path)
    site.files["deep/a.gz"] = CONTENT[::-1]
    assert get(site, tmp_path).read_bytes() == CONTENT[::-1]


def test_a_longer_rest_of_another_file_is_dropped(site, tmp_path):
    version = f'"{len(CONTENT)}-{hash(CONTENT)}"'
    (tmp_path / "a.gz.part").write_bytes(CONTENT * 2)
    (tmp_path / "a.gz.part.json").write_text(json.dumps({"address": site.address + "deep/a.gz", "version": version}))
    assert get(site, tmp_path).read_bytes() == CONTENT


def test_mirrors_are_tried_in_order(site, tmp_path):
    found = fetch("deep/a.gz", [site.address + "nowhere/", site.address], tmp_path, show_progress=False)
    assert found.read_bytes() == CONTENT
    assert [path for path, _ in site.requests] == ["nowhere/deep/a.gz", "deep/a.gz"]


def test_without_a_network_the_message_says_what_to_put_where(tmp_path):
    with pytest.raises(DataError) as caught:
        fetch("deep/a.gz", ["http://127.0.0.1:9/"], tmp_path / "raw", show_progress=False)
    message = str(caught.value)
    assert "get http://127.0.0.1:9/deep/a.gz on another machine" in message
    assert f"put it into {tmp_path / 'raw'}/" in message and "--raw=FOLDER" in message


def test_a_page_instead_of_data_is_refused(site, tmp_path):
    site.pages.add("deep/a.gz")
    with pytest.raises(DataError, match="an HTML page comes instead of data"):
        get(site, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_wrong_checksum_keeps_the_file_aside(site, tmp_path):
    with pytest.raises(DataError, match=r"not 00 as properties/sources.yaml says; it was kept as .*a\.gz\.wrong"):
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

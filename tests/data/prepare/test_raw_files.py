"""Raw files are found in a folder, also unpacked and below it, or what is missing is named."""

import pytest

from recbole_mpo.common.errors import DataError
from recbole_mpo.data.prepare import raw_files
from recbole_mpo.data.prepare.download import Unreachable
from recbole_mpo.data.prepare.raw_files import below, downloaded, local, local_files
from recbole_mpo.data.prepare.sources import find_source

PANTRY = find_source("Pantry")
FILES = ("categoryFilesSmall/Prime_Pantry.csv", "metaFiles2/meta_Prime_Pantry.json.gz")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "unpacked").mkdir()
    (tmp_path / "Prime_Pantry.csv").touch()
    (tmp_path / "unpacked" / "meta_Prime_Pantry.json").touch()
    return tmp_path


def test_files_in_a_folder(folder):
    paths = [folder / "Prime_Pantry.csv", folder / "unpacked" / "meta_Prime_Pantry.json"]
    assert local_files(folder, PANTRY, FILES) == paths
    assert below(folder, "meta_Prime_Pantry.json.gz") is None and local(folder, "meta_Prime_Pantry.json.gz") == paths[1]
    (folder / "meta_Prime_Pantry.json.gz").touch()
    assert local(folder, "meta_Prime_Pantry.json.gz") == folder / "meta_Prime_Pantry.json.gz"
    (folder / "Prime_Pantry.csv").unlink()
    with pytest.raises(
        DataError, match=r"does not hold Prime_Pantry\.csv, which is published at https://\S+/Prime_Pantry"
    ):
        local_files(folder, PANTRY, FILES)


def test_downloads_go_to_the_sources_folder(tmp_path, monkeypatch):
    asked = []

    def fetch(file, addresses, folder, sha256, show_progress):
        asked.append((file, tuple(addresses), folder))
        return folder / file

    monkeypatch.setattr(raw_files, "fetch", fetch)
    downloaded(PANTRY, FILES, tmp_path, "http://a.b/", False)
    assert asked == [(file, ("http://a.b/",), tmp_path / ".raw" / "Pantry") for file in FILES]
    downloaded(PANTRY, FILES[:1], tmp_path, None, False)
    assert list(asked[-1][1]) == PANTRY.addresses


def test_without_a_network_the_files_are_named(tmp_path, monkeypatch):
    def fetch(*_):
        raise Unreachable("no answer")

    monkeypatch.setattr(raw_files, "fetch", fetch)
    with pytest.raises(
        DataError, match=r"^no answer\. Without a network: get http://a\.b/\S+ and http://a\.b/\S+ on another"
    ):
        downloaded(PANTRY, FILES, tmp_path, "http://a.b/", False)

"""The hub: a local folder wins, names are told from paths, and uploads go through the client that is passed in."""

import json
import sys
from types import SimpleNamespace

import pytest
from model_folders import answers, recommender_of

from recbole_mpo.common.errors import CheckpointError, DependencyError
from recbole_mpo.release.hub import local_folder
from recbole_mpo.release.recommend import Recommender


class StandInHub:
    """Keeps what is uploaded in a folder, as the hub's client would be called; the real hub is not tested."""

    def __init__(self, folder):
        self.folder, self.calls = folder, []

    def create_repo(self, repo_id, *, private=None, exist_ok=False):
        self.calls.append(("create_repo", repo_id, private, exist_ok))

    def upload_folder(self, *, repo_id, folder_path, revision=None, commit_message=None):
        self.calls.append(("upload_folder", repo_id, revision))
        import shutil

        shutil.copytree(folder_path, self.folder / repo_id)
        return f"https://hub/{repo_id}/commit/1"

    def snapshot_download(self, repo_id, *, revision=None, allow_patterns=None):
        self.calls.append(("snapshot_download", repo_id, revision))
        if not (self.folder / repo_id).is_dir():
            raise FileNotFoundError(f"404 for {repo_id}\nand more")
        assert "manifest.json" in allow_patterns and not any("*" in name for name in allow_patterns)
        return str(self.folder / repo_id)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A stand-in for the package huggingface_hub."""
    hub = StandInHub(tmp_path / "hub")
    api = SimpleNamespace(snapshot_download=hub.snapshot_download, HfApi=lambda token: hub)
    monkeypatch.setitem(sys.modules, "huggingface_hub", api)
    return hub


def test_what_is_uploaded_is_downloaded(tiny_settings, hub):
    recommender = recommender_of(tiny_settings)
    assert recommender.push_to_hub("me/shop", private=True) == "https://hub/me/shop/commit/1"
    assert hub.calls == [("create_repo", "me/shop", True, True), ("upload_folder", "me/shop", None)]
    read = Recommender.from_pretrained("me/shop", revision="v1")
    assert hub.calls[-1] == ("snapshot_download", "me/shop", "v1")
    assert answers(read) == answers(recommender)


def test_a_client_may_be_passed_in(tiny_settings, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    api = StandInHub(tmp_path / "own")
    recommender_of(tiny_settings).push_to_hub("me/shop", api=api)
    manifest = json.loads((tmp_path / "own" / "me" / "shop" / "manifest.json").read_text())
    assert set(manifest["files"]) == {path.name for path in (tmp_path / "own/me/shop").iterdir()} - {"manifest.json"}


def test_a_folder_of_this_machine_wins(hub, tmp_path):
    (tmp_path / "me" / "shop").mkdir(parents=True)
    assert local_folder("me/shop").resolve() == tmp_path / "me" / "shop"
    assert hub.calls == []


@pytest.mark.parametrize(
    "name", ["/no/such", "../shop", "a/b/c", "", "-x", "shop with blanks", "~/none", "https://x/y"]
)
def test_paths_are_not_asked_for(hub, name):
    with pytest.raises(CheckpointError, match="does not exist, and .* is not a name on the hub|is not a model folder"):
        Recommender.from_pretrained(name)
    assert hub.calls == []


def test_the_hubs_errors_are_told_in_a_line(hub):
    with pytest.raises(CheckpointError, match="me/none does not exist here, and the hub does not give it") as caught:
        local_folder("me/none")
    assert "\n" not in str(caught.value)


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "best.pth").touch()
    with pytest.raises(CheckpointError, match="best.pth is a file; give the model folder, or use --checkpoint"):
        local_folder("best.pth")


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(DependencyError, match=r"pip install recbole-mpo\[hub\]"):
        local_folder("me/shop")

"""Files of a model folder: all or none, in place of nothing that others made, and compared before they are read."""

import json
import os

import pytest
from model_folders import edit

from recbole_mpo.common.errors import CheckpointError
from recbole_mpo.release.folder_files import (
    NEEDED,
    check_files,
    check_replaceable,
    checked_files,
    new_folder,
    read_json,
    write_manifest,
)


def write(path, text="content"):
    with new_folder(path) as folder:
        for name in (*NEEDED, "README.md"):
            (folder / name).write_text(f"{name} {text}")


def content(path):
    return {one.relative_to(path).as_posix(): one.read_bytes() for one in path.rglob("*") if one.is_file()}


class TestWriting:
    def test_a_manifest_lists_size_and_hash_of_each_file(self, tmp_path):
        write(tmp_path / "deep" / "m")
        manifest = json.loads((tmp_path / "deep" / "m" / "manifest.json").read_text())
        assert manifest["format_version"] == 1 and manifest["written_by"].startswith("recbole_mpo ")
        assert set(manifest["files"]) == {*NEEDED, "README.md"}
        assert manifest["files"]["README.md"]["size"] == len("README.md content")
        assert checked_files(tmp_path / "deep" / "m") == {*NEEDED, "README.md"}
        assert os.listdir(tmp_path / "deep") == ["m"]

    def test_a_failure_leaves_nothing_new(self, tmp_path):
        for path in (tmp_path / "new", tmp_path / "old"):
            if path.name == "old":
                write(path)
            before = content(tmp_path)
            with pytest.raises(KeyError), new_folder(path) as folder:
                (folder / "config.json").write_text("half")
                raise KeyError
            assert content(tmp_path) == before and not (tmp_path / "new").exists()

    def test_what_was_written_here_is_replaced_whole(self, tmp_path):
        write(tmp_path / "m", "old")
        with new_folder(tmp_path / "m") as folder:
            (folder / "config.json").write_text("new")
        assert set(os.listdir(tmp_path / "m")) == {"config.json", "manifest.json"}
        assert os.listdir(tmp_path) == ["m"]

    def test_an_empty_folder_is_taken(self, tmp_path):
        (tmp_path / "m").mkdir()
        write(tmp_path / "m")
        assert checked_files(tmp_path / "m")

    def test_a_link_stays_a_link(self, tmp_path):
        write(tmp_path / "m", "old")
        (tmp_path / "link").symlink_to(tmp_path / "m")
        write(tmp_path / "link", "new")
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "m" / "README.md").read_text() == "README.md new"

    @pytest.mark.parametrize(
        ("name", "text", "message"),
        [
            ("notes.txt", "mine", "exists and is not of export"),
            ("config.json", "{}", "exists and is not of export"),
            ("manifest.json", "{}", "exists and is not of export"),
            ("manifest.json", '{"written_by": "another"}', "exists and is not of export"),
            ("manifest.json", "[", "manifest.json is damaged"),
        ],
    )
    def test_what_others_made_is_kept(self, tmp_path, name, text, message):
        (tmp_path / "m").mkdir()
        (tmp_path / "m" / name).write_text(text)
        before = content(tmp_path)
        with pytest.raises(CheckpointError, match=message):
            write(tmp_path / "m")
        assert content(tmp_path) == before

    def test_a_file_of_others_in_a_model_folder_is_kept(self, tmp_path):
        write(tmp_path / "m")
        (tmp_path / "m" / "notes.txt").write_text("mine")
        with pytest.raises(CheckpointError, match="'notes.txt', which export did not write and would lose"):
            write(tmp_path / "m", "new")
        assert (tmp_path / "m" / "README.md").read_text() == "README.md content"

    def test_a_file_is_no_folder(self, tmp_path):
        (tmp_path / "m").write_text("x")
        with pytest.raises(CheckpointError, match="m is a file; name the folder to write"):
            check_replaceable(tmp_path / "m")
        with pytest.raises(CheckpointError, match="m/x cannot be written: .*; nothing was changed"):
            write(tmp_path / "m" / "x")


class TestReading:
    @pytest.fixture
    def folder(self, tmp_path):
        write(tmp_path / "m")
        return tmp_path / "m"

    def test_no_folder_and_no_model_folder(self, tmp_path):
        with pytest.raises(CheckpointError, match="model folder .*/none does not exist"):
            checked_files(tmp_path / "none")
        with pytest.raises(CheckpointError, match="is not a model folder, it has no manifest.json"):
            checked_files(tmp_path)

    @pytest.mark.parametrize("name", NEEDED)
    def test_a_missing_file(self, folder, name):
        (folder / name).unlink()
        with pytest.raises(CheckpointError, match=f"{name} is missing; copy the whole folder"):
            checked_files(folder)

    @pytest.mark.parametrize("name", NEEDED)
    @pytest.mark.parametrize("change", [lambda text: text[:-1], lambda text: text[:-1] + "x"], ids=["size", "hash"])
    def test_a_file_that_is_not_what_was_written(self, folder, name, change):
        (folder / name).write_text(change((folder / name).read_text()))
        with pytest.raises(CheckpointError, match=f"{name} is not what was written, its size or sha256 differs"):
            checked_files(folder)

    def test_some_files_of_a_folder_of_another_kind(self, tmp_path):
        for name in ("a", "b", "c"):
            (tmp_path / name).write_text(name)
        write_manifest(tmp_path, ["b", "a"])
        (tmp_path / "b").write_text("x")
        check_files(tmp_path, ["a"])
        with pytest.raises(CheckpointError, match="b is not what was written"):
            check_files(tmp_path, ["a", "b"])
        with pytest.raises(CheckpointError, match="manifest.json gives c no size or no sha256"):
            check_files(tmp_path, ["c"])

    def test_the_card_may_be_edited_or_absent(self, folder):
        (folder / "README.md").write_text("mine")
        assert checked_files(folder)
        (folder / "README.md").unlink()
        assert checked_files(folder)

    def test_files_that_the_manifest_does_not_list_are_not_read(self, folder):
        (folder / "evidence.safetensors").write_text("x")
        assert "evidence.safetensors" not in checked_files(folder)

    @pytest.mark.parametrize(
        "name", ["../secret", "/etc/passwd", "sub/config.json", "..", "C:\\x", "config.json\x00", "pickle.pkl", ""]
    )
    def test_names_that_lead_elsewhere(self, folder, name):
        edit(folder, "manifest.json", lambda one: one["files"].update({name: {"size": 1, "sha256": "0" * 64}}))
        with pytest.raises(CheckpointError, match="which no model folder has; nothing was read") as caught:
            checked_files(folder)
        assert "\n" not in str(caught.value) and "\x00" not in str(caught.value)

    @pytest.mark.parametrize(
        "entry", [None, [], {}, {"size": "1"}, {"size": 1}, {"size": 1, "sha256": 7}, {"size": 1, "sha256": "0"}]
    )
    def test_entries_that_are_none(self, folder, entry):
        edit(folder, "manifest.json", lambda one: one["files"].update({"config.json": entry}))
        with pytest.raises(CheckpointError, match="gives config.json no size or no sha256"):
            checked_files(folder)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda one: one.update(format_version=2), "has format 2, .* formats up to 1: update recbole_mpo"),
            (lambda one: one.update(format_version="1"), "does not say which format it has"),
            (lambda one: one.pop("format_version"), "does not say which format it has"),
            (lambda one: one.update(files=[]), "lists no files"),
            (lambda one: one["files"].pop("items.jsonl"), "does not list items.jsonl"),
        ],
    )
    def test_manifests_that_are_none(self, folder, change, message):
        edit(folder, "manifest.json", lambda one: change(one) and None)
        with pytest.raises(CheckpointError, match=message):
            checked_files(folder)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("{", "is damaged"),
            ("[1]", "it holds no object"),
            ('{"a": ' + "9" * 5000 + "}", "the number 9{20}… is too large"),
            ('{"a": -9007199254740992}', "is too large"),
            ('{"a": 1e999}', "the number 1e999 is too large"),
            ('{"a": NaN}', "the number NaN is too large"),
            ('{"a": -Infinity}', "the number -Infinity is too large"),
            ("[" * 200_000, "is damaged"),
            ('{"a": "' + "x" * (5 << 20) + '"}', "more than 4194304"),
            (b"\xff\xfe", "is damaged"),
        ],
    )
    def test_json_that_is_none(self, tmp_path, text, message):
        (tmp_path / "x.json").write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(CheckpointError, match=message) as caught:
            read_json(tmp_path / "x.json")
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 500

    def test_usual_numbers_are_read(self, tmp_path):
        (tmp_path / "x.json").write_text('{"a": 9007199254740991, "b": -2.5e-3}')
        assert read_json(tmp_path / "x.json") == {"a": 9007199254740991, "b": -0.0025}
        with pytest.raises(CheckpointError, match="cannot be read"):
            read_json(tmp_path / "none.json")

"""How records are written and read, and what is wrong with those that cannot be."""

import os
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from recbole_mpo.common.errors import RecordError
from recbole_mpo.quick_start import record as records


class TestFiles:
    RECORD = {
        "status": "completed",
        "model": "MPORec",
        "dataset": "tiny",
        "seed": 1,
        "item_input": "text",
        "data": {},
        "config": {},
        "params": {},
        "valid": {},
        "test": {},
        "seconds": {},
    }

    def test_write_and_read(self, tmp_path):
        records.write_record(self.RECORD, tmp_path / "new" / "record.json")
        assert records.read_record(tmp_path / "new") == {"format_version": 1, **self.RECORD}
        assert records.read_record(str(tmp_path / "new" / "record.json"))["seed"] == 1

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), object()])
    def test_an_unwritable_record_leaves_the_former_and_no_rest(self, tmp_path, value):
        path = tmp_path / "record.json"
        records.write_record(self.RECORD, path)
        with pytest.raises((ValueError, TypeError)):
            records.write_record({**self.RECORD, "valid": {"hit@10": value}}, path)
        assert records.read_record(path)["valid"] == {}
        assert [entry.name for entry in tmp_path.iterdir()] == ["record.json"]

    def test_a_crash_while_replacing_leaves_the_former(self, tmp_path, monkeypatch):
        path = tmp_path / "record.json"
        records.write_record(self.RECORD, path)
        monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("no space")))
        with pytest.raises(RecordError, match="record.json cannot be written: no space"):
            records.write_record({**self.RECORD, "seed": 2}, path)
        assert records.read_record(path)["seed"] == 1

    def test_a_missing_record_is_named(self):
        with pytest.raises(RecordError, match="record no.json cannot be read: No such file"):
            records.read_record("no.json")

    @pytest.mark.parametrize(
        ("text", "part"), [("{", "is not valid JSON"), ("\xff", "is not valid JSON"), ("[]", "lacks status")]
    )
    def test_an_unreadable_record_is_named(self, text, part):
        Path("bad.json").write_bytes(text.encode("latin-1"))
        with pytest.raises(RecordError, match=f"record bad.json {part}"):
            records.read_record("bad.json")

    @pytest.mark.parametrize("missing", [("seed",), ("data",), ("config",), ("valid", "test")])
    def test_missing_keys_are_listed(self, missing):
        records.write_record({key: value for key, value in self.RECORD.items() if key not in missing}, "part.json")
        with pytest.raises(RecordError, match=f"record part.json lacks {', '.join(missing)};"):
            records.read_record("part.json")

    def test_ranks_are_named_by_split_and_column(self, tmp_path):
        columns = {"rank": np.array([1, 2], np.int32), "user": np.array([5, 6], np.int32)}
        records.write_ranks({"test": columns}, tmp_path / "ranks.npz")
        with np.load(tmp_path / "ranks.npz") as ranks:
            assert {name: ranks[name].tolist() for name in ranks} == {"test_rank": [1, 2], "test_user": [5, 6]}
        assert [entry.name for entry in tmp_path.iterdir()] == ["ranks.npz"]


def test_versions_are_those_of_installed_packages():
    versions = records.package_versions()
    assert {"recbole-mpo", "recbole", "torch", "numpy"} <= versions.keys() <= set(records.PACKAGES)
    assert all(metadata.version(name) == version for name, version in versions.items())

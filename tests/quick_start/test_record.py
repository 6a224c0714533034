"""How records are written and read, and what is wrong with those that cannot be."""

import os
import zipfile
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
        monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "no space")))
        with pytest.raises(RecordError, match="record.json cannot be written: no space"):
            records.write_record({**self.RECORD, "seed": 2}, path)
        assert records.read_record(path)["seed"] == 1

    def test_a_missing_record_is_named(self):
        with pytest.raises(RecordError, match="record no.json cannot be read: No such file"):
            records.read_record("no.json")

    @pytest.mark.parametrize(
        ("text", "part"),
        [
            ("{", "is not valid JSON"),
            ("\xff", "is not valid JSON"),
            ('{"seed": NaN}', "is not valid JSON: it holds NaN"),
            ("[" * 200_000, "is not valid JSON"),
            ("[]", "lacks status"),
        ],
    )
    def test_an_unreadable_record_is_named(self, text, part):
        Path("bad.json").write_bytes(text.encode("latin-1"))
        with pytest.raises(RecordError, match=f"record bad.json {part}") as caught:
            records.read_record("bad.json")
        assert "\n" not in str(caught.value)

    def test_a_value_of_another_type_is_named(self):
        records.write_record({**self.RECORD, "valid": {"hit@10": "much"}}, "bad.json")
        with pytest.raises(RecordError, match="record bad.json is damaged: valid.hit@10 is 'much', input should be"):
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


class TestRanks:
    COLUMNS = {"rank": np.array([1, 2, 30], np.int32), "user": np.array([5, 6, 7], np.int32)}

    @pytest.fixture
    def path(self, tmp_path):
        records.write_ranks({"valid": self.COLUMNS, "test": self.COLUMNS}, tmp_path / "ranks.npz")
        return tmp_path / "ranks.npz"

    def test_write_and_read(self, path):
        columns = records.read_ranks(path, "test")
        assert {name: column.tolist() for name, column in columns.items()} == {"rank": [1, 2, 30], "user": [5, 6, 7]}

    def test_missing_ranks(self, tmp_path):
        with pytest.raises(RecordError, match="none.npz do not exist: runs with eval_mode=recbole"):
            records.read_ranks(tmp_path / "none.npz", "test")

    def test_no_damage_is_accepted(self, path):
        """Every bit of the file, turned alone: read as it was, or refused in one line."""
        content = path.read_bytes()
        for place in range(0, len(content)):
            damaged = bytearray(content)
            damaged[place] ^= 1 << place % 8
            path.write_bytes(damaged)
            try:
                columns = records.read_ranks(path, "test")
                assert all(np.array_equal(columns[name], self.COLUMNS[name]) for name in self.COLUMNS)
            except RecordError as problem:
                assert str(path) in str(problem) and "\n" not in str(problem)

    @pytest.mark.parametrize("length", [0, 1, 100, 500])
    def test_truncated_files(self, path, length):
        path.write_bytes(path.read_bytes()[:length])
        with pytest.raises(RecordError, match="may be damaged"):
            records.read_ranks(path, "test")

    @pytest.mark.parametrize(
        ("columns", "message"),
        [
            ({"rank": [1, 2]}, "lack test_user; they are not"),
            ({"rank": [1, 2], "user": [1]}, "test_user is not a column of whole numbers"),
            ({"rank": [1.0, 2.0], "user": [1, 2]}, "test_rank is not a column of whole numbers"),
            ({"rank": [[1, 2]], "user": [[1, 2]]}, "test_rank is not a column"),
            ({"rank": 1, "user": 2}, "test_rank is not a column"),
            ({"rank": [0, 2], "user": [1, 2]}, "test_rank holds a rank below 1"),
        ],
    )
    def test_other_columns(self, tmp_path, columns, message):
        arrays = {f"test_{name}": np.array(values) for name, values in columns.items()}
        np.savez_compressed(tmp_path / "r.npz", **arrays)
        with pytest.raises(RecordError, match=message):
            records.read_ranks(tmp_path / "r.npz", "test")

    def test_objects_are_not_unpickled(self, tmp_path):
        np.savez(tmp_path / "r.npz", test_rank=np.array([object()]), test_user=np.array([1]))
        with pytest.raises(RecordError, match="may be damaged: Object arrays cannot be loaded"):
            records.read_ranks(tmp_path / "r.npz", "test")

    def test_a_part_that_is_no_array(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "r.npz", "w") as archive:
            archive.writestr("test_rank.npy", b"text")
            archive.writestr("test_user.npy", b"text")
        with pytest.raises(RecordError, match="test_rank is not a column"):
            records.read_ranks(tmp_path / "r.npz", "test")

    def test_a_full_disk_is_one_line(self, tmp_path, monkeypatch):
        def fail(*_, **__):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(np, "savez_compressed", fail)
        with pytest.raises(RecordError, match="ranks .*r.npz cannot be written: No space left on device"):
            records.write_ranks({"test": self.COLUMNS}, tmp_path / "r.npz")
        assert list(tmp_path.iterdir()) == []


def test_versions_are_those_of_installed_packages():
    versions = records.package_versions()
    assert {"recbole-mpo", "recbole", "torch", "numpy"} <= versions.keys() <= set(records.PACKAGES)
    assert all(metadata.version(name) == version for name, version in versions.items())

"""UniSRec's published checkpoints: all weights, plain settings, nothing run, and refused with one line otherwise."""

import struct
import sys
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import hostile
import numpy as np
import pytest
import torch
from published import (
    SIZES,
    PublishedNetwork,
    names_and_shapes,
    parts_of,
    published_config,
    write_parts,
    write_published,
)

from recbole_mpo.common.errors import CheckpointError
from recbole_mpo.trainer import checkpoint
from recbole_mpo.trainer.published_checkpoint import read_published


@pytest.fixture
def path(tmp_path):
    return write_published(tmp_path / "UniSRec-FHCKM-300.pth")


def refusal(path) -> str:
    """The one line with which a file is refused."""
    with pytest.raises(CheckpointError) as caught:
        read_published(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message and len(message) < 1000
    return message


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


class TestSound:
    def test_weights_and_plain_settings_are_read(self, path):
        read = read_published(path)
        assert read.keys() == {"state_dict", "config", "epoch"} and read["epoch"] == 299
        assert {name: tuple(weight.shape) for name, weight in read["state_dict"].items()} == names_and_shapes()
        assert equal(read["state_dict"], PublishedNetwork().state_dict())
        for key, value in SIZES.items():
            assert read["config"][key] == value
        assert read["config"]["dataset"] == "FHCKM" and read["config"]["adaptor_layers"] == [12, 16]
        assert not read["config"]["feature_center"] and not read["config"]["feature_scale"]

    def test_nothing_of_recbole_is_left(self, path):
        def kinds(value):
            parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
            return {type(value)}.union(*map(kinds, parts))

        assert kinds(read_published(path)) <= {dict, list, tuple, str, int, float, bool, type(None), torch.Tensor}

    def test_of_another_class_of_config_too(self, tmp_path):
        """The published code's script for several GPUs has a subclass of it, in a module ``config``."""
        parts = parts_of(write_published(tmp_path / "a.pth"))
        ours, theirs = b"crecbole.config.configurator\nConfig\n", b"cconfig\nConfig\n"
        assert ours in parts["data.pkl"]
        write_parts(tmp_path / "b.pth", {**parts, "data.pkl": parts["data.pkl"].replace(ours, theirs)})
        assert read_published(tmp_path / "b.pth")["config"]["n_heads"] == 2

    @pytest.mark.parametrize("config", [{"n_heads": 2, "x": {1: 2}, "y": [[1]], "z": None}, None, "text", 3])
    def test_settings_may_be_plain_or_absent(self, tmp_path, config):
        config = config or {}
        read = read_published(write_published(tmp_path / "a.pth", config=config))["config"]
        plain = {"n_heads": 2, "z": None} if type(config) is dict and config else {}
        assert read == {**plain, "feature_center": False, "feature_scale": False}

    def test_older_files_have_no_byte_order_and_were_on_a_gpu(self, path):
        parts = parts_of(path)
        del parts["byteorder"]
        on_gpu = parts["data.pkl"].replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
        assert on_gpu != parts["data.pkl"]
        write_parts(path, {**parts, "data.pkl": on_gpu})
        read = read_published(path)["state_dict"]
        assert equal(read, PublishedNetwork().state_dict())
        assert {weight.device.type for weight in read.values()} == {"cpu"}

    def test_tensors_of_every_kind(self, tmp_path):
        base = torch.arange(24).view(4, 6)
        weights = {str(kind): base.to(kind) for kind in (torch.float16, torch.bfloat16, torch.float64, torch.uint8)}
        weights |= {"views": base.float()[1::2, 1:5], "turned": base.t(), "shared": base[2], "empty": torch.zeros(0, 3)}
        weights |= {
            "one": torch.tensor(2.5),
            "bool": torch.tensor([True, False]),
            "parameter": torch.nn.Parameter(base / 2),
        }
        read = read_published(write_published(tmp_path / "a.pth", weights))["state_dict"]
        assert equal(read, weights) and all(read[name].dtype == weights[name].dtype for name in weights)

    def test_truth_is_true_or_false_whatever_the_bytes(self, tmp_path):
        parts = parts_of(write_published(tmp_path / "a.pth", {"bool": torch.tensor([True, False])}))
        assert parts["data/0"] == b"\x01\x00"
        write_parts(tmp_path / "b.pth", {**parts, "data/0": b"\x7f\x00"})
        assert read_published(tmp_path / "b.pth")["state_dict"]["bool"].view(torch.uint8).tolist() == [1, 0]

    def test_no_more_memory_than_the_file_is_long(self, tmp_path):
        """The optimizer is left in the file, and tensors of the same numbers share them."""
        many = torch.zeros(1_000_000)
        weights = {f"w{number}": many[number:] for number in range(200)}
        path = write_published(tmp_path / "a.pth", weights)
        tracemalloc.start()
        read = read_published(path)["state_dict"]
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert equal(read, weights) and peak < 12_000_000


class TestHostile:
    @pytest.mark.parametrize("what", sorted(hostile.hostile_pickles("witness")))
    def test_pickles_run_nothing_take_little_and_are_refused_in_one_line(self, tmp_path, what):
        data, said = hostile.hostile_pickles("witness")[what]
        path = write_parts(tmp_path / "a.pth", {"data.pkl": data, "data/0": bytes(16)})
        tracemalloc.start()
        with hostile.watched() as events:
            assert said in refusal(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 20_000_000 and not events and not Path("witness").exists()

    def test_a_sound_file_runs_nothing_either(self, path):
        with hostile.watched() as events:
            read_published(path)
        assert not events
        # Unpickled, the same file imports RecBole, and would run what it likes.
        with hostile.watched() as events, pytest.raises(ModuleNotFoundError, match="unisrec"):
            torch.load(path, weights_only=False)
        assert "pickle.find_class ('recbole.config.configurator', 'Config')" in events

    def test_names_without_a_payload(self, tmp_path):
        """Each module of which no name may be used, though some of its names look harmless."""
        for module in ("torch", "torch._utils", "numpy", "collections", "yaml.loader", "unisrec", "config", "_codecs"):
            data = hostile.whole(hostile.name(module, "system"))
            path = write_parts(tmp_path / "a.pth", {"data.pkl": data})
            assert f"which can run code ({module}.system)" in refusal(path)

    def test_control_characters_of_a_name_are_shown(self, tmp_path):
        data = hostile.whole(hostile.stack_name("a\x1b[2J", "b\nc" + "d" * 200))
        assert r"(a\x1b[2J.b\ncddd" in refusal(write_parts(tmp_path / "a.pth", {"data.pkl": data}))

    def test_a_script_of_torch_is_not_run(self, tmp_path):
        class Network(torch.nn.Module):
            def forward(self, x):
                return x

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            torch.jit.script(Network()).save(tmp_path / "a.pth")
        assert "is compressed, which torch.save does not do" in refusal(tmp_path / "a.pth")
        write_parts(tmp_path / "b.pth", parts_of(tmp_path / "a.pth"))
        assert "which can run code (__torch__." in refusal(tmp_path / "b.pth")

    def test_neither_are_objects_of_numpy(self, tmp_path):
        path = write_published(tmp_path / "a.pth", best_valid_score=np.array([{}], dtype=object))
        assert "multiarray._reconstruct" in refusal(path)


class TestDamaged:
    def change(self, path, **parts):
        return write_parts(path, {**parts_of(path), **{key.replace("__", "/"): value for key, value in parts.items()}})

    def test_numbers_of_another_machine(self, path):
        other = {"little": b"big", "big": b"little"}[sys.byteorder]
        assert f"holds numbers of a {other.decode()}-endian machine" in refusal(self.change(path, byteorder=other))
        assert "damaged" in refusal(self.change(path, byteorder=b"\xff"))
        assert "holds 1,000 bytes in byteorder" in refusal(self.change(path, byteorder=b"x" * 1000))

    @pytest.mark.parametrize("content", [b"", b"\0" * 7, b"\0" * 10**6])
    def test_numbers_of_another_size(self, path, content):
        assert f"{len(content):,} bytes in data/0" in refusal(self.change(path, data__0=content))

    def test_a_large_pickle(self, path):
        assert "bytes in data.pkl, where at most" in refusal(self.change(path, **{"data.pkl": bytes(10**6)}))

    def test_no_pickle_or_two(self, tmp_path):
        assert "not an archive of torch.save" in refusal(write_parts(tmp_path / "a.pth", {"version": b"3"}))
        assert "not an archive of torch.save" in refusal(write_parts(tmp_path / "a.pth", {"a/data.pkl": b"N."}))
        with zipfile.ZipFile(tmp_path / "b.pth", "w") as archive:
            for folder in "ab":
                archive.writestr(f"{folder}/data.pkl", hostile.whole())
        assert "not an archive of torch.save" in refusal(tmp_path / "b.pth")

    @pytest.mark.parametrize("content", [[], {}, {"state_dict": []}, {"state_dict": None}, 3])
    def test_no_weights(self, tmp_path, content):
        torch.save(content, tmp_path / "a.pth")
        assert "holds no 'state_dict'" in refusal(tmp_path / "a.pth")

    def test_parts_that_are_the_same_bytes(self, path):
        """A zip bomb: the directory names one stretch of the file thousands of times."""
        whole = path.read_bytes()
        begin = whole.index(b"PK\x01\x02")
        length = 46 + sum(struct.unpack("<HHH", whole[begin + 28 : begin + 34]))
        bomb = whole[:begin] + whole[begin : begin + length] * 5000
        bomb += b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 5000, 5000, length * 5000, begin, 0)
        path.write_bytes(bomb)
        assert "its parts are longer than the file" in refusal(path)
        with pytest.raises(CheckpointError, match="its parts are longer than the file"):
            checkpoint.load_checkpoint(path)

    def test_a_file_of_an_older_torch_says_the_way_out(self, tmp_path):
        torch.save({"state_dict": {}}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
        with pytest.raises(CheckpointError, match=r"written by torch before 1\.6: load it with a later torch and save"):
            checkpoint.load_checkpoint(tmp_path / "old.pth")
        assert "damaged" in refusal(tmp_path / "old.pth")

    def test_other_files(self, tmp_path):
        (tmp_path / "a.pth").write_text("no checkpoint")
        assert "damaged or truncated, or not a checkpoint" in refusal(tmp_path / "a.pth")
        assert "No such file" in refusal(tmp_path / "none.pth")

    def test_a_compressed_archive(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "a.pth", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a/data.pkl", bytes(10**6))
        assert "its part a/data.pkl is compressed" in refusal(tmp_path / "a.pth")


def test_a_published_file_is_refused_everywhere_else(path):
    """Evaluation and resuming need this package's settings."""
    with pytest.raises(checkpoint.PickledObjectsError, match="holds pickled objects, which can run code"):
        checkpoint.load_checkpoint(path)


def test_the_transcription_has_a_real_config():
    assert type(published_config()).__module__ == "recbole.config.configurator"

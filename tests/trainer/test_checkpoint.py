"""Checkpoints are plain data, survive a crash, and say what is wrong with them."""

import resource
import zipfile
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from support import built_run

from recbole_mpo.common.errors import CheckpointError
from recbole_mpo.quick_start.experiment import Experiment
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.trainer import checkpoint
from recbole_mpo.trainer.checkpoint_content import content_hash


@pytest.fixture
def trained(tiny_settings, tmp_path):
    """A finished run: (settings, record, folder)."""
    record = run("MPORec", "tiny", (), tiny_settings)
    return tiny_settings, record, tmp_path / "saved" / record["run_id"]


def test_loads_with_weights_only(trained):
    _, _, folder = trained
    for name in ("best.pth", "last.pth"):
        state = torch.load(folder / name, weights_only=True)
        assert state["config"]["hidden_size"] == 16
    assert not any("item_features" in name for name in state["state_dict"])


def test_a_crash_while_writing_keeps_the_former_file(tmp_path, monkeypatch):
    path = tmp_path / "last.pth"
    checkpoint.save_checkpoint({"state_dict": {}, "epoch": 1}, path)

    def torn(state, file):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", torn)
    with pytest.raises(CheckpointError, match=r"last\.pth cannot be written: disk full"):
        checkpoint.save_checkpoint({"state_dict": {}, "epoch": 2}, path)
    assert checkpoint.load_checkpoint(path)["epoch"] == 1
    assert [file.name for file in tmp_path.iterdir()] == ["last.pth"]


@contextmanager
def files_of_at_most(size):
    """As on a disk with so little space, writing fails in the system."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [0, 700, 5000, 100_000])
def test_where_there_is_no_space_one_line_names_the_file_and_the_former_one_stays(tmp_path, size):
    """torch itself says ``[enforce fail at inline_container.cc:672] . unexpected pos 704 vs 598``."""
    path = tmp_path / "last.pth"
    checkpoint.save_checkpoint({"state_dict": {}, "epoch": 1}, path)
    with files_of_at_most(size), pytest.raises(CheckpointError) as caught:
        checkpoint.save_checkpoint({"state_dict": {"a": torch.zeros(100_000)}, "epoch": 2}, path)
    said = f"checkpoint {path} cannot be written: File too large; what was there before is unchanged"
    assert str(caught.value) == said
    assert checkpoint.load_checkpoint(path)["epoch"] == 1
    assert [file.name for file in tmp_path.iterdir()] == ["last.pth"]


def test_a_compressed_archive_is_refused_unread(tmp_path):
    """A few kilobytes can unpack to more than memory holds."""
    path = tmp_path / "best.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("best/data.pkl", bytes(10**6))
    with pytest.raises(CheckpointError, match=r"best\.pth is damaged .*\(its part best/data\.pkl is compressed"):
        checkpoint.load_checkpoint(path)


class TestWeights:
    """What ``load_weights`` refuses beside other names and shapes."""

    def test_that_are_not_finite(self):
        model = torch.nn.Linear(2, 2)
        weights = {name: value.clone() for name, value in model.state_dict().items()}
        weights["bias"][1] = torch.nan
        with pytest.raises(CheckpointError, match="x.pth has weights that are infinite or not a number: bias; its"):
            checkpoint.load_weights(model, weights, "x.pth")

    @pytest.mark.parametrize("kind", [torch.int64, torch.complex64, torch.bool])
    def test_that_are_other_numbers(self, kind):
        model = torch.nn.Linear(2, 2)
        before = model.bias.detach().clone()
        weights = {**model.state_dict(), "bias": torch.ones(2, dtype=kind)}
        with pytest.raises(CheckpointError, match="x.pth has numbers of another kind in bias"):
            checkpoint.load_weights(model, weights, "x.pth")
        assert torch.equal(model.bias, before)

    def test_but_not_those_of_another_precision(self):
        model = torch.nn.Linear(2, 2)
        checkpoint.load_weights(model, {n: torch.ones_like(w).half() for n, w in model.state_dict().items()}, "x.pth")
        assert model.bias.tolist() == [1, 1]


@pytest.mark.parametrize("size", [0, 10, 3000])
def test_truncated_file_is_named(trained, size):
    _, _, folder = trained
    path = folder / "best.pth"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(CheckpointError, match=r"best\.pth is damaged or truncated"):
        checkpoint.load_checkpoint(path)


def test_a_flipped_bit_is_noticed_or_changes_nothing(tmp_path):
    path = tmp_path / "best.pth"
    generator = torch.Generator().manual_seed(1)
    weights = torch.randn(100, 100, generator=generator)
    checkpoint.save_checkpoint({"state_dict": {"weights": weights}, "config": {"dataset": "d"}}, path)
    whole = path.read_bytes()
    noticed = 0
    for place in torch.randint(8 * len(whole), (300,), generator=generator).tolist():
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            state = checkpoint.load_checkpoint(path)
        except CheckpointError as problem:
            assert "best.pth is damaged or truncated" in str(problem)
            noticed += 1
            continue
        # What lies between the parts of the archive means nothing.
        assert torch.equal(state["state_dict"]["weights"], weights) and state["config"] == {"dataset": "d"}
    assert noticed > 250


def test_pickled_objects_are_refused(tmp_path):
    path = tmp_path / "published.pth"
    torch.save({"config": Experiment, "state_dict": {}}, path)
    with pytest.raises(CheckpointError, match="holds pickled objects, which can run code, .* save only its weights"):
        checkpoint.load_checkpoint(path)


def test_missing_foreign_and_newer_files_are_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"is a folder; give a file in it, such as .*best\.pth"):
        checkpoint.load_checkpoint(tmp_path)
    (tmp_path / "notes.txt").write_text("no checkpoint")
    with pytest.raises(CheckpointError, match=r"notes\.txt is damaged or truncated, or not a checkpoint"):
        checkpoint.load_checkpoint(tmp_path / "notes.txt")
    with pytest.raises(CheckpointError, match=r"none\.pth does not exist"):
        checkpoint.load_checkpoint(tmp_path / "none.pth")
    torch.save({"weights": {}}, tmp_path / "foreign.pth")
    with pytest.raises(CheckpointError, match="has no 'state_dict'"):
        checkpoint.load_checkpoint(tmp_path / "foreign.pth")
    torch.save({"state_dict": {}, "format_version": 99}, tmp_path / "newer.pth")
    with pytest.raises(CheckpointError, match="has format 99"):
        checkpoint.load_checkpoint(tmp_path / "newer.pth")


def test_another_architecture_is_named(trained, tiny_settings):
    _, _, folder = trained
    state = checkpoint.load_checkpoint(folder / "best.pth")
    other = built_run("MPORec", "tiny", (), {**tiny_settings, "n_layers": 1}).model
    with pytest.raises(CheckpointError, match=r"it also has trm_encoder\.layer\.1\.") as caught:
        checkpoint.load_weights(other, state["state_dict"], folder / "best.pth")
    # All names of the second layer.
    assert str(caught.value).count("trm_encoder.layer.1.") == 16
    wider = built_run("MPORec", "tiny", (), {**tiny_settings, "inner_size": 32}).model
    with pytest.raises(CheckpointError, match="another architecture: size mismatch for trm_encoder"):
        checkpoint.load_weights(wider, state["state_dict"], folder / "best.pth")
    del state["state_dict"]["LayerNorm.bias"]
    with pytest.raises(CheckpointError, match=r"it lacks LayerNorm\.bias"):
        checkpoint.load_weights(built_run("MPORec", "tiny", (), tiny_settings).model, state["state_dict"], "x.pth")


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state["history"][0]["valid"].update({"ndcg@10": 0.5}),
        lambda state: state["optimizer"]["state"].pop(0),
        lambda state: state["config"].update(learning_rate=0.5),
        lambda state: state.update(content_sha256=torch.zeros(3)),
    ],
)
def test_other_content_with_sound_checksums_is_noticed(tmp_path, change):
    """Each is content that could have been written, so that no field is wrong by itself."""
    path = tmp_path / "last.pth"
    content = {"history": [{"valid": {"ndcg@10": 0.25}}], "optimizer": {"state": {0: {}}}, "config": {}}
    state = {**content, "state_dict": {"a": torch.zeros(2)}, "epoch": 0}
    # Without its version a file is not asked for all that is needed to go on.
    state["content_sha256"] = content_hash(state)
    torch.save(state, path)
    assert checkpoint.load_checkpoint(path).keys() == state.keys() - {"content_sha256"}
    change(state)
    torch.save(state, path)
    with pytest.raises(CheckpointError, match=r"last\.pth is damaged .*its content is not what was written"):
        checkpoint.load_checkpoint(path)
    # A file of an older version, or one that was changed on purpose.
    del state["content_sha256"]
    torch.save(state, path)
    checkpoint.load_checkpoint(path)


def test_a_hash_of_the_content_is_saved(tmp_path):
    checkpoint.save_checkpoint({"state_dict": {"a": torch.zeros(2)}, "epoch": 3}, tmp_path / "best.pth")
    state = torch.load(tmp_path / "best.pth", weights_only=True)
    written = state.pop("content_sha256")
    assert written == content_hash(state) != content_hash({**state, "epoch": 4})
    assert written != content_hash({**state, "state_dict": {"a": torch.tensor([0.0, 1e-45])}})
    assert written != content_hash({**state, "state_dict": {"a": torch.zeros(2, 1)}})
    assert written != content_hash({**state, "state_dict": {"a": torch.zeros(2, dtype=torch.float64)}})


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor(3.0),
        torch.zeros(0),
        torch.ones(2, 2, dtype=torch.bfloat16),
        torch.tensor([True]),
        torch.arange(3).expand(2, 3),
        torch.arange(6).view(2, 3).t(),
        torch.from_numpy(np.zeros(0, dtype=np.float32)),
        torch.ones(3)[::3],
        torch.ones(()).expand(1),
    ],
)
def test_tensors_of_every_kind_are_read_as_they_were_written(tmp_path, tensor):
    checkpoint.save_checkpoint({"state_dict": {"a": tensor}}, tmp_path / "a.pth")
    read = checkpoint.load_checkpoint(tmp_path / "a.pth")["state_dict"]["a"]
    assert read.dtype == tensor.dtype and torch.equal(read, tensor)

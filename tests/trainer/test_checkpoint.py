"""Checkpoints are plain data, survive a crash, and say what is wrong with them."""

import random

import numpy as np
import pytest
import torch

from recbole_mpo.common.errors import CheckpointError
from recbole_mpo.quick_start.evaluate import evaluate_checkpoint
from recbole_mpo.quick_start.experiment import Experiment
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.release.merge import merge_checkpoint
from recbole_mpo.trainer import checkpoint, random_state

CPU = torch.device("cpu")


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


@pytest.mark.parametrize("kept", [0, 10, 3000])
def test_truncated_file_is_named(trained, kept):
    _, _, folder = trained
    path = folder / "best.pth"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=r"best\.pth is damaged or truncated"):
        checkpoint.load_checkpoint(path)


def test_pickled_objects_are_refused(tmp_path):
    path = tmp_path / "published.pth"
    torch.save({"config": Experiment, "state_dict": {}}, path)
    with pytest.raises(CheckpointError, match="holds pickled objects .* save its weights alone"):
        checkpoint.load_checkpoint(path)


def test_missing_foreign_and_newer_files_are_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"is a folder; give a file in it, such as .*best\.pth"):
        checkpoint.load_checkpoint(tmp_path)
    (tmp_path / "notes.txt").write_text("no checkpoint")
    with pytest.raises(CheckpointError, match=r"notes\.txt is damaged or truncated, or no checkpoint at all"):
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
    other = Experiment.of("MPORec", "tiny", (), {**tiny_settings, "n_layers": 1}).model
    with pytest.raises(CheckpointError, match=r"it has besides trm_encoder\.layer\.1\..* and \d+ more"):
        checkpoint.load_weights(other, state["state_dict"], folder / "best.pth")
    wider = Experiment.of("MPORec", "tiny", (), {**tiny_settings, "inner_size": 32}).model
    with pytest.raises(CheckpointError, match="another architecture: size mismatch for trm_encoder"):
        checkpoint.load_weights(wider, state["state_dict"], folder / "best.pth")
    del state["state_dict"]["LayerNorm.bias"]
    with pytest.raises(CheckpointError, match=r"it lacks LayerNorm\.bias"):
        checkpoint.load_weights(
            Experiment.of("MPORec", "tiny", (), tiny_settings).model, state["state_dict"], "x.pth"
        )


def test_other_features_are_refused(trained, tiny_path):
    _, _, folder = trained
    text = tiny_path / "tiny" / "tiny.text"
    text.write_text(text.read_text().replace("number 3.", "number three."))
    with pytest.raises(CheckpointError, match="was trained on item features .* restore the item text"):
        Experiment.from_checkpoint(folder / "best.pth")


@pytest.mark.parametrize("name", ["SASRec", "UniSRec"])
def test_another_numbering_of_the_items_is_refused(tiny_settings, tiny_path, tmp_path, name):
    """Ids follow the order of appearance: the same rows in another order are other ids."""
    settings = {**tiny_settings, "epochs": 1, "item_input": "id"}
    if name == "SASRec":
        keys = ("data_path", "checkpoint_dir", "show_progress", "use_gpu", "epochs", "hidden_size", "inner_size")
        settings = {key: settings[key] for key in keys}
    record = run(name, "tiny", (), settings)
    path = tiny_path / "tiny" / "tiny.inter"
    header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([header, *reversed(rows)]) + "\n")
    with pytest.raises(CheckpointError, match="trained on other items, or on the same in another order"):
        evaluate_checkpoint(tmp_path / "saved" / record["run_id"] / "best.pth")


def test_random_generators_come_back():
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    np.random.normal()  # leaves a second normal waiting in NumPy's state
    state = random_state.rng_state(CPU)
    expected = (torch.rand(3).tolist(), np.random.normal(size=3).tolist(), random.random())
    random_state.restore_rng_state(state, CPU)
    assert (torch.rand(3).tolist(), np.random.normal(size=3).tolist(), random.random()) == expected


def test_another_thread_count_warns(caplog):
    state = random_state.rng_state(CPU)
    random_state.restore_rng_state({**state, "threads": state["threads"] + 1}, CPU)
    assert "rounding may differ" in caplog.text


def test_checkpoint_evaluates_to_the_recorded_metrics(trained):
    _, record, folder = trained
    results = evaluate_checkpoint(folder / "best.pth")
    for split in ("valid", "test"):
        assert results[split] == pytest.approx(record[split], abs=1e-12)


def test_merged_mporec_is_a_unisrec_with_the_same_metrics(trained, tmp_path):
    settings, record, folder = trained
    merge_checkpoint(folder / "best.pth", tmp_path / "dense.pth")
    experiment, state = Experiment.from_checkpoint(tmp_path / "dense.pth")
    assert experiment.spec.name == state["model"] == "UniSRec"
    assert set(state["state_dict"]) == set(Experiment.of("UniSRec", "tiny", (), settings).model.state_dict())
    results = evaluate_checkpoint(tmp_path / "dense.pth")
    for split in ("valid", "test"):
        assert results[split] == pytest.approx(record[split], abs=1e-9)


def test_pretrained_takes_dense_or_mpo_weights(trained, tiny_settings, tmp_path):
    _, _, folder = trained
    merge_checkpoint(folder / "best.pth", tmp_path / "dense.pth")
    source, _ = Experiment.from_checkpoint(folder / "best.pth")
    rows = next(iter(source.loaders[1]))[0]
    expected = source.model.eval().full_sort_predict(rows)
    for name in ("UniSRec", "MPORec", "MPORecExpand", "MPORecLight"):
        started = Experiment.of(name, "tiny", (), {**tiny_settings, "pretrained": str(tmp_path / "dense.pth")})
        assert (started.model.eval().full_sort_predict(rows) - expected).abs().max() < 1e-4
    expanded = Experiment.of("MPORecExpand", "tiny", (), {**tiny_settings, "pretrained": str(folder / "best.pth")})
    assert (expanded.model.eval().full_sort_predict(rows) - expected).abs().max() < 1e-4


def test_a_run_started_from_a_checkpoint_does_not_need_it_later(trained, tiny_settings, tmp_path):
    _, _, folder = trained
    start = tmp_path / "start.pth"
    merge_checkpoint(folder / "best.pth", start)
    record = run("UniSRec", "tiny", (), {**tiny_settings, "pretrained": str(start)})
    start.unlink()
    results = evaluate_checkpoint(tmp_path / "saved" / record["run_id"] / "best.pth")
    assert results["test"] == pytest.approx(record["test"], abs=1e-12)


def test_merge_refuses_what_has_nothing_to_merge(tiny_settings, tmp_path):
    record = run("UniSRec", "tiny", (), {**tiny_settings, "epochs": 1})
    path = tmp_path / "saved" / record["run_id"] / "best.pth"
    with pytest.raises(CheckpointError, match="is of UniSRec, which has no MPO layers to merge"):
        merge_checkpoint(path, tmp_path / "dense.pth")
    with pytest.raises(CheckpointError, match="is a folder; name the file to write"):
        merge_checkpoint(path, tmp_path)

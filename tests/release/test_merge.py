"""Merging an MPO checkpoint: a dense UniSRec of the same scores, made without the dataset."""

import shutil

import pytest
import torch
from support import RestoredRun, built_run

from recbole_mpo.common.errors import CheckpointError, DataError
from recbole_mpo.quick_start.evaluate import evaluate_checkpoint
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.release.merge import merge_checkpoint
from recbole_mpo.trainer import checkpoint
from recbole_mpo.trainer.data_identity import item_tokens


@pytest.fixture
def trained(tiny_settings, tmp_path):
    """A finished run: (settings, record, folder)."""
    record = run("MPORec", "tiny", (), tiny_settings)
    return tiny_settings, record, tmp_path / "saved" / record["run_id"]


def test_merged_mporec_is_a_unisrec_with_the_same_metrics(trained, tmp_path):
    settings, record, folder = trained
    merge_checkpoint(folder / "best.pth", tmp_path / "dense.pth")
    experiment = RestoredRun(tmp_path / "dense.pth")
    state = experiment.state
    assert experiment.spec.name == state["model"] == "UniSRec"
    assert set(state["state_dict"]) == set(built_run("UniSRec", "tiny", (), settings).model.state_dict())
    results = evaluate_checkpoint(tmp_path / "dense.pth")
    for split in ("valid", "test"):
        assert results[split] == pytest.approx(record[split], abs=1e-9)


def test_merged_lora_is_a_unisrec_with_the_same_metrics(tiny_settings, tmp_path):
    record = run("LoRA", "tiny", (), {**tiny_settings, "lora_rank": 2, "lora_alpha": 6})
    source = tmp_path / "saved" / record["run_id"] / "best.pth"
    merge_checkpoint(source, tmp_path / "dense.pth")
    experiment = RestoredRun(tmp_path / "dense.pth")
    assert experiment.spec.name == "UniSRec"
    dense = built_run("UniSRec", "tiny", (), tiny_settings).model
    assert set(weights(tmp_path / "dense.pth")) == set(dense.state_dict())
    assert not any(key.startswith("lora_") for key in experiment.state["config"])
    # The updates are part of the weights: without them the metrics would be those of the frozen matrices.
    before, after = weights(source), weights(tmp_path / "dense.pth")
    updates = [name.removesuffix(".lora_B") for name in before if name.endswith(".lora_B")]
    assert updates
    for name in updates:
        update = 3.0 * before[f"{name}.lora_B"] @ before[f"{name}.lora_A"]
        assert update.abs().max() > 0
        assert torch.allclose(after[f"{name}.weight"], before[f"{name}.weight"] + update, atol=1e-6)
    results = evaluate_checkpoint(tmp_path / "dense.pth")
    for split in ("valid", "test"):
        assert results[split] == pytest.approx(record[split], abs=1e-9)


class TestOutput:
    """What is not of merge is never replaced."""

    def contents(self, folder):
        return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}

    @pytest.mark.parametrize("way", ["same", "dots", "symlink", "hardlink", "last"])
    def test_onto_the_source_or_another_checkpoint_of_the_run(self, trained, way):
        _, _, folder = trained
        source = folder / "best.pth"
        outputs = {"same": source, "dots": folder / ".." / folder.name / "best.pth", "last": folder / "last.pth"}
        if way == "symlink":
            outputs[way] = folder / "link.pth"
            outputs[way].symlink_to(source)
        if way == "hardlink":
            outputs[way] = folder / "hard.pth"
            outputs[way].hardlink_to(source)
        before = self.contents(folder)
        message = "exists and is not of merge" if way == "last" else "is the checkpoint itself, which would be lost"
        with pytest.raises(CheckpointError, match=message):
            merge_checkpoint(source, outputs[way])
        assert self.contents(folder) == before

    @pytest.mark.parametrize("content", [b"", b"notes", b"PK\x03\x04 damaged"])
    def test_onto_another_file(self, trained, tmp_path, content):
        _, _, folder = trained
        (tmp_path / "notes.txt").write_bytes(content)
        with pytest.raises(CheckpointError, match="notes.txt exists and is not of merge; name another file"):
            merge_checkpoint(folder / "best.pth", tmp_path / "notes.txt")
        assert (tmp_path / "notes.txt").read_bytes() == content

    def test_an_earlier_output_is_replaced(self, trained, tmp_path):
        _, _, folder = trained
        merge_checkpoint(folder / "best.pth", tmp_path / "dense.pth")
        before = weights(tmp_path / "dense.pth")
        merge_checkpoint(folder / "best.pth", tmp_path / "dense.pth")
        assert same_weights(weights(tmp_path / "dense.pth"), before)

    def test_a_file_where_the_folder_would_be(self, trained, tmp_path):
        _, _, folder = trained
        (tmp_path / "file").write_text("x", encoding="utf-8")
        with pytest.raises(CheckpointError, match="dense.pth cannot be written"):
            merge_checkpoint(folder / "best.pth", tmp_path / "file" / "dense.pth")


def test_merge_refuses_what_has_nothing_to_merge(tiny_settings, tmp_path):
    record = run("UniSRec", "tiny", (), {**tiny_settings, "epochs": 1})
    path = tmp_path / "saved" / record["run_id"] / "best.pth"
    with pytest.raises(CheckpointError, match="is of UniSRec, which has no MPO or LoRA layers to merge"):
        merge_checkpoint(path, tmp_path / "dense.pth")
    with pytest.raises(CheckpointError, match="is a folder; name the file to write"):
        merge_checkpoint(path, tmp_path)


def weights(path):
    return checkpoint.load_checkpoint(path)["state_dict"]


def same_weights(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def strip_items(path):
    """Makes a checkpoint what versions before the list of items wrote."""
    state = checkpoint.load_checkpoint(path)
    checkpoint.save_checkpoint(
        {key: value for key, value in state.items() if key not in ("item_tokens", "item_num", "feature_size")}, path
    )


def fitted_to(state):
    """What was fitted to item texts, as plain data."""
    arrays = [(name, part) for parts in (state["fitted_text"] or {}).values() for name, part in parts.items()]
    return [(name, part.tolist()) for name, part in arrays]


def warnings_of(caplog):
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


class TestWithoutTheDataset:
    @pytest.mark.parametrize(
        ("model", "changes"),
        [
            ("MPORecLight", {"item_input": "text+id", "id_side": "both"}),
            ("MPORec", {"item_input": "text+id"}),
            ("MPORecExpand", {"mpo_expand_init": "orthogonal"}),
            ("MPORec", {"evidence": ["covisit"]}),
            ("MPORec", {"item_input": "id", "mpo_target_modules": "all-linear"}),
        ],
    )
    def test_merging_gives_the_same_file(self, tiny_settings, tiny_path, tmp_path, caplog, model, changes):
        record = run(model, "tiny", (), {**tiny_settings, **changes, "epochs": 1})
        path = tmp_path / "saved" / record["run_id"] / "best.pth"
        merge_checkpoint(path, tmp_path / "with.pth")
        shutil.rmtree(tiny_path)
        caplog.clear()
        merge_checkpoint(path, tmp_path / "deep" / "without.pth")
        assert warnings_of(caplog) == []
        before, after = (checkpoint.load_checkpoint(tmp_path / name) for name in ("with.pth", "deep/without.pth"))
        assert same_weights(before["state_dict"], after["state_dict"])
        assert item_tokens(after) == item_tokens(before) and len(after["item_tokens"])
        assert fitted_to(after) == fitted_to(before)
        for key in ("model", "config", "item_num", "feature_size", "item_hash", "feature_hash", "counts_hash", "epoch"):
            assert after[key] == before[key], key
        assert after["model"] == after["config"]["model"] == "UniSRec"
        assert not any(key.startswith("mpo_") for key in after["config"])

    def test_a_merged_file_can_be_evaluated_once_the_dataset_is_back(self, trained, tiny_path, tmp_path):
        _, record, folder = trained
        tiny_path.rename(tmp_path / "elsewhere")
        merge_checkpoint(folder / "best.pth", tmp_path / "dense.pth")
        (tmp_path / "elsewhere").rename(tiny_path)
        results = evaluate_checkpoint(tmp_path / "dense.pth")
        assert results["test"] == pytest.approx(record["test"], abs=1e-9)


class TestOlderCheckpoints:
    def test_read_the_dataset_and_say_so_in_a_line(self, trained, tmp_path, caplog):
        _, _, folder = trained
        merge_checkpoint(folder / "best.pth", tmp_path / "new.pth")
        strip_items(folder / "best.pth")
        caplog.clear()
        merge_checkpoint(folder / "best.pth", tmp_path / "old.pth")
        (warning,) = warnings_of(caplog)
        assert "best.pth is of an older version, which does not list items: reading its dataset" in warning
        assert "\n" not in warning
        assert same_weights(weights(tmp_path / "old.pth"), weights(tmp_path / "new.pth"))

    def test_without_the_dataset_are_one_clear_error(self, trained, tiny_path, tmp_path):
        _, _, folder = trained
        strip_items(folder / "best.pth")
        shutil.rmtree(tiny_path)
        with pytest.raises(DataError) as caught:
            merge_checkpoint(folder / "best.pth", tmp_path / "old.pth")
        assert "tiny" in str(caught.value) and "\n" not in str(caught.value)
        assert not (tmp_path / "old.pth").exists()


def test_a_checkpoint_of_no_settings_is_refused(trained, tmp_path):
    _, _, folder = trained
    checkpoint.save_checkpoint({"state_dict": weights(folder / "best.pth")}, tmp_path / "plain.pth")
    with pytest.raises(CheckpointError, match="plain.pth holds weights but no settings"):
        merge_checkpoint(tmp_path / "plain.pth", tmp_path / "dense.pth")


def test_the_source_stays_as_it_was(trained, tmp_path):
    _, _, folder = trained
    before = (folder / "best.pth").read_bytes()
    merge_checkpoint(folder / "best.pth", tmp_path / "dense.pth")
    assert (folder / "best.pth").read_bytes() == before

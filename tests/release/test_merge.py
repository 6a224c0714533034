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


def test_merge_refuses_what_has_nothing_to_merge(tiny_settings, tmp_path):
    record = run("UniSRec", "tiny", (), {**tiny_settings, "epochs": 1})
    path = tmp_path / "saved" / record["run_id"] / "best.pth"
    with pytest.raises(CheckpointError, match="is of UniSRec, which has no MPO layers to merge"):
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


def warnings_of(caplog):
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


class TestWithoutTheDataset:
    @pytest.mark.parametrize(
        ("model", "changes"),
        [
            ("MPORecLight", {"item_input": "text+id"}),
            ("MPORecExpand", {"mpo_expand_init": "orthogonal"}),
            ("MPORec", {"memory": "covisit"}),
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
        assert checkpoint.item_tokens(after) == checkpoint.item_tokens(before) and len(after["item_tokens"])
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

"""A checkpoint's model: built from the items that the file lists, or, where that cannot be, from the dataset."""

import shutil

import pytest
import torch

from recbole_mpo.common.errors import CheckpointError, DataError, RecboleMPOError
from recbole_mpo.common.schema import for_model
from recbole_mpo.model.parameters import count_parameters
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.quick_start.without_data import model_of_checkpoint
from recbole_mpo.trainer import checkpoint
from recbole_mpo.trainer.data_identity import item_tokens

TUNED = {"item_input": "text", "train_stage": "finetune", "finetune_mode": "PeterZero"}
FROM_ITEMS = [
    ("UniSRec", {}),
    ("UniSRec", {"item_input": "text+id"}),
    ("UniSRec", {"item_input": "text+id", "id_side": "both"}),
    ("UniSRec", {"evidence": ["covisit", "words", "two_hop"]}),
    ("UniSRec", {"loss": "sampled"}),
    ("UniSRec_F", {}),
    ("MPORec", {}),
    ("MPORecLight", {}),
    ("MPORecExpand", {"mpo_expand": 3}),
    ("LoRA", {"lora_rank": 2}),
    ("SASRecCE", {"item_input": "id"}),
    ("PeterRec", {"item_input": "id"}),
    ("PeterRec", TUNED),
]
FROM_DATA = [
    ("S3RecFixed", {"pretrain_epochs": 0}),
    ("CCDR", {"ccdr_clusters": 4}),
    ("SASRec", {}),
    ("Pop", {}),
]


@pytest.fixture
def finished(tiny_settings, tmp_path):
    """Trains a model for an epoch; returns its record and its best checkpoint."""

    def train(name, changes):
        settings = {**for_model({**tiny_settings, "epochs": 1}, name), **changes}
        record = run(name, "tiny", (), settings)
        return record, tmp_path / "saved" / record["run_id"] / "best.pth"

    return train


def warnings_of(caplog):
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


@pytest.mark.parametrize(("name", "changes"), FROM_ITEMS)
def test_text_models_need_no_dataset(finished, tiny_path, caplog, name, changes):
    record, path = finished(name, changes)
    shutil.rmtree(tiny_path)
    caplog.clear()
    model, state = model_of_checkpoint(path)
    assert warnings_of(caplog) == []
    assert count_parameters(model) == record["params"]
    weights = model.state_dict()
    assert weights.keys() == state["state_dict"].keys()
    assert all(torch.equal(weights[key], value) for key, value in state["state_dict"].items())
    assert list(model.item_tokens) == item_tokens(state) and model.item_hash == state["item_hash"]


@pytest.mark.parametrize(("name", "changes"), FROM_DATA)
def test_models_of_graphs_attributes_and_counts_read_it(finished, tiny_path, caplog, name, changes):
    record, path = finished(name, changes)
    caplog.clear()
    model, state = model_of_checkpoint(path)
    assert warnings_of(caplog) == [f"checkpoint {path} is of {name}: reading its dataset to build the model"]
    assert count_parameters(model) == record["params"] and state["model"] == name
    shutil.rmtree(tiny_path)
    with pytest.raises(DataError, match="dataset 'tiny' not found") as caught:
        model_of_checkpoint(path)
    assert "\n" not in str(caught.value)


def test_other_data_than_the_checkpoints_are_refused_where_they_are_read(finished, tiny_path):
    _, path = finished("SASRec", {})
    inter = tiny_path / "tiny" / "tiny.inter"
    header, *rows = inter.read_text().splitlines()
    inter.write_text("\n".join([header, *reversed(rows)]) + "\n")
    with pytest.raises(CheckpointError, match="was trained on other items"):
        model_of_checkpoint(path)


class TestOlderVersions:
    @pytest.fixture
    def older(self, finished):
        """A record and a checkpoint as versions before the list of items wrote it."""
        record, path = finished("MPORec", {})
        state = checkpoint.load_checkpoint(path)
        older = {key: value for key, value in state.items() if key not in ("item_tokens", "item_num", "feature_size")}
        checkpoint.save_checkpoint(older, path)
        return record, path

    def test_read_the_dataset_and_say_so_in_a_line(self, older, caplog):
        record, path = older
        caplog.clear()
        model, _ = model_of_checkpoint(path)
        assert count_parameters(model) == record["params"]
        (warning,) = warnings_of(caplog)
        assert warning == (
            f"checkpoint {path} is of an older version, which does not list items: reading its dataset to build the "
            "model"
        )

    def test_without_the_dataset_are_one_clear_error(self, older, tiny_path):
        shutil.rmtree(tiny_path)
        with pytest.raises(RecboleMPOError, match="dataset 'tiny' not found") as caught:
            model_of_checkpoint(older[1])
        assert "\n" not in str(caught.value)


def test_files_that_are_no_runs_checkpoint_are_refused(finished, tmp_path):
    with pytest.raises(CheckpointError, match="does not exist"):
        model_of_checkpoint(tmp_path / "none.pth")
    checkpoint.save_checkpoint({"state_dict": {}}, tmp_path / "plain.pth")
    with pytest.raises(CheckpointError, match="holds weights but no settings"):
        model_of_checkpoint(tmp_path / "plain.pth")


def test_weights_of_other_sizes_than_the_settings_are_named(finished, tiny_path):
    _, path = finished("UniSRec", {})
    shutil.rmtree(tiny_path)
    with pytest.raises(CheckpointError, match="another architecture: size mismatch"):
        model_of_checkpoint(path, {"hidden_size": 32})

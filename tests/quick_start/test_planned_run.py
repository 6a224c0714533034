"""By what a planned run and a record of it are recognised as the same."""

import json
import shutil

import numpy as np
import pytest
from support import folder_of

from recbole_mpo.common.errors import CheckpointError, ConfigError, DataError
from recbole_mpo.quick_start.planned_run import PlannedRun, identity_of_record
from recbole_mpo.quick_start.record import read_record
from recbole_mpo.quick_start.recorded_run import run


@pytest.fixture
def dense(tiny_settings):
    """The record of a run of UniSRec that built everything and stopped, and its settings."""
    return run("UniSRec", "tiny", (), tiny_settings, dry_run=True), tiny_settings


def identity(settings, **others):
    return PlannedRun.of("UniSRec", "tiny", {**settings, **others}).identity


def test_a_record_has_the_identity_of_its_run(dense):
    record, settings = dense
    assert identity_of_record(record) == identity(settings)
    assert identity_of_record(read_record(folder_of(record))) == identity(settings)


@pytest.mark.parametrize(
    "others",
    [
        {"seed": 9},
        {"checkpoint_dir": "other", "run_label": "other", "show_progress": True},
        {"eval_batch_size": 3, "item_chunk": 5},
        {"n_layers": 2},  # the default
        {"warmup_epochs": 0},  # 0.0 by default
    ],
)
def test_seed_paths_and_display_do_not_count(dense, others):
    record, settings = dense
    assert identity_of_record(record) == identity(settings, **others)


@pytest.mark.parametrize(
    "others",
    [{"epochs": 3}, {"n_layers": 1}, {"valid_metric": "HIT@10"}, {"feature_center": False}, {"train_users": 0.5}],
)
def test_whatever_decides_the_figures_counts(dense, others):
    record, settings = dense
    assert identity_of_record(record) != identity(settings, **others)


def test_other_data_are_another_run(dense, tmp_path):
    record, settings = dense
    shutil.copytree(settings["data_path"], tmp_path / "copy")
    assert identity_of_record(record) == identity(settings, data_path=str(tmp_path / "copy"))
    text = tmp_path / "copy" / "tiny" / "tiny.text"
    text.write_text(text.read_text().replace("i", "o", 50))
    assert identity_of_record(record) != identity(settings, data_path=str(tmp_path / "copy"))


def test_a_setting_that_a_record_lacks_counts_as_the_default(dense):
    record, settings = dense
    del record["config"]["evidence"], record["config"]["temperature"]
    record["config"] |= {"memory_factor": 5.0, "clip_grad_norm": None}
    assert identity_of_record(record) == identity(settings)


def test_weights_to_start_from_are_known_by_their_content(dense, tmp_path):
    record, settings = dense
    trained = folder_of(run("UniSRec", "tiny", (), {**settings, "epochs": 1})) / "best.pth"
    moved = tmp_path / "moved.pth"
    shutil.copy(trained, moved)
    settings = {**settings, "epochs": 0}
    started = run("UniSRec", "tiny", (), {**settings, "pretrained": str(trained)})
    assert started["pretrained"]["file"] == "best.pth"
    assert identity_of_record(started) == identity(settings, pretrained=str(moved)) != identity(settings)
    del started["pretrained"]
    assert identity_of_record(started) is None
    with pytest.raises(CheckpointError, match=r"gone\.pth does not exist"):
        identity(settings, pretrained="gone.pth")


def test_of_a_run_that_failed_before_its_data_were_read_the_settings_are_known(dense):
    record, settings = dense
    assert identity_of_record(record | {"data": {}}) == (identity(settings).settings, None)


def test_a_record_can_be_read_after_a_round_through_json(dense):
    record, settings = dense
    assert identity_of_record(json.loads(json.dumps(record))) == identity(settings)


def test_wrong_settings_and_missing_data_are_refused(tiny_settings):
    with pytest.raises(ConfigError, match="hidden_size"):
        PlannedRun.of("UniSRec", "tiny", {**tiny_settings, "hidden_size": 0})
    with pytest.raises(DataError):
        PlannedRun.of("UniSRec", "absent", tiny_settings)


def test_features_and_a_second_dataset_are_among_the_files(tiny_settings, tmp_path):
    rows = len((tmp_path / tiny_settings["data_path"] / "tiny" / "tiny.text").read_text().splitlines()) - 1
    np.save(tmp_path / "f.npy", np.random.default_rng(0).normal(size=(rows, 6)).astype(np.float32))
    settings = {key: value for key, value in tiny_settings.items() if key != "text_encoder"}
    settings["feature_file"] = str(tmp_path / "f.npy")
    before = identity(settings)
    assert "f.npy" in PlannedRun.of("UniSRec", "tiny", settings).experiment.file_hashes()
    np.save(tmp_path / "f.npy", np.ones((rows, 6), np.float32))
    assert identity(settings) != before
    shutil.copytree(f"{tiny_settings['data_path']}/tiny", f"{tiny_settings['data_path']}/other")
    for path in (tmp_path / tiny_settings["data_path"] / "other").iterdir():
        path.rename(path.with_name(path.name.replace("tiny", "other")))
    plan = PlannedRun.of("CCDR", "tiny", {"data_path": tiny_settings["data_path"], "ccdr_source": "other"})
    assert {"tiny.inter", "other/other.inter", "other/other.text"} <= plan.experiment.file_hashes().keys()


def test_ids_of_older_records_were_in_the_vectors(tiny_settings):
    record = run("UniSRec", "tiny", (), {**tiny_settings, "item_input": "text+id", "id_side": "both"}, dry_run=True)
    for key in [key for key in record["config"] if key.startswith("id_")]:
        del record["config"][key]
    known = identity_of_record(record)
    assert known == identity(tiny_settings, item_input="text+id", id_side="both")
    assert known != identity(tiny_settings, item_input="text+id")


def test_nothing_where_the_default_is_something_is_another_run(tiny_settings):
    plans = [PlannedRun.of("BERT4RecFair", "tiny", {**given, "data_path": tiny_settings["data_path"]}) for given in
             ({}, {"clip_grad_norm": None})]  # fmt: skip
    assert plans[0].identity != plans[1].identity


def test_runs_of_several_processes_are_not_recognised(dense):
    record, _ = dense
    assert identity_of_record(record | {"processes": 2}) is None

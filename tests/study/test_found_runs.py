"""Which recorded runs are the same as a planned one."""

import json
import shutil

import pytest
from support import folder_of

from recbole_mpo.quick_start.planned_run import PlannedRun
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.quick_start.run_folder import training_in
from recbole_mpo.study.found_runs import FoundRuns


@pytest.fixture
def counted(tmp_path_factory, tiny_settings):
    """A finished run of a model without training: its settings and its folder."""
    shared = {key: tiny_settings[key] for key in ("data_path", "show_progress")}
    settings = {**shared, "checkpoint_dir": str(tmp_path_factory.mktemp("saved")), "seed": 3}
    return settings, folder_of(run("CoVisit", "tiny", (), settings))


def planned(settings, **others):
    return PlannedRun.of("CoVisit", "tiny", {**settings, **others})


def test_a_finished_run_is_found_by_settings_seed_and_data(counted):
    settings, folder = counted
    found = FoundRuns.under([folder.parent])
    record, path = found.finished(planned(settings))
    assert path == folder / "record.json" and record["model"] == "CoVisit"
    assert found.finished(planned(settings, checkpoint_dir="elsewhere", run_label="x", eval_batch_size=7))
    assert not found.finished(planned(settings, seed=4))
    assert not found.finished(planned(settings, MAX_ITEM_LIST_LENGTH=3))
    assert not found.finished(PlannedRun.of("Pop", "tiny", settings))


def test_a_run_without_ranks_is_done_again(counted, tmp_path):
    settings, folder = counted
    shutil.copy(folder / "record.json", tmp_path)
    assert not FoundRuns.under([tmp_path]).finished(planned(settings))


def changed(folder, target, **values):
    shutil.copytree(folder, target)
    record = json.loads((target / "record.json").read_text())
    (target / "record.json").write_text(json.dumps(record | values))
    return target


def test_of_several_the_newest_completed_counts(counted, tmp_path):
    settings, folder = counted
    changed(folder, tmp_path / "old", started="2001-01-01T00:00:00+00:00")
    new = changed(folder, tmp_path / "new", started="2101-01-01T00:00:00+00:00")
    changed(
        folder, tmp_path / "stopped", started="2301-01-01T00:00:00+00:00", status="failed", error="Terminated: SIGTERM"
    )
    changed(folder, tmp_path / "failed", started="2201-01-01T00:00:00+00:00", status="failed", error="x")
    changed(folder, tmp_path / "chosen", started="2301-01-01T00:00:00+00:00", choice={"trials": []})
    found = FoundRuns.under([tmp_path, folder.parent])
    assert found.finished(planned(settings))[1].parent == new
    assert found.failed(planned(settings))[1].parent == tmp_path / "failed"


def test_files_that_are_no_records_are_named_once_and_running_ones_are_read_again(counted, tmp_path):
    settings, folder = counted
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "record.json").write_text("{")
    run_folder = changed(folder, tmp_path / "run", status="running")
    found = FoundRuns.under([tmp_path])
    assert not found.finished(planned(settings))
    shutil.copy(folder / "record.json", run_folder)
    found.read(tmp_path)
    assert found.finished(planned(settings))
    assert len(found.unread) == 1 and "not valid JSON" in found.unread[0]


def test_expected_time_follows_from_runs_of_the_same_model_and_dataset(counted, tmp_path):
    settings, folder = counted
    changed(folder, tmp_path / "a", seconds={"per_epoch": 2.0})
    changed(folder, tmp_path / "b", seconds={"per_epoch": 6.0})
    found = FoundRuns.under([tmp_path])
    epochs = planned(settings).epochs
    assert found.expected_seconds(planned(settings)) == 4.0 * epochs
    assert found.expected_seconds(PlannedRun.of("Pop", "tiny", settings)) is None


def test_a_run_goes_on_only_with_the_same_settings_data_and_weights(counted, tmp_path):
    settings, folder = counted
    run_folder = changed(folder, tmp_path / "run", status="failed", error="Terminated: SIGTERM")
    found = FoundRuns.under([tmp_path])
    assert found.unfinished(planned(settings)) is None
    (run_folder / "last.pth").write_bytes(b"")
    assert found.unfinished(planned(settings)) == run_folder
    assert found.unfinished(planned(settings, MAX_ITEM_LIST_LENGTH=3)) is None
    with training_in(run_folder):
        assert found.unfinished(planned(settings)) is None
    changed(folder, tmp_path / "early", status="failed", error="DataError: x", data={})
    assert FoundRuns.under([tmp_path]).unfinished(planned(settings)) == run_folder

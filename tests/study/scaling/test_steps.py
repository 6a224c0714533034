"""The steps of a study, from the plan to the report, on a generated dataset."""

import pytest
from planted_study import content_of, write_study

from recbole_mpo.common.errors import ConfigError, RecordError
from recbole_mpo.study import report as report_module
from recbole_mpo.study.scaling import steps
from recbole_mpo.study.scaling.predicted_runs import read_prediction
from recbole_mpo.study.scaling.steps import Study, read_shard


def test_the_packaged_small_plan_from_end_to_end(tiny_settings, started, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(report_module, "draw_svgs", lambda plots: [b"<svg/>" for _ in plots])
    given = {key: tiny_settings[key] for key in ("data_path", "cache_dir", "use_gpu", "train_batch_size")}
    study = Study.of(content_of("scaling_tiny"), tmp_path / "out", {"dataset": "tiny", **given})
    study.plan()
    assert study.run() == [] and len(started) == 4
    content = study.fit()
    assert [found["points"] for found in content["metrics"].values()] == [4, 4]
    files = study.report()
    assert all(path.is_file() for path in files)
    text = (tmp_path / "out" / "report.md").read_text()
    assert "asymptote not identified" in text and "4 of 4 runs reached the largest number of epochs" in text


@pytest.fixture
def no_laws(monkeypatch):
    """Leaves out what takes time, and is fitted after the prediction."""
    monkeypatch.setattr(steps, "fit_all", lambda plan, outcomes: {"runs": [], "metrics": {}})


def test_held_back_runs_are_predicted_once_the_others_are_done(no_laws, tmp_path, capsys):
    study = Study.of(content_of(), tmp_path / "out")
    others = [cell for cell in study.made.cells if cell.is_released(set())]
    write_study(study.made, study.output, wanted=lambda cell: cell in others[1:])
    study.fit()
    assert "no prediction yet: 1 runs of size are not done" in capsys.readouterr().out
    assert read_prediction(study.output) is None
    write_study(study.made, study.output, wanted=lambda cell: cell in others)
    study.fit()
    assert "2 runs are predicted from 14" in capsys.readouterr().out
    write_study(study.made, study.output, wanted=lambda cell: cell.is_held_back)
    study.fit()
    assert "stays as it was written before its outcomes" in capsys.readouterr().out


def test_outcomes_without_a_prediction_are_not_predicted_afterwards(no_laws, tmp_path, capsys):
    study = Study.of(content_of(), tmp_path / "out")
    write_study(study.made, study.output)
    study.fit()
    assert "prediction.json is not written" in capsys.readouterr().out and read_prediction(study.output) is None


def test_a_study_without_runs_says_so(tmp_path):
    study = Study.of(content_of(), tmp_path / "out")
    with pytest.raises(RecordError, match="laws need at least 4 runs of size; 0 are done"):
        study.fit()
    with pytest.raises(RecordError, match=r"fit\.json does not exist"):
        study.report()


def test_shards_are_numbers_of_parts():
    assert read_shard("1/1") == (1, 1) and read_shard("3/12") == (3, 12)
    for wrong in ("0/3", "4/3", "1", "a/b", "1/0", "-1/2", "1/2/3", ""):
        with pytest.raises(ConfigError, match="shard must be I/N"):
            read_shard(wrong)

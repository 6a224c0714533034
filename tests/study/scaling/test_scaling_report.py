"""The report of a whole study: every part in every form, and records that do not belong together."""

import csv
import json

import pytest

from recbole_mpo.common.errors import RecordError
from recbole_mpo.quick_start.record import read_record, write_record
from recbole_mpo.study import report as report_module
from recbole_mpo.study.run_process import RUNS


@pytest.fixture(autouse=True)
def quick_pictures(monkeypatch):
    monkeypatch.setattr(report_module, "draw_svgs", lambda plots: [b"<svg/>" for _ in plots])


def test_every_part_is_there_in_every_form(planted, capsys):
    files = planted.report()
    assert "report: " in capsys.readouterr().out and all(path.is_file() for path in files)
    text, page = ((planted.output / name).read_text() for name in ("report.md", "report.html"))
    for heading in (
        "What it says, and what it cannot know",
        "Prediction and outcome",
        "Laws",
        "Test loss against training targets (D)",
        "Test ndcg@10 against floating point operations (C)",
        "Test loss against depth, by width",
        "Test loss: what F1 leaves",
        "With MPO and without",
        "Transfer",
        "Scientific: test ndcg@10, difference from training from scratch",
        "Runs",
    ):
        assert f"## {heading}\n" in text and f">{heading}</h2>" in page
    assert "Not done yet" not in text
    pictures = {path.stem for path in (planted.output / "figures").glob("*.svg")}
    assert pictures == {path.stem for path in (planted.output / "figures").glob("*.csv")} and len(pictures) == 14
    rows = list(csv.DictReader((planted.output / "report.csv").read_text().splitlines()))
    assert len(rows) == 31 and float(rows[0]["test loss"]) > 6 and rows[0]["grids"] == "size"


def test_a_study_in_progress_has_a_report_too(planted, capsys):
    for path in (planted.output / RUNS).glob("*Scientific*/record.json"):
        path.unlink()
    planted.fit()
    planted.report()
    text = (planted.output / "report.md").read_text()
    assert "Not done yet, of the plan (12)" in text and "## Transfer" not in text


def test_runs_of_other_test_users_are_refused(planted):
    path = next((planted.output / RUNS).glob("*BGTS*/record.json"))
    record = read_record(path)
    record["data"]["test_pairs"] = "ee"
    write_record(record, path)
    planted.fit()
    with pytest.raises(RecordError, match="the records differ in the test pairs"):
        planted.report()


def test_other_records_than_were_fitted_are_refused(planted):
    path = next((planted.output / RUNS).glob("*/record.json"))
    write_record({**read_record(path), "best_epoch": 10}, path)
    with pytest.raises(RecordError, match=r"fit\.json was fitted to other records than there are now: fit again"):
        planted.report()
    (planted.output / "fit.json").unlink()
    with pytest.raises(RecordError, match=r"fit\.json does not exist: give the same command with fit"):
        planted.report()


def test_figures_are_plain_numbers(planted):
    planted.report()
    page = (planted.output / "report.html").read_text()
    plots = page.partition('id="plots">')[2].partition("</script>")[0]
    assert len(json.loads(plots)) == 14

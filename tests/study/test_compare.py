"""A comparison from its experiment file to its report, in several steps and after being killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from recbole_mpo.common.errors import CheckpointError, ConfigError
from recbole_mpo.quick_start.record import read_record, write_record
from recbole_mpo.study import compare as compare_module
from recbole_mpo.study import report_source
from recbole_mpo.study.compare import Comparison, compare
from recbole_mpo.study.report_source import ReportSource
from recbole_mpo.study.run_process import RUNS


@pytest.fixture
def comparison(tiny_settings, tmp_path):
    """Returns a comparison of models on ``tiny``."""
    shared = {key: tiny_settings[key] for key in ("data_path", "cache_dir", "use_gpu")}
    shared |= {"text_encoder": "tfidf-svd", "epochs": 2, "hidden_size": 16, "inner_size": 16, "n_exps": 2}

    def make(runs, seeds=(1,), **choices):
        choices = {"title": "A try", "datasets": ("tiny",), "output": tmp_path / "out", **choices}
        used = {key: value for key, value in shared.items() if "UniSRec" in str(runs) or key == "data_path"}
        return Comparison(rows={**used, "runs": runs}, seeds=seeds, **choices)

    return make


def records(folder):
    return {path: read_record(path) for path in sorted((folder / RUNS).glob("*/record.json"))}


def test_runs_are_done_once_failures_are_shown_and_all_are_reported(comparison, tmp_path, capsys):
    runs = {"Pop": {"seeds": 1}, "CoVisit": {"seeds": 1}, "lost": {"model": "UniSRec", "pretrained": "lost.pth"}}
    Path("lost.pth").write_bytes(b"not a checkpoint")
    wanted = comparison(runs)
    assert compare(wanted) == ["lost, tiny, seed 1"]
    out = capsys.readouterr().out
    assert "3 runs: 2 done, 1 failed" in out and "lost.pth" in out
    before = records(tmp_path / "out")
    assert sorted(record["status"] for record in before.values()) == ["completed", "completed", "failed"]
    report = (tmp_path / "out" / "report.md").read_text()
    assert "# A try" in report and "CoVisit" in report and "failed" in report

    Path("lost.pth").unlink()
    with pytest.raises(CheckpointError, match=r"runs: lost: .*lost\.pth"):
        compare(wanted)
    del runs["lost"]
    assert compare(comparison(runs)) == []
    assert "running" not in capsys.readouterr().out
    assert records(tmp_path / "out").keys() == before.keys()


def test_a_dry_run_says_what_there_is_to_do_and_does_nothing(comparison, tmp_path, capsys):
    done = comparison({"Pop": {}}, output=tmp_path / "earlier")
    compare(done)
    capsys.readouterr()
    wanted = comparison({"Pop": {}, "CoVisit": {}}, reuse=(tmp_path / "earlier",))
    assert compare(wanted, dry_run=True) == []
    out = capsys.readouterr().out
    assert "reused   Pop, tiny, seed 1" in out and "to do    CoVisit, tiny, seed 1   time not known" in out
    assert not (tmp_path / "out").exists()
    compare(wanted)
    assert [record["model"] for record in records(tmp_path / "out").values()] == ["CoVisit"]


def test_several_datasets_have_a_report_each(comparison, tiny_settings, tmp_path):
    folder = Path(tiny_settings["data_path"])
    (folder / "other").mkdir()
    for path in (folder / "tiny").iterdir():
        (folder / "other" / path.name.replace("tiny", "other")).write_bytes(path.read_bytes())
    compare(comparison({"Pop": {}, "CoVisit": {}}, datasets=("tiny", "other"), jobs=2))
    for name in ("tiny", "other"):
        assert name in (tmp_path / "out" / name / "report.md").read_text()
    assert len(records(tmp_path / "out")) == 4


def test_a_time_limit_begins_nothing_more(comparison, tmp_path, capsys):
    assert compare(comparison({"Pop": {}, "CoVisit": {}}, max_hours=0)) == []
    out = capsys.readouterr().out
    assert "2 runs: 2 stopped" in out and "no report yet: Pop" in out
    assert records(tmp_path / "out") == {}


def test_a_run_whose_process_dies_is_named_and_the_others_go_on(comparison, tmp_path, monkeypatch, capsys):
    start = compare_module.RunProcess.start

    def dying(cell, *arguments):
        process = start(cell, *arguments)
        if cell.row.model == "CoVisit":
            process.process.kill()
        return process

    monkeypatch.setattr(compare_module.RunProcess, "start", dying)
    assert compare(comparison({"Pop": {}, "CoVisit": {}})) == ["CoVisit, tiny, seed 1"]
    assert "CoVisit, tiny, seed 1: failed: no message" in (tmp_path / "out" / "report.md").read_text()


def test_a_dataset_named_twice_is_refused(comparison):
    with pytest.raises(ConfigError, match="dataset names tiny twice"):
        compare(comparison({"Pop": {}}, datasets=("tiny", "tiny")))


def test_an_unknown_reference_is_refused(comparison):
    with pytest.raises(ConfigError, match="reference 'Pip' is not one of the runs: Pop"):
        compare(comparison({"Pop": {}}, reference="Pip"))


def command(comparison, path):
    content = {**comparison.rows, "command": "compare", "dataset": "tiny", "seeds": list(comparison.seeds)}
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return [sys.executable, "-m", "recbole_mpo", "compare", str(path), f"--output={comparison.output}"]


def test_a_killed_comparison_goes_on_where_it_was(comparison, tmp_path):
    runs = {"Pop": {}, "UniSRec": {"epochs": 300, "stopping_step": 300}, "CoVisit": {}}
    wanted = comparison(runs, seeds=[5])
    arguments = command(wanted, tmp_path / "try.yaml")
    with open(tmp_path / "first.log", "wb") as log:
        first = subprocess.Popen(arguments, stdout=log, stderr=log)
        end = time.monotonic() + 240
        while time.monotonic() < end and not list((tmp_path / "out" / RUNS).glob("UniSRec-*/last.pth")):
            assert first.poll() is None, (tmp_path / "first.log").read_text()
            time.sleep(0.2)
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
    before = records(tmp_path / "out")
    (unfinished,) = [path for path, record in before.items() if record["model"] == "UniSRec"]
    again = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stdout + again.stderr
    after = records(tmp_path / "out")
    assert before.keys() < after.keys() and len(after) == 3
    assert {record["status"] for record in after.values()} == {"completed"}
    assert after[unfinished]["epochs_run"] == 300
    (first_done,) = [path for path, record in before.items() if record["model"] == "Pop"]
    assert after[first_done] == before[first_done]
    assert (tmp_path / "out" / "report.html").is_file()
    rows = ReportSource.read(tmp_path / "out").rows
    assert all((tmp_path / "out" / path).is_file() for paths in rows.values() for path in paths)


@pytest.fixture
def made_runs(monkeypatch, base_record):
    """Replaces processes by records with made figures: ``figure(cell)`` is one on valid, None for a run that fails."""
    made = SimpleNamespace(figure=None, started=[], reports=[])

    class MadeRun:
        log, seconds, has_ended = Path("run.log"), 1.0, True

        def __init__(self, cell, figure):
            self.cell, self.process = cell, SimpleNamespace(returncode=int(figure is None), terminate=lambda: None)

        @classmethod
        def start(cls, cell, folder, threads=None, resume=None):
            figure = made.figure(cell)
            made.started.append(cell.title)
            experiment = cell.plan.experiment
            data = base_record["data"] | {"files": experiment.file_hashes()}
            known = {"model": cell.plan.model, "seed": cell.seed, "config": experiment.config.plain(), "data": data}
            end = {"status": "failed", "error": "x"} if figure is None else {"valid": {"ndcg@10": figure}}
            path = folder / RUNS / f"{cell.plan.model}-{len(made.started)}" / "record.json"
            write_record(base_record | known | end, path)
            (path.parent / "ranks.npz").touch()
            return cls(cell, figure)

        def last_line(self, pattern=""):
            return ""

        def end(self):
            pass

        def wait(self):
            pass

    def write_report(groups, folder, title, reference, sections, wilcoxon):
        made.reports.append((groups, {section.title: section.text for section in sections}))
        return []

    monkeypatch.setattr(compare_module, "RunProcess", MadeRun)
    monkeypatch.setattr(report_source, "write_report", write_report)
    monkeypatch.setattr(compare_module, "LOOK_SECONDS", 0)
    return made


RATES = {"trials": 3, "settings": {"learning_rate": [0.1, 0.2, 0.3]}}


@pytest.fixture
def tuned(comparison):
    """Returns a comparison of a tuned model and one without settings."""

    def make(block=RATES, **choices):
        wanted = comparison({"Pop": {"seeds": 1}, "UniSRec": {}}, seeds=(1, 2), **choices)
        wanted.rows["tune"] = block
        return wanted

    return make


def rate_of(cell):
    return cell.settings.get("learning_rate", 0.0)


def test_trials_choose_the_settings_of_the_other_seeds(tuned, made_runs, capsys):
    made_runs.figure = lambda cell: 0.5 - abs(rate_of(cell) - 0.2)
    assert compare(tuned(jobs=2)) == []
    trials = [f"UniSRec, tiny, trial {number}, seed 1" for number in (1, 2, 3)]
    assert made_runs.started == ["Pop, tiny, seed 1", *trials, "UniSRec, tiny, seed 2"]
    out = capsys.readouterr().out
    assert "5 runs: 5 done" in out and "trial 1, seed 1   valid ndcg@10 0." in out
    ((_, group), sections) = made_runs.reports[0]
    assert [(record["seed"], record["config"]["learning_rate"]) for record, _ in group.runs] == [(1, 0.2), (2, 0.2)]
    assert sections.keys() == {"Tuning"} and sections["Tuning"].count("| chosen |") == 1
    assert compare(tuned()) == [] and len(made_runs.started) == 5


def test_a_comparison_that_is_stopped_among_trials_goes_on_with_the_same(tuned, made_runs, tmp_path):
    block = {"trials": 12, "settings": {"learning_rate": [0.1, 0.2, 0.3, 0.4], "n_layers": [1, 2, 3]}}

    def figure(cell):
        return rate_of(cell) * cell.settings.get("n_layers", 1)

    made_runs.figure = figure
    compare(tuned(block, output=tmp_path / "at once"))
    at_once, (groups, sections) = made_runs.started, made_runs.reports[-1]
    assert len(at_once) == 14

    for stop in (4, 7, 11):
        made_runs.started = []

        def interrupted(cell, stop=stop):
            if len(made_runs.started) == 3 + (stop == 11):
                raise KeyboardInterrupt
            return figure(cell)

        made_runs.figure = interrupted
        with pytest.raises(KeyboardInterrupt):
            compare(tuned(block))
    made_runs.figure = figure
    compare(tuned(block, jobs=4))
    again, sections_again = made_runs.reports[-1]
    assert sections_again == sections
    assert [[record["config"] for record, _ in group.runs] for group in again] == [
        [record["config"] for record, _ in group.runs] for group in groups
    ]


def test_trials_that_fail_are_told_and_not_chosen(tuned, made_runs, capsys):
    made_runs.figure = lambda cell: None if rate_of(cell) == 0.3 else rate_of(cell)
    (failed,) = compare(tuned())
    assert failed.startswith("UniSRec, tiny, trial ") and "1 failed" in capsys.readouterr().out
    ((_, group), sections) = made_runs.reports[-1]
    assert {record["config"]["learning_rate"] for record, _ in group.runs} == {0.2}
    assert "failed: x |" in sections["Tuning"]


def test_if_all_trials_fail_the_row_has_failed(tuned, made_runs):
    made_runs.figure = lambda cell: None if rate_of(cell) else 0.1
    assert len(compare(tuned())) == 3
    ((_, group), sections) = made_runs.reports[-1]
    assert [record["status"] for record, _ in group.runs] == ["failed"]
    assert "all trials failed" in sections["Tuning"] and sections["Not run"] == "- UniSRec, tiny, seed 2"


def test_rows_that_try_the_same_share_its_run(comparison, made_runs, capsys):
    made_runs.figure = lambda cell: rate_of(cell)
    runs = {"UniSRec": {}, "as it is": {"model": "UniSRec", "learning_rate": 0.2, "tune": False}}
    wanted = comparison(runs, jobs=4)
    wanted.rows["tune"] = RATES
    assert compare(wanted) == []
    assert len(made_runs.started) == 3 and "3 done, 1 reused" in capsys.readouterr().out


def test_a_dry_run_says_how_many_trials_there_are(tuned, made_runs, capsys):
    made_runs.figure = rate_of
    compare(tuned(), dry_run=True)
    out = capsys.readouterr().out
    assert "to do    UniSRec, tiny, trial 3, seed 1" in out and "to do    UniSRec, tiny, seed 2" in out
    assert "5 runs, 3 of them trials of tuning, of which 3 are to be done; those to do take at most" in out
    assert made_runs.started == []


def test_a_tuned_comparison_from_its_runs_to_its_report(comparison, tmp_path, capsys):
    wanted = comparison({"Pop": {"seeds": 1}, "UniSRec": {}}, seeds=(1, 2), jobs=2)
    wanted.rows["tune"] = {"trials": 2, "settings": {"learning_rate": [0.001, 0.01]}}
    assert compare(wanted) == []
    report = (tmp_path / "out" / "report.md").read_text()
    done = records(tmp_path / "out")
    tried = {(one["seed"], one["config"]["learning_rate"]): one for one in done.values() if one["model"] == "UniSRec"}
    best = max((1, 0.001), (1, 0.01), key=lambda key: tried[key]["valid"]["ndcg@10"])
    assert tried.keys() == {(1, 0.001), (1, 0.01), (2, best[1])}
    assert "## Tuning" in report and "- `learning_rate`: 0.001, 0.01" in report and report.count("| chosen |") == 1
    assert f"{tried[best]['valid']['ndcg@10']:.4f} | 2 (the limit)" in report
    assert "<h3>UniSRec</h3>" in (tmp_path / "out" / "report.html").read_text()
    capsys.readouterr()
    assert compare(wanted) == []
    assert "running" not in capsys.readouterr().out and records(tmp_path / "out") == done

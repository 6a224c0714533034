"""A comparison from its experiment file to its report, in several steps and after being killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from recbole_mpo.common.errors import CheckpointError, ConfigError
from recbole_mpo.quick_start.record import read_record
from recbole_mpo.study.compare import Comparison, compare
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

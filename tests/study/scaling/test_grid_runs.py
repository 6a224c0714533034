"""The runs of a plan: each once, whoever does it, in the order that weights and predictions need."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from recbole_mpo.quick_start.record import read_record, write_record
from recbole_mpo.study.run_process import RUNS
from recbole_mpo.study.scaling.grid_runs import CLAIMS, GridRuns
from recbole_mpo.study.scaling.plan import Plan
from recbole_mpo.study.scaling.run_claims import Claims
from recbole_mpo.study.scaling.steps import Study


def records(folder):
    return {path.parent.name: read_record(path) for path in (folder / RUNS).glob("*/record.json")}


def test_all_runs_are_done_once_and_fine_tuning_starts_from_their_weights(small, started, tmp_path, capsys):
    study = Study.of(small, tmp_path / "out")
    assert study.run() == []
    assert len(started) == 6 and started == [cell.title for cell in study.made.cells]
    done = {record["label"]: record for record in records(tmp_path / "out").values()}
    tuned = done["fine-tuned, from UniSRec, 50 % of users, 8 wide, 2 deep"]
    source = done["UniSRec, 50 % of users, 8 wide, 2 deep"]
    assert tuned["pretrained"]["file"] == "best.pth" and source["run_id"] in tuned["config"]["pretrained"]
    assert source["scale"]["train_users"] == 20 and source["data"]["targets"]["test"] == 20
    assert tuned["data"]["targets"]["test"] == 40

    assert study.run() == []
    assert len(started) == 6 and "6 runs: 6 reused" in capsys.readouterr().out


def test_what_is_predicted_waits_for_the_prediction(small, started, tmp_path, capsys, monkeypatch):
    # Nobody waits for other processes then.
    monkeypatch.setattr(Claims, "are_others", lambda self: True)
    study = Study.of({**small, "predict": {"train_users": 0.5, "hidden_size": 8}}, tmp_path / "out")
    assert study.run() == [] and len(started) == 4
    out = capsys.readouterr().out
    assert out.count("to be predicted first: `recbole-mpo scaling fit`") == 2
    (tmp_path / "out" / "prediction.json").write_text("{}")
    assert study.run() == [] and len(started) == 6


def test_a_failed_run_is_named_tried_again_and_holds_up_what_starts_from_it(small, started, tmp_path, capsys):
    plan = Plan.read(small)
    weak = next(cell for cell in plan.cells if cell.value("hidden_size") == 8 and cell.value("train_users") == 0.5)
    weak.row.settings["n_heads"] = 3
    for _ in range(2):
        started.clear()
        (failed,) = GridRuns(plan.cells, tmp_path / "out", quiet_seconds=0).finish()
        assert failed.startswith(weak.title) and "n_heads" in failed
        assert weak.title in started and f"not begun: {weak.title} is not done" in capsys.readouterr().out


def test_another_process_has_a_run(small, started, tmp_path, capsys, monkeypatch):
    plan, claims = Plan.read({**small, "transfer": None}), Claims(tmp_path / "out" / CLAIMS)
    name = "UniSRec_50_of_users_16_wide_2_deep_tiny_seed_7"
    assert claims.take(name)
    # Else it would wait for the other process.
    monkeypatch.setattr(Claims, "are_others", lambda self: False)
    runs = GridRuns(plan.cells, tmp_path / "out", quiet_seconds=0)
    assert runs.finish() == [] and len(started) == 3 and plan.cells[0].title not in started
    assert "not begun; give the same command again" in capsys.readouterr().out
    claims.free(name)
    assert GridRuns(plan.cells, tmp_path / "out").finish() == [] and len(started) == 4


def test_shards_wait_for_weights_of_other_shards(small, started, tmp_path, capsys):
    study = Study.of(small, tmp_path / "out")
    own = [cell for cell in study.made.cells if cell.source is not None]
    GridRuns(tuple(own), study.output, quiet_seconds=0.1).finish()
    assert started == [] and "is not done" in capsys.readouterr().out
    for shard in ("1/2", "2/2"):
        study.run(shard)
    assert len(started) == 6


def test_an_interrupted_run_goes_on(small, started, tmp_path, monkeypatch):
    plan = Plan.read({**small, "transfer": None})
    runs = GridRuns(plan.cells[:1], tmp_path / "out")
    assert runs.finish() == []
    (name, record), *_ = records(tmp_path / "out").items()
    path = tmp_path / "out" / RUNS / name / "record.json"
    write_record({**record, "status": "running"}, path)
    resumed = []
    monkeypatch.setattr(
        "recbole_mpo.study.scaling.grid_runs.RunProcess.start",
        lambda cell, folder, threads, resume: resumed.append(resume) or pytest.fail("seen"),
    )
    with pytest.raises(pytest.fail.Exception):
        GridRuns(plan.cells[:1], tmp_path / "out").finish()
    assert resumed == [path.parent]


def test_no_run_is_begun_after_the_time(small, started, tmp_path):
    assert Study.of(small, tmp_path / "out").run(max_hours=0) == [] and started == []


@pytest.mark.slow
def test_processes_share_a_plan_by_shards(small, tmp_path):
    Path("plan.yaml").write_text(yaml.safe_dump({"command": "scaling", **small}))
    command = [sys.executable, "-m", "recbole_mpo", "scaling", "run", "plan.yaml", "--output=out"]
    processes = [subprocess.Popen([*command, f"--shard={number}/2"]) for number in (1, 2)]
    processes.append(subprocess.Popen(command))
    assert [process.wait(200) for process in processes] == [0, 0, 0]
    done = records(Path("out"))
    assert len(done) == 6 and {record["status"] for record in done.values()} == {"completed"}

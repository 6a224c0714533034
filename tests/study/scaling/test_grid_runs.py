"""The runs of a plan: each once, whoever does it, in the order that weights and predictions need."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from recbole_mpo.common.errors import RecboleMPOError
from recbole_mpo.quick_start.record import read_record, write_record
from recbole_mpo.study.run_process import RUNS
from recbole_mpo.study.scaling import grid_runs
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
    # A prediction of other runs, or of one metric alone, releases nothing.
    (held,) = [cell for cell in study.made.cells if cell.is_held_back]
    for metrics in ({"loss": {"another": {}}, "ndcg@10": {"another": {}}}, {"loss": {held.title: {}}}):
        write_prediction(study.output, metrics)
        assert study.run() == [] and len(started) == 4
    write_prediction(study.output, {"loss": {held.title: {}}, "ndcg@10": {held.title: {}}})
    assert study.run() == [] and len(started) == 6


def write_prediction(folder, metrics):
    content = {"made": "2026-11-27T00:00:00+00:00", "records": {}, "records_hash": "", "metrics": metrics}
    (folder / "prediction.json").write_text(json.dumps(content))


def test_a_run_that_is_not_possible_is_named_before_any_is_begun(small, started, tmp_path):
    small["grid"]["size"]["hidden_size"] = [8, 15]
    with pytest.raises(RecboleMPOError, match="15 wide.*n_heads"):
        Study.of(small, tmp_path / "out").run()
    assert started == []


def test_a_failed_run_is_named_tried_again_and_holds_up_what_starts_from_it(
    small, started, tmp_path, capsys, monkeypatch
):
    plan = Plan.read({**small, "grid": {"size": {"train_users": 0.5, "hidden_size": 8}}})
    weak = next(cell for cell in plan.cells if not cell.way)
    start = grid_runs.RunProcess.start

    def fails(cell, *more):
        if cell.title != weak.title:
            return start(cell, *more)
        started.append(cell.title)
        ended = SimpleNamespace(returncode=1)
        return SimpleNamespace(
            cell=cell, process=ended, log="log", has_ended=True, last_line=lambda pattern="": "no memory"
        )

    monkeypatch.setattr(grid_runs.RunProcess, "start", fails)
    for _ in range(2):
        started.clear()
        failed, left = GridRuns(plan.cells, tmp_path / "out", quiet_seconds=0).finish()
        assert failed.startswith(weak.title) and "no memory" in failed
        assert left.startswith("fine-tuned") and f"not begun: {weak.title} is not done" in left
        assert weak.title in started and f"not begun: {weak.title} is not done" in capsys.readouterr().out


def test_another_process_has_a_run(small, started, tmp_path, capsys, monkeypatch):
    plan, claims = Plan.read({**small, "transfer": None}), Claims(tmp_path / "out" / CLAIMS)
    name = "UniSRec_50_of_users_16_wide_2_deep_tiny_seed_7"
    assert claims.take(name)
    # Else it would wait for the other process.
    monkeypatch.setattr(Claims, "are_others", lambda self: False)
    runs = GridRuns(plan.cells, tmp_path / "out", quiet_seconds=0)
    assert runs.finish() == [f"{plan.cells[0].title}: not begun; give the same command again"]
    assert len(started) == 3 and plan.cells[0].title not in started
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
    left = Study.of({**small, "predict": {"train_users": 0.5, "hidden_size": 8}}, tmp_path / "out").run(max_hours=0)
    # What waits for the prediction is not left over.
    assert len(left) == 4 and all(line.endswith("give the same command again") for line in left) and started == []


@pytest.mark.slow
def test_processes_share_a_plan_by_shards(small, tmp_path):
    Path("plan.yaml").write_text(yaml.safe_dump({"command": "scaling", **small}))
    command = [sys.executable, "-m", "recbole_mpo", "scaling", "run", "plan.yaml", "--output=out"]
    processes = [subprocess.Popen([*command, f"--shard={number}/2"]) for number in (1, 2)]
    processes.append(subprocess.Popen(command))
    assert [process.wait(200) for process in processes] == [0, 0, 0]
    done = records(Path("out"))
    assert len(done) == 6 and {record["status"] for record in done.values()} == {"completed"}

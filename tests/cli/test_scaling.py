"""``scaling``: its steps, the plan, and options that belong to one step."""

import pytest
import yaml

from recbole_mpo.cli.main import main
from recbole_mpo.study.scaling import steps


@pytest.fixture
def plan(tiny_settings):
    content = {"command": "scaling", "dataset": "tiny", "data_path": tiny_settings["data_path"]}
    content["grid"] = {"size": {"hidden_size": [8, 16]}}
    with open("plan.yaml", "w", encoding="utf-8") as file:
        yaml.safe_dump(content, file)
    return "plan.yaml"


@pytest.fixture
def called(monkeypatch):
    """What the steps were called with."""
    calls = []

    def note(name, result=None):
        def step(self, **options):
            calls.append((name, str(self.output), len(self.made.cells), options))
            return result

        return step

    for name in ("plan", "fit", "report"):
        monkeypatch.setattr(steps.Study, name, note(name))
    monkeypatch.setattr(steps.Study, "run", note("run", ["a run: no memory"]))
    return calls


def test_each_step_gets_the_plan_and_its_folder(plan, called, capsys):
    for step in ("plan", "fit", "report"):
        assert main(["scaling", step, plan]) == 0
    assert main(["scaling", "run", plan, "--output=there", "--shard=2/3", "--jobs=4", "--max_hours=1.5"]) == 1
    nothing = [(step, "saved/plan", 2, {}) for step in ("plan", "fit", "report")]
    assert called == [*nothing, ("run", "there", 2, {"shard": "2/3", "jobs": 4, "max_hours": 1.5})]
    assert "not done: a run: no memory" in capsys.readouterr().out


def test_settings_go_to_all_runs(plan, monkeypatch):
    seen = []
    monkeypatch.setattr(steps.Study, "fit", lambda self: seen.extend(cell.value("epochs") for cell in self.made.cells))
    assert main(["scaling", "fit", plan, "--epochs=3"]) == 0
    assert seen == [3, 3]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["scaling"], "scaling takes a step and a plan: recbole-mpo scaling plan|run|fit|report FILE"),
        (["scaling", "plot", "plan.yaml"], "scaling takes a step and a plan"),
        (["scaling", "run"], "scaling takes a step and a plan"),
        (["scaling", "fit", "plan.yaml", "--jobs=2"], "jobs is for scaling run, and has no effect on fit"),
        (["scaling", "run", "plan.yaml", "--shard=3/2"], "shard must be I/N with I from 1 to N"),
        (["scaling", "plan", "none.yaml"], "none.yaml cannot be read"),
        (["scaling", "plan", "plan.yaml", "--checkpoint_dir=a"], "checkpoint_dir is set by the study"),
        (["compare", "plan.yaml", "--dataset=tiny"], "not of compare: recbole-mpo scaling plan plan.yaml"),
    ],
)
def test_what_is_wrong_is_one_line(plan, capsys, words, message):
    assert main(words) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_the_plan_is_shown(plan, capsys):
    assert main(["scaling", "plan", plan]) == 0
    out = capsys.readouterr().out
    assert "UniSRec, 100 % of users, 16 wide, 2 deep, tiny, seed 2020" in out and "2 runs, 2 to do" in out

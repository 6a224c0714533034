"""The choice of an MPO strategy: short runs of all, longer ones of the best, one finished run."""

import json
from pathlib import Path

import pytest
from support import folder_of, interrupted_in, numbers

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.quick_start.choose_strategy import RUNGS, run_best_strategy
from recbole_mpo.quick_start.record import read_record
from recbole_mpo.quick_start.recorded_run import run, run_in_folder

CURVES = {"light": [0.1, 0.2, 0.3, 0.4], "full": [0.3, 0.2, 0.5, 0.5], "expand": [0.3, 0.1, 0.1, 0.1]}


class Runs:
    """Pretends to train: the figures of each epoch are those of ``CURVES``, the last one for all later epochs."""

    def __init__(self, folder, curves):
        self.folder, self.curves, self.calls = folder, curves, []

    def __call__(self, settings, *, resume=None, pause_after=None, choice=None, record_path=None):
        strategy = settings["mpo_strategy"]
        assert settings.get("mpo_expand") == (4 if strategy == "expand" else None)
        self.calls.append((strategy, resume, pause_after))
        curve = self.curves[strategy]
        values = (curve + [curve[-1]] * 50)[: pause_after or 50]
        history = [{"train_seconds": 2.0, "valid_seconds": 1.0, "valid": {"ndcg@10": value}} for value in values]
        (self.folder / strategy).mkdir(exist_ok=True)
        record = {"run_id": strategy, "history": history, "params": {"trainable": 5}, "choice": choice}
        return self.folder / strategy, record


CONFIG = {"eval_step": 1, "valid_metric": "NDCG@10", "epochs": 50}
GIVEN = {"mpo_strategy": "auto", "mpo_expand": 4}


def test_the_better_half_goes_on_and_the_best_is_finished(tmp_path):
    runs = Runs(tmp_path, CURVES)
    record = run_best_strategy(runs, GIVEN, CONFIG)
    full, expand = tmp_path / "full", tmp_path / "expand"
    assert runs.calls == [
        ("light", None, 2), ("full", None, 2), ("expand", None, 2),
        ("full", full, 6), ("expand", expand, 6),
        ("full", full, None),
    ]  # fmt: skip
    choice = record["choice"]
    assert [(trial["strategy"], trial["epochs"], trial["valid"]) for trial in choice["trials"]] == [
        ("light", 2, 0.2), ("full", 6, 0.5), ("expand", 6, 0.3),
    ]  # fmt: skip
    assert choice["epochs_of_others"] == 8 and choice["seconds_of_others"] == 24.0


@pytest.mark.parametrize("light", [[0.1], [0.0, 0.1], [0.1, 0.0, 0.2]])
def test_of_equal_strategies_the_one_with_fewer_trained_cores_goes_on(tmp_path, light):
    runs = Runs(tmp_path, {"light": light, "full": [0.1, 0.1, light[-1]], "expand": [0.0]})
    assert run_best_strategy(runs, GIVEN, CONFIG)["run_id"] == "light"


def test_what_a_resumed_run_did_after_a_rung_does_not_change_the_choice(tmp_path):
    class Ahead(Runs):
        def __call__(self, settings, *, resume=None, pause_after=None, choice=None, record_path=None):
            return super().__call__(settings, resume=resume, choice=choice)

    runs = Ahead(tmp_path, {**CURVES, "light": [0.2] * 6 + [0.9]})
    assert run_best_strategy(runs, GIVEN, CONFIG, resume="auto")["run_id"] == "full"
    assert [resume for _, resume, _ in runs.calls[:3]] == ["auto"] * 3


@pytest.fixture
def settings(tiny_settings):
    # Sizes at which two cores can be inserted, and enough epochs for all rungs.
    return {**tiny_settings, "mpo_strategy": "auto", "hidden_size": 32, "epochs": RUNGS[1] + 1, "learning_rate": 0.01}


def test_a_real_choice_ends_as_a_run_of_that_strategy_would(settings):
    record = run("MPORec", "tiny", (), settings, record_path="copy.json")
    strategy = record["config"]["mpo_strategy"]
    assert numbers(record) == numbers(run("MPORec", "tiny", (), {**settings, "mpo_strategy": strategy}))
    assert json.loads(Path("copy.json").read_text())["choice"] == read_record(folder_of(record))["choice"]
    assert record["label"].endswith(" (auto)") and read_record(folder_of(record))["label"] == record["label"]
    statuses = sorted(read_record(path)["status"] for path in folder_of(record).parent.iterdir())
    assert statuses == ["completed", "completed", "paused", "paused"]
    assert not any(
        read_record(path)["test"] for path in folder_of(record).parent.iterdir()
        if read_record(path)["status"] == "paused"
    )  # fmt: skip


@pytest.mark.parametrize("interrupted", [0, 1, 5, 6])
def test_it_goes_on_after_an_interruption(settings, interrupted):
    whole = run("MPORec", "tiny", (), settings)
    settings = {**settings, "checkpoint_dir": "others"}

    with interrupted_in(interrupted):
        run("MPORec", "tiny", (), settings)
    resumed = run("MPORec", "tiny", (), settings, resume="auto")
    assert numbers(resumed) == numbers(whole)
    keys = ("strategy", "epochs", "valid")
    assert [[trial[key] for key in keys] for trial in resumed["choice"]["trials"]] == [
        [trial[key] for key in keys] for trial in whole["choice"]["trials"]
    ]


def test_a_falling_rate_is_that_of_the_whole_run(settings):
    settings = {**settings, "mpo_strategy": "light", "lr_schedule": "cosine"}
    whole = run("MPORec", "tiny", (), settings)
    folder, paused = run_in_folder("MPORec", "tiny", (), settings, pause_after=2)
    assert paused["status"] == "paused" and len(paused["history"]) == 2
    assert numbers(run_in_folder("MPORec", "tiny", (), settings, resume=folder)[1]) == numbers(whole)


def test_a_dry_run_builds_each_strategy(settings):
    record = run("MPORec", "tiny", (), settings, dry_run=True)
    assert record["status"] == "dry_run" and record["config"]["mpo_strategy"] == "expand"
    assert len(list(folder_of(record).parent.iterdir())) == 3


class TestRefusals:
    def test_one_file_to_resume(self, settings):
        with pytest.raises(ConfigError, match="compares several runs: resume them with --resume=auto"):
            run("MPORec", "tiny", (), settings, resume="last.pth")

    @pytest.mark.parametrize("step", [0, 3])
    def test_rare_validation(self, settings, step):
        with pytest.raises(ConfigError, match="compares after 2 epochs: set eval_step to 1 or 2"):
            run("MPORec", "tiny", (), {**settings, "eval_step": step})

    def test_fewer_epochs_than_the_trials_have(self, settings):
        with pytest.raises(ConfigError, match="set epochs to more, or name a strategy"):
            run("MPORec", "tiny", (), {**settings, "epochs": 1})

    def test_a_dry_run_that_resumes(self, settings):
        with pytest.raises(ConfigError, match="dry_run builds new runs, resume continues some"):
            run("MPORec", "tiny", (), settings, dry_run=True, resume="auto")

    def test_runs_without_validation(self, tmp_path):
        class Blind(Runs):
            def __call__(self, *arguments, **options):
                folder, record = super().__call__(*arguments, **options)
                return folder, {**record, "history": [{"train_seconds": 1.0}] * 2}

        with pytest.raises(ConfigError, match="compares figures of validation, and there are none"):
            run_best_strategy(Blind(tmp_path, CURVES), GIVEN, CONFIG)

    def test_pretraining(self, settings):
        with pytest.raises(ConfigError, match="mpo_strategy=auto is for runs on one dataset"):
            run_in_folder("MPORec", "tiny", (), settings)

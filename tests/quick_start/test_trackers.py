"""What programs beside the record are told of a run."""

import json
import os
from importlib.util import find_spec
from pathlib import Path

import pytest
from support import folder_of, interrupted_in

from recbole_mpo.common.errors import ConfigError, DependencyError
from recbole_mpo.quick_start import trackers
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.quick_start.trackers import Trackers, tracking

HISTORY = [
    {"epoch": 0, "train_loss": 2.0, "train_seconds": 0.5},
    {"epoch": 1, "train_loss": 1.0, "train_seconds": 0.5, "valid_seconds": 0.1, "valid": {"ndcg@10": 0.25}},
]


class Noted:
    """A tracker that notes what it is told."""

    def __init__(self, *_):
        self.told = []

    def log(self, values, step):
        self.told.append((step, values))

    def finish(self, status):
        self.told.append(status)


class Broken(Noted):
    """A tracker whose server went away."""

    def log(self, values, step):
        raise OSError("no route to host")


@pytest.fixture
def noted(monkeypatch):
    """The trackers that were begun; each stands for MLflow."""
    begun = []

    def begin(run_dir, record):
        begun.append(Noted())
        return begun[-1]

    monkeypatch.setattr(trackers, "find_spec", lambda name: name)
    monkeypatch.setitem(trackers.TRACKERS, "mlflow", begin)
    return begun


def test_every_epoch_is_told_once_and_the_test_at_the_end():
    tracker = Noted()
    told = Trackers({"a": tracker})
    told.follow(HISTORY[:1])
    told.follow(HISTORY[:1])
    told.finish({"history": HISTORY, "test": {"hit@10": 0.5}}, "completed")
    assert tracker.told == [
        (0, {"train_loss": 2.0, "train_seconds": 0.5}),
        (1, {"train_loss": 1.0, "train_seconds": 0.5, "valid_seconds": 0.1, "valid/ndcg@10": 0.25}),
        (None, {"test/hit@10": 0.5}),
        "completed",
    ]


def test_a_tracker_that_fails_is_left_out_and_training_goes_on(caplog):
    good, bad = Noted(), Broken()
    told = Trackers({"bad": bad, "good": good})
    told.follow(HISTORY)
    told.finish({"history": HISTORY, "test": {}}, "failed")
    assert [step for step, *_ in good.told[:-1]] == [0, 1] and good.told[-1] == "failed" and bad.told == []
    (warning,) = [record.getMessage() for record in caplog.records]
    assert warning == "bad is not told any more: OSError: no route to host"


def test_a_run_that_raises_is_told_as_failed(noted, tmp_path):
    with pytest.raises(KeyboardInterrupt), tracking(["mlflow", "tensorboard"], tmp_path, {"test": {}}):
        raise KeyboardInterrupt
    assert noted[0].told == ["failed"]


def test_a_run_tells_its_epochs_and_figures(noted, tiny_settings):
    record = run("UniSRec", "tiny", (), {**tiny_settings, "track": "mlflow"})
    (tracker,) = noted
    steps = [told[0] for told in tracker.told[:-1]]
    assert steps == [0, 1, None] and tracker.told[-1] == "completed"
    assert tracker.told[-2][1]["test/ndcg@10"] == record["test"]["ndcg@10"]
    assert not Path("log_tensorboard").exists()


def test_tensorboard_is_told_by_default(tiny_settings):
    run("UniSRec", "tiny", (), {**tiny_settings, "epochs": 1})
    assert any(Path("log_tensorboard").rglob("events.*"))


def test_what_is_missing_or_cannot_begin_is_named(monkeypatch, tiny_settings):
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    with pytest.raises(DependencyError, match=r"track=wandb needs .* wandb: pip install 'recbole-mpo\[track\]'"):
        run("UniSRec", "tiny", (), {**tiny_settings, "track": ["wandb"]})
    monkeypatch.setattr(trackers, "find_spec", lambda name: name)
    monkeypatch.setitem(trackers.TRACKERS, "mlflow", lambda *_: 1 // 0)
    with pytest.raises(ConfigError, match="track=mlflow cannot begin: ZeroDivisionError"):
        run("UniSRec", "tiny", (), {**tiny_settings, "track": "mlflow"})
    with pytest.raises(ConfigError, match="track"):
        run("UniSRec", "tiny", (), {**tiny_settings, "track": "comet"})


@pytest.mark.skipif(find_spec("mlflow") is None, reason="mlflow is not installed")
def test_mlflow_has_the_run_once_with_epochs_and_figures(tiny_settings, tmp_path, monkeypatch):
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    record = run("UniSRec", "tiny", (), {**tiny_settings, "track": "mlflow"})
    run("UniSRec", "tiny", (), {**tiny_settings, "track": "mlflow"}, resume=str(folder_of(record)))
    client = mlflow.MlflowClient()
    (found,) = client.search_runs([client.get_experiment_by_name("recbole_mpo").experiment_id])
    assert found.info.status == "FINISHED" and found.data.params["hidden_size"] == "16"
    assert found.data.metrics["test/ndcg_at_10"] == record["test"]["ndcg@10"]
    steps = [metric.step for metric in client.get_metric_history(found.info.run_id, "train_loss")]
    assert set(steps) == {0, 1}


@pytest.mark.skipif(find_spec("wandb") is None, reason="wandb is not installed")
def test_wandb_keeps_its_files_in_the_runs_folder_without_a_key(tiny_settings, monkeypatch):
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    record = run("UniSRec", "tiny", (), {**tiny_settings, "track": "wandb"})
    (folder,) = folder_of(record).glob("wandb/offline-run-*")
    assert any(folder.glob("*.wandb")) and os.environ.get("WANDB_MODE") is None
    assert json.loads((folder_of(record) / "record.json").read_text())["status"] == "completed"


def test_a_resumed_run_does_not_tell_its_former_epochs_again(noted, tiny_settings):
    with interrupted_in(1):
        run("UniSRec", "tiny", (), {**tiny_settings, "track": "mlflow"})
    record = run("UniSRec", "tiny", (), {**tiny_settings, "track": "mlflow"}, resume="auto")
    first, second = noted
    assert [told[0] for told in first.told[:-1]] == [0] and first.told[-1] == "failed"
    assert [told[0] for told in second.told[:-1]] == [1, None] and record["epochs_run"] == 2


def test_a_tracker_that_began_is_told_when_another_cannot(noted, monkeypatch, tmp_path):
    monkeypatch.setitem(trackers.TRACKERS, "wandb", lambda *_: 1 // 0)
    with (
        pytest.raises(ConfigError, match="track=wandb cannot begin"),
        tracking(["mlflow", "wandb"], tmp_path, {"test": {}}),
    ):
        pass
    assert noted[0].told == ["failed"]

"""The demonstration: ml-100k from the copy in the recbole wheel to a recommendation with titles."""

import json
from pathlib import Path

from recbole_mpo.data.prepare.ml100k import prepare_ml100k
from recbole_mpo.quick_start.experiment import Experiment
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.release.recommend import Recommender
from recbole_mpo.study.table import make_table

# Smaller than the defaults, so that the whole takes minutes without a GPU.
SETTINGS = {"epochs": 10, "learning_rate": 0.002, "hidden_size": 128, "n_exps": 4}
FOLDER = Path("saved") / "demo"


def run_demo(overrides: dict | None = None) -> int:
    """Prepares data, trains MPORec unless a finished run of the same settings is there, and shows both results."""
    settings = {**SETTINGS, "data_path": "dataset", "checkpoint_dir": str(FOLDER), **(overrides or {})}
    folder = Path(settings["checkpoint_dir"])
    print(f"data: {prepare_ml100k(Path(settings['data_path']))}")
    newest = folder / "record.json"
    record = _finished(newest, settings) or run("MPORec", "ml-100k", (), settings, record_path=newest)
    print("\ntest results, full ranking over all items:")
    print(make_table([newest]))
    checkpoint = folder / record["run_id"] / "best.pth"
    _show_user(checkpoint)
    print(f"\nTry others: recbole-mpo recommend --checkpoint={checkpoint} --items=50,181,172")
    return 0


def _finished(newest: Path, settings: dict) -> dict | None:
    if not newest.is_file():
        return None
    record = json.loads(newest.read_text(encoding="utf-8"))
    same = all(record["config"].get(key) == value for key, value in settings.items())
    if record["status"] != "completed" or not same or not (newest.parent / record["run_id"] / "best.pth").is_file():
        return None
    print(f"training: reusing the finished run {record['run_id']}")
    return record


def _show_user(checkpoint: Path, user: str = "1"):
    experiment, _ = Experiment.from_checkpoint(checkpoint, {"show_progress": False})
    recommender = Recommender.of(experiment)
    history = experiment.dataset.history_tokens(user)
    print(f"user {user}:")
    print(recommender.as_text(history, recommender.recommend([history])[0]))

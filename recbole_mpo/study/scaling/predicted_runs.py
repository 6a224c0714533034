"""``prediction.json``: which runs were predicted, when, and from which records.

The file holds the first prediction, and below ``added`` those of runs that a plan has got since.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from recbole_mpo.common.errors import RecordError

PREDICTION = "prediction.json"
# Under this key a prediction says of what its hashes are; without it they are of whole files, as in the first version.
HASH_KEY, FIGURES = "hashes", "figures"


def read_prediction(folder: str | Path) -> dict | None:
    """Return the prediction in a study's folder; None without one.

    Raises:
        RecordError: the file is damaged.
    """
    path = Path(folder) / PREDICTION
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        for one in each_prediction(content):
            _ = one["metrics"].items(), one["records"].items(), one["records_hash"], datetime.fromisoformat(one["made"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as problem:
        raise RecordError(f"{path} is damaged: {type(problem).__name__}: {problem}") from problem
    return content


def each_prediction(content: dict) -> list[dict]:
    """Return the first prediction of a file and those that were added."""
    return [content, *content.get("added", [])]


def predicted_titles(content: dict | None, metrics: Sequence[str]) -> set[str]:
    """Return the titles of the runs that are predicted for all of some metrics."""
    titles = set()
    for one in each_prediction(content) if content else []:
        titles |= set.intersection(*({*one["metrics"].get(metric, {})} for metric in metrics))
    return titles


def was_before(prediction: dict, record: dict) -> bool:
    """Return whether a prediction was made before a run began; False if the record does not say when."""
    started = record.get("started")
    return bool(started) and datetime.fromisoformat(prediction["made"]) <= datetime.fromisoformat(started)

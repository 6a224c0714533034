"""By what a record is not the one of a planned run, though it has its label; no dataset is needed to say so."""

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from recbole_mpo.common.errors import RecordError
from recbole_mpo.common.former_defaults import with_former_defaults
from recbole_mpo.quick_start.configure import make_config
from recbole_mpo.quick_start.planned_run import APART, WITHOUT_EFFECT, decisive_settings
from recbole_mpo.study.matrix import Row
from recbole_mpo.study.scaling.cells import GridCell

# Settings that follow from the files of a dataset, which are compared by their hashes.
OF_FILES = {"dataset", "load_col", "alias_of_item_id", "benchmark_filename"}


def fault_of(cell: GridCell, record: dict, source: dict | None = None) -> str | None:
    """Return by what a record is not one of a run; None if it is.

    Args:
        cell: the run.
        record: content of the record.
        source: content of the record of the run that it starts from; None without one.
    """
    if record["model"] != cell.row.model:
        return f"the model {record['model']}, the plan {cell.row.model}"
    found, wanted = _of_record(record), _of_plan(cell.row)
    for key in sorted({*found, *wanted}):
        if found.get(key) != wanted.get(key):
            return f"{key}={found.get(key)}, the plan {wanted.get(key)}: give the same settings as to `scaling run`"
    # The folder of a run has its name, wherever it was copied to.
    weights = record["config"].get("pretrained")
    if source is not None and weights and Path(weights).parent.name != source["run_id"]:
        return f"weights of {Path(weights).parent.name}, while {source['label']} is {source['run_id']} now"
    return None


def check_same_data(records: Iterable[tuple[dict, Path]]):
    """Check that all records of a dataset are of the same files.

    Args:
        records: records with their files.

    Raises:
        RecordError: two are not; the message names them.
    """
    first: dict[str, tuple[dict, Path]] = {}
    for record, path in records:
        other, other_path = first.setdefault(record["dataset"], (record, path))
        if record["data"].get("files") != other["data"].get("files"):
            raise RecordError(
                f"records {other_path} and {path} are of different files of {record['dataset']}: run the study again "
                "with the files of now, or with another --output"
            )


def _of_record(record: dict) -> dict:
    model = record["model"]
    return _decisive(model, {**_complete(model, "{}"), **with_former_defaults(record["config"], model)})


def _of_plan(row: Row) -> dict:
    given = {key: value for key, value in row.settings.items() if key not in WITHOUT_EFFECT | APART}
    return _decisive(row.model, _complete(row.model, json.dumps(given, sort_keys=True)))


def _decisive(model: str, settings: dict) -> dict:
    return {key: value for key, value in decisive_settings(model, settings).items() if key not in OF_FILES}


@cache
def _complete(model: str, given: str) -> dict:
    """Return settings, given as JSON, with all defaults, RecBole's included."""
    return make_config(model, "any", (), json.loads(given))[1].plain()

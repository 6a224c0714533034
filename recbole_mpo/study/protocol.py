"""Which runs may stand in one table: those of the same data, targets, candidates and evaluation."""

from pathlib import Path

from recbole_mpo.common.errors import RecordError

# How records name the manifest of a sharded dataset.
SHARDS = ".shards/manifest.json"
# Of a value that agrees with every other.
_ANY = object()


def _files_ending(record: dict, ending: str) -> dict:
    return {name: digest for name, digest in record["data"]["files"].items() if name.endswith(ending)}


def _interaction_files(record: dict):
    """Return the hashes of the ``.inter`` files; anything for shards, which stand beside them by their test pairs."""
    return _ANY if _files_ending(record, SHARDS) else _files_ending(record, ".inter")


def _sharded_rows(record: dict):
    """Return the hash of all rows of shards, however many parts they have; anything for ``.inter`` files."""
    manifest = _files_ending(record, SHARDS)
    return (record["data"].get("rows_hash") or manifest) if manifest else _ANY


def eval_history(record: dict) -> str:
    """Return whether items of the history are candidates: ``kept`` or ``masked``."""
    return record["config"].get("eval_history") or "kept"


# Figures of the two ways differ by more than models do.
NEVER_MIXED = {"eval_history": eval_history}
# What decides which targets there are, and among which items each is ranked.
TARGETS = {
    "the dataset": lambda record: record["dataset"],
    "the interaction files": _interaction_files,
    "the rows of the shards": _sharded_rows,
    "the number of candidate items": lambda record: record["data"]["item_num"],
    "the number of targets": lambda record: {k: record["data"]["targets"][k] for k in ("valid", "test")},
    "the split": lambda record: record["config"].get("eval_args"),
    # Records of older versions do not have the hash.
    "the test pairs": lambda record: record["data"].get("test_pairs") or _ANY,
}
_EVALUATION = {
    "the longest history": lambda record: record["config"].get("MAX_ITEM_LIST_LENGTH"),
    "eval_mode": lambda record: record["config"].get("eval_mode"),
}
PROTOCOL = {
    **TARGETS,
    # Models without training know items in their own way and stand beside every other.
    "item_input": lambda record: _ANY if record["item_input"] == "none" else record["item_input"],
    **_EVALUATION,
}


def check_protocol(runs: list[tuple[dict, str | Path]], mix: bool, paired: bool):
    """Check that runs may stand in one table.

    Args:
        runs: records, each with its file or its run's folder.
        mix: whether to allow records of other data and inputs.
        paired: whether the users of the runs are compared one by one.

    Raises:
        RecordError: they differ in what must agree; the message names it, two records and their values.
    """
    _check_comparable(runs, NEVER_MIXED, "their figures cannot stand in one table. Leave one of them out")
    if not mix:
        _check_comparable(runs, PROTOCOL, "their figures cannot be compared. Leave one of them out, or use --mix")
    elif paired:
        _check_comparable(runs, TARGETS, "their users cannot be paired. Leave one of them out")


def check_same_evaluation(runs: list[tuple[dict, str | Path]]):
    """Check that runs may stand in one report: all of :func:`check_protocol` but the inputs, which each row names.

    Raises:
        RecordError: they differ in what must agree; the message names it, two records and their values.
    """
    together = {**NEVER_MIXED, **TARGETS, **_EVALUATION}
    _check_comparable(runs, together, "their figures cannot stand in one report. Leave one of them out")


def _check_comparable(runs: list[tuple[dict, str | Path]], protocol: dict, so: str):
    # A run that failed before its data were read has no figures; it is shown as failed.
    readable = [(record, path) for record, path in runs if record["data"]]
    for label, value_of in protocol.items():
        values = [(path, value_of(record)) for record, path in readable]
        values = [(path, value) for path, value in values if value is not _ANY]
        for path, value in values[1:]:
            first_path, first = values[0]
            if value != first:
                raise RecordError(
                    f"the records differ in {label}: {first!r} in {first_path}, {value!r} in {path}; {so}"
                )

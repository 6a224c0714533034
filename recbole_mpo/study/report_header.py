"""The head of a report: on what data and by what protocol the runs were evaluated, and what they were made with."""

from collections.abc import Callable

from recbole_mpo.study.protocol import eval_history
from recbole_mpo.study.report_parts import Shown, Table
from recbole_mpo.study.report_rows import Results

HISTORY = {
    "kept": "kept: items of the history are candidates too",
    "masked": "masked: items of the history are no candidates",
}
TIES = {
    "ranks": "rank = 1 + items scored higher + other items scored equal, so that a tie counts against the model",
    "recbole": "RecBole's evaluator: ties in the order of its sorting",
}


def header_table(results: Results) -> Table:
    """Return the table of protocol, item features, versions and hashes of the data.

    What differs between runs is shown with the number of runs or, for features, with the groups.
    """
    runs = [run for group in results.groups for run in group.runs]
    # A run that failed before its data were read says nothing of them.
    records = [record for record, _ in runs if record["data"]]
    facts = [*_protocol(records, results), *_features(results), *_circumstances([record for record, _ in runs])]
    rows = tuple((Shown(name), Shown(value)) for name, value in [*facts, *_hashes(records)] if value)
    return Table("Data and protocol", ("what", "value"), rows, words=("what", "value"))


def _protocol(records: list[dict], results: Results) -> list[tuple[str, str]]:
    if not records:
        return []
    first = records[0]
    config, data = first["config"], first["data"]
    users = f"{data['users']:,} users, " if isinstance(data.get("users"), int) else ""
    chosen = _distinct(records, lambda record: record["config"].get("valid_metric"))
    return [
        ("dataset", f"{first['dataset']}: {users}{data['item_num'] - 1:,} items"),
        ("split", _split(data["files"], config.get("eval_args"))),
        ("targets", f"{data['targets']['valid']:,} of valid, {data['targets']['test']:,} of test"),
        ("candidates", f"all {data['item_num'] - 1:,} items, the same for every model"),
        ("history", HISTORY.get(eval_history(first), str(eval_history(first)))),
        ("longest history", f"the newest {config.get('MAX_ITEM_LIST_LENGTH')} items"),
        ("metrics", f"{', '.join(results.metrics)}; runs and epochs chosen by valid {chosen}"),
        ("ties", TIES.get(config.get("eval_mode") or "ranks", "")),
    ]


def _split(files: dict[str, str], eval_args) -> str:
    parts = [part for part in ("train", "valid", "test") if any(f".{part}.inter" in name for name in files)]
    if parts:
        return f"the dataset's own files ({', '.join(parts)})"
    given = eval_args if isinstance(eval_args, dict) else {}
    if given.get("split") == {"LS": "valid_and_test"} and given.get("order") == "TO":
        return "leave one out, by time: each user's last item is of test, the one before of valid"
    return f"split {given.get('split')}, order {given.get('order')}, group_by {given.get('group_by')}"


def _features(results: Results) -> list[tuple[str, str]]:
    groups: dict[str, list[str]] = {}
    for group in results.groups:
        for text in dict.fromkeys(_feature_text(record.get("features")) for record, _ in group.runs if record["data"]):
            groups.setdefault(text, []).append(group.name)
    texts = [text if len(groups) == 1 else f"{text}: {', '.join(names)}" for text, names in groups.items()]
    return [("item features", "; ".join(texts))]


def _feature_text(features) -> str:
    if not isinstance(features, dict):
        return "none"
    digest = str(features.get("hash") or "unknown")[:12]
    return f"{features.get('source')}, {features.get('dimension')} values per item (sha256 {digest}…)"


def _circumstances(records: list[dict]) -> list[tuple[str, str]]:
    names = dict.fromkeys(name for record in records for name in _dict_of(record, "packages"))
    versions = [f"{name} {_distinct(records, lambda one, name=name: _package(one, name))}" for name in names]
    days = sorted({str(record["started"])[:10] for record in records if record.get("started")})
    return [
        ("versions", ", ".join(versions)),
        ("commit", _distinct(records, _commit)),
        ("device", _distinct(records, _device)),
        ("processes", _distinct(records, lambda record: record.get("processes") or 1)),
        ("run", " to ".join(dict.fromkeys((days[0], days[-1]))) if days else ""),
    ]


def _package(record: dict, name: str):
    return _dict_of(record, "packages").get(name)


def _commit(record: dict) -> str:
    git = _dict_of(record, "git")
    if not git.get("commit"):
        return "unknown"
    return str(git["commit"])[:12] + (" with changes" if git.get("dirty") else "")


def _device(record: dict) -> str | None:
    device = _dict_of(record, "device")
    threads = f", threads: {device['threads']}" if device.get("threads") else ""
    python = f", Python {device['python']}" if device.get("python") else ""
    return f"{device.get('name') or device.get('type')}{threads}{python}" if device else None


def _dict_of(record: dict, key: str) -> dict:
    value = record.get(key)
    return value if isinstance(value, dict) else {}


def _distinct(records: list[dict], value_of: Callable) -> str:
    """Return a value of all records, or each value with the number of its runs; None is left out."""
    counts: dict[str, int] = {}
    for record in records:
        value = value_of(record)
        if value is not None:
            counts[str(value)] = counts.get(str(value), 0) + 1
    if len(counts) <= 1:
        return "".join(counts)
    texts = [f"{text} ({runs} run{'s' * (runs > 1)})" for text, runs in counts.items()]
    return " or ".join(texts)


def _hashes(records: list[dict]) -> list[tuple[str, str]]:
    names = dict.fromkeys(name for one in records for name in one["data"]["files"])
    values = {name: lambda one, name=name: one["data"]["files"].get(name) for name in names}
    values["test pairs (user, target)"] = lambda one: one["data"].get("test_pairs")
    values["pre-trained weights"] = lambda one: _dict_of(one, "pretrained").get("sha256")
    return [(f"sha256 of {name}", _distinct(records, value_of)) for name, value_of in values.items()]

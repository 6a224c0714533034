"""What each command of the command line does with its arguments."""

from recbole_mpo.cli import data as data_commands
from recbole_mpo.cli import demo
from recbole_mpo.common.errors import ConfigError
from recbole_mpo.common.values import as_list, parse_assignments, suggestion
from recbole_mpo.quick_start.evaluate import evaluate_checkpoint
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.release.merge import merge_checkpoint
from recbole_mpo.release.recommend import Recommender, read_histories
from recbole_mpo.study import table

TABLE_FLAGS = ("mix", "published")


def _split(arguments: list[str], flags=(), positional=False) -> tuple[dict, set[str], list[str]]:
    """Assignments, bare flags, and positional arguments."""
    named = {f"--{flag}" for flag in flags} | {f"--{flag.replace('_', '-')}" for flag in flags}
    given = {argument.removeprefix("--").replace("-", "_") for argument in arguments if argument in named}
    rest = [argument for argument in arguments if argument not in named]
    plain = [argument for argument in rest if not argument.startswith("--")] if positional else []
    return parse_assignments([argument for argument in rest if argument not in plain]), given, plain


def _take(settings: dict, name: str, command: str):
    if settings.get(name) in (None, ""):
        raise ConfigError(f"{command} needs --{name}=VALUE")
    return settings.pop(name)


def run_command(arguments: list[str]) -> int:
    """``run``: one experiment."""
    settings, flags, _ = _split(arguments, ("dry_run",))
    model, dataset = _take(settings, "model", "run"), _take(settings, "dataset", "run")
    files = as_list(settings.pop("config_files", None))
    resume, record = settings.pop("resume", None), settings.pop("record", None)
    dry_run = bool(settings.pop("dry_run", "dry_run" in flags))
    run(model, dataset, files, settings, dry_run=dry_run, resume=resume, record_path=record)
    return 0


def evaluate_command(arguments: list[str]) -> int:
    """``evaluate``: a checkpoint's metrics."""
    settings, _, _ = _split(arguments)
    results = evaluate_checkpoint(_take(settings, "checkpoint", "evaluate"), settings)
    for split, metrics in results.items():
        print(f"{split}: " + "  ".join(f"{name} {value:.6f}" for name, value in metrics.items()))
    return 0


def merge_command(arguments: list[str]) -> int:
    """``merge``: an MPO checkpoint as a dense one."""
    settings, _, _ = _split(arguments)
    source, output = (_take(settings, name, "merge") for name in ("checkpoint", "output"))
    merge_checkpoint(source, output, settings)
    print(f"wrote {output}")
    return 0


def recommend_command(arguments: list[str]) -> int:
    """``recommend``: top items for raw histories."""
    settings, _, _ = _split(arguments)
    path = _take(settings, "checkpoint", "recommend")
    topk = settings.pop("topk", 10)
    if not isinstance(topk, int) or isinstance(topk, bool) or topk < 1:
        raise ConfigError(f"topk must be a positive whole number, not {topk!r}")
    items, histories_file = settings.pop("items", None), settings.pop("histories", None)
    if (items is None) == (histories_file is None):
        raise ConfigError("recommend needs either --items=token,token or --histories=FILE")
    if histories_file is not None:
        histories = read_histories(histories_file)
    else:
        histories = [[token.strip() for token in items.split(",") if token.strip()]]
    recommender = Recommender.from_checkpoint(path, settings)
    for history, found in zip(histories, recommender.recommend(histories, topk), strict=True):
        print(recommender.as_text(history, found))
    return 0


def table_command(arguments: list[str]) -> int:
    """``table``: runs side by side."""
    settings, flags, paths = _split(arguments, TABLE_FLAGS, positional=True)
    chosen = {flag: bool(settings.pop(flag, flag in flags)) for flag in TABLE_FLAGS}
    form, metrics = str(settings.pop("format", "markdown")), as_list(settings.pop("metrics", None))
    if settings:
        unknown = next(iter(settings))
        raise ConfigError(f"table has no --{unknown}{suggestion(unknown, ('format', 'metrics', *TABLE_FLAGS))}")
    print(table.make_table(paths, form=form, metrics=metrics or None, **chosen), end="")
    return 0


def prepare_command(arguments: list[str]) -> int:
    """``prepare``: a data set's files from raw data or own tables."""
    settings, _, names = _split(arguments, positional=True)
    data_commands.prepare_data(_one_name(names, "prepare"), settings)
    return 0


def inspect_command(arguments: list[str]) -> int:
    """``inspect``: a data set at a glance."""
    settings, _, names = _split(arguments, positional=True)
    data_commands.inspect_data(_one_name(names, "inspect"), settings)
    return 0


def _one_name(names: list[str], command: str) -> str:
    if len(names) != 1:
        raise ConfigError(f"{command} takes one data set's name, found {' '.join(names) or 'none'}")
    return names[0]


def demo_command(arguments: list[str]) -> int:
    """``demo``: ml-100k from nothing to a recommendation."""
    settings, _, _ = _split(arguments)
    return demo.run_demo(settings)


COMMANDS = {
    "run": run_command,
    "evaluate": evaluate_command,
    "merge": merge_command,
    "recommend": recommend_command,
    "table": table_command,
    "prepare": prepare_command,
    "inspect": inspect_command,
    "demo": demo_command,
}

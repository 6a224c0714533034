"""The runs of a scaling study on another dataset: each chosen size fine-tuned, and from scratch in the same size."""

from collections.abc import Sequence

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.common.schema import for_model
from recbole_mpo.common.values import check_dataset_name
from recbole_mpo.quick_start.registry import find_model
from recbole_mpo.study.matrix import Row
from recbole_mpo.study.scaling.cells import NEEDED, TRANSFER, GridCell, chosen_cells

KEYS = ("dataset", "settings", "from", "ways")
# What a fine-tuned model must share with the one it starts from.
SHARED = ("hidden_size", "inner_size", "n_layers", "n_heads", "n_exps", "hidden_act", "text_encoder", "text_pooling")
SHARED += ("MAX_ITEM_LIST_LENGTH", "feature_center", "feature_scale", "feature_size")
SCRATCH, TUNED = "from scratch", "fine-tuned"


def transfer_cells(cells: Sequence[GridCell], given, overrides: dict) -> list[GridCell]:
    """Return the runs on the other dataset, those from scratch first.

    Args:
        cells: the runs of the main grid.
        given: the plan's ``transfer``: ``dataset``, ``settings`` of all these runs, ``from`` (which runs to start from)
            and ``ways``, further settings by name, each with its own ``from`` if it has one.
        overrides: settings that win, but for sizes, in every run that uses them.

    Raises:
        ConfigError: the plan is not well described; the message names the key.
    """
    if not isinstance(given, dict) or not {*given} <= {*KEYS}:
        raise ConfigError(f"{TRANSFER} has the keys {', '.join(KEYS)}, not {given!r}")
    check_dataset_name(f"{TRANSFER}: dataset", given.get("dataset"))
    sources = chosen_cells(cells, given.get("from"), f"{TRANSFER}: from")
    scratch, tuned = {}, []
    for way, settings in {TUNED: {}, **(given.get("ways") or {})}.items():
        settings = dict(settings or {})
        choices = settings.pop("from", None)
        here = chosen_cells(sources, choices, f"{TRANSFER}: ways: {way}") if choices else sources
        for source in here:
            tuned.append(_cell(str(way), source, given, settings, overrides))
            plain = _cell(SCRATCH, source, given, {}, overrides)
            first = scratch.setdefault((plain.row.name, plain.seed), plain)
            if first.complete != plain.complete:
                raise ConfigError(f"{TRANSFER}: from: two different runs are both named {plain.row.name!r}")
    return [*scratch.values(), *tuned]


def scratch_name(source: GridCell) -> str:
    """Return the name of the run from scratch in the size of a run of the main grid."""
    return f"{SCRATCH}, {source.row.model}, {source.value('hidden_size')} wide, {source.value('n_layers')} deep"


def _cell(way: str, source: GridCell, given: dict, more: dict, overrides: dict) -> GridCell:
    of_source = {key: source.row.settings[key] for key in SHARED if key in source.row.settings}
    settings = {"model": source.row.model, **NEEDED, **of_source, **(given.get("settings") or {}), **more}
    model = find_model(str(settings.pop("model"))).name
    settings |= for_model({key: value for key, value in overrides.items() if key not in SHARED}, model)
    name = scratch_name(source) if way == SCRATCH else f"{way}, from {source.row.name}"
    row = Row(name, model, settings, (source.seed,), frozenset(settings), False)
    return GridCell(row, given["dataset"], source.seed, (TRANSFER,), None if way == SCRATCH else source, way)

"""What ``recbole-mpo prepare`` and ``recbole-mpo inspect`` do with their arguments."""

from pathlib import Path

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.common.values import as_list, suggestion
from recbole_mpo.data.prepare.own_tables import OwnTables
from recbole_mpo.data.prepare.prepare import Request, prepare
from recbole_mpo.data.prepare.prepared import Form
from recbole_mpo.data.prepare.raw_rows import Columns
from recbole_mpo.data.prepare.recipe import Recipe
from recbole_mpo.data.prepare.sources import ML100K
from recbole_mpo.data.prepare.table_files import Table
from recbole_mpo.text.encoders import build_encoder
from recbole_mpo.text.encoding import encode_items
from recbole_mpo.text.item_text import read_dataset_text, text_file

COMMON = ("data_path", "show_progress")
RECIPE = ("k_core", "min_length")
FORM = ("split", "layout", "split_ratio")
RAW = ("raw", "source_url", "release")
OWN = ("interactions", "items", "user", "item", "time", "item_column", "text", "time_format", "separator", "encoding")
PREPARE = (*COMMON, *RECIPE, *FORM, *RAW, *OWN, "domains", "overwrite", "text_encoder", "cache_dir")
INSPECT = ("data_path", "page", "users")


def prepare_data(name: str, settings: dict):
    """Prepares the data set ``name`` and, with ``text_encoder``, encodes its texts."""
    _refuse_unknown(settings, PREPARE, "prepare")
    _refuse_idle(name, settings)
    data_path = Path(settings.get("data_path") or "dataset")
    # First, so that a name that is none is not found out after hours of preparation.
    encoder = build_encoder(settings["text_encoder"]) if settings.get("text_encoder") else None
    folder = prepare(name, _request(settings, data_path))
    print(f"wrote {folder}/; next: recbole-mpo run --model=MPORec --dataset={folder.name} --data_path={data_path}")
    if encoder is not None:
        cache = settings.get("cache_dir") or "dataset/.cache"
        item_text = read_dataset_text(text_file(data_path, folder.name))
        shape = encode_items(item_text, encoder, cache, folder.name, _truth(settings, "show_progress", True)).shape
        print(f"encoded {shape[0]:,} texts into {shape[1]} features with {encoder.name}, kept in {cache}/{folder.name}")


def inspect_data(name: str, settings: dict):
    """Describes the data set ``name`` on the screen and as an HTML page."""
    _refuse_unknown(settings, INSPECT, "inspect")
    # Plotly takes a while to load, and no other command needs it.
    from recbole_mpo.data.inspection import inspect

    users = _whole(settings, "users", 3)
    print(inspect(Path(settings.get("data_path") or "dataset"), name, settings.get("page"), users))


def _request(settings: dict, data_path: Path) -> Request:
    own = None if settings.get("interactions") is None else _own_tables(settings)
    if own is None:
        stray = [key for key in OWN if settings.get(key) is not None]
        if stray:
            raise ConfigError(f"--{stray[0]} describes a table of your own; give --interactions=FILE too")
    raw = settings.get("raw")
    if raw is not None and not Path(raw).exists():
        raise ConfigError(f"--raw={raw} does not exist; give the folder with the raw files")
    url = settings.get("source_url")
    if url is not None and not url.startswith(("http://", "https://")):
        raise ConfigError(f"--source_url={url} is no address; it begins with https:// or http://")
    ratios = settings.get("split_ratio")
    form = {key: settings[key] for key in ("split", "layout") if settings.get(key) is not None}
    if ratios is not None:
        form["ratios"] = tuple(_numbers(ratios))
    return Request(
        data_path,
        Recipe(_whole(settings, "k_core", 5), _whole(settings, "min_length", 3)),
        Form(**form),
        None if raw is None else Path(raw),
        url,
        settings.get("release"),
        own,
        tuple(as_list(settings.get("domains"))),
        _truth(settings, "overwrite", False),
        _truth(settings, "show_progress", True),
    )


def _own_tables(settings: dict) -> OwnTables:
    missing = [key for key in ("user", "item", "time") if not settings.get(key)]
    if missing:
        raise ConfigError(f"prepare needs --{missing[0]}=COLUMN to read --interactions={settings['interactions']}")
    fields = as_list(settings.get("text"))
    if bool(fields) != bool(settings.get("items")) and not fields:
        raise ConfigError(f"prepare needs --text=COLUMN,COLUMN to make texts from --items={settings['items']}")
    form = {key: settings[key] for key in ("separator", "encoding") if settings.get(key)}
    if form.get("separator") in ("\\t", "tab"):
        form["separator"] = "\t"
    interactions = Table(Path(settings["interactions"]), **form)
    # Texts may stand in the table of interactions itself.
    items = Table(Path(settings["items"]), **form) if settings.get("items") else interactions
    columns = Columns(settings["user"], settings["item"], settings["time"], (), settings.get("time_format"))
    return OwnTables(interactions, columns, items if fields else None, settings.get("item_column"), tuple(fields))


def _refuse_unknown(settings: dict, known: tuple[str, ...], command: str):
    for key in settings:
        if key not in known:
            raise ConfigError(f"{command} has no --{key}{suggestion(key, known)}; it takes {', '.join(known)}")


def _refuse_idle(name: str, settings: dict):
    """An option that this preparation would not look at is a mistake."""
    if settings.get("domains"):
        what, idle = "--domains", (*RECIPE, *FORM, *RAW, *OWN)
    elif settings.get("interactions") is not None:
        what, idle = "--interactions", RAW
    elif name.lower() == ML100K:
        what, idle = ML100K, (*RECIPE, *FORM, *RAW, "overwrite")
    else:
        return
    given = [key for key in idle if settings.get(key) is not None]
    if given:
        raise ConfigError(f"--{given[0]} has no meaning for {what}; leave it out")


def _whole(settings: dict, key: str, default: int) -> int:
    value = settings.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ConfigError(f"{key} must be a whole number from 0 on, not {value!r}")
    return value


def _truth(settings: dict, key: str, default: bool) -> bool:
    value = settings.get(key, default)
    if not isinstance(value, bool):
        raise ConfigError(f"{key} must be true or false, not {value!r}")
    return value


def _numbers(value) -> list[float]:
    try:
        return [float(part) for part in value]
    except (TypeError, ValueError) as problem:
        raise ConfigError(f"split_ratio must be three numbers like 0.8,0.1,0.1, not {value!r}") from problem

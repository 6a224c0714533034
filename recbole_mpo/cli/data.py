"""``prepare`` and ``inspect``: make a dataset's files from raw data or own tables, and describe a dataset."""

from functools import partial
from pathlib import Path

import click

from recbole_mpo.cli.arguments import command, given_options, option
from recbole_mpo.cli.kinds import Choice, Number, Numbers, Text, Truth, Whole, Words
from recbole_mpo.common.errors import ConfigError

# Headings of help; a preparation refuses the options under a heading that it does not use.
RECIPE, FORM, RAW, OWN = "interactions to keep", "form of the files", "raw data", "your own tables"
ENGINE = "large data"

recipe_option, form_option = partial(option, group=RECIPE), partial(option, group=FORM)
raw_option, own_option = partial(option, group=RAW), partial(option, group=OWN)
engine_option = partial(option, group=ENGINE)
feature_option, field_option = partial(option, group="features"), partial(option, group="columns of the files")
data_path_option = option("--data_path", Text("FOLDER"), "Folder that holds the dataset's folder.", default="dataset")


def _one_name(ctx, _, names: tuple[str, ...]) -> str:
    if len(names) != 1:
        raise ConfigError(f"{ctx.info_name} takes the name of one dataset, found {' '.join(names) or 'none'}")
    return names[0]


dataset_name = click.argument("name", nargs=-1, metavar="NAME", callback=_one_name)


@command("prepare")
@dataset_name
@data_path_option
@option("--overwrite", Truth(), "Replace an existing dataset.", default=False)
@option("--show_progress", Truth(), "Show progress bars.", default=True)
@recipe_option(
    "--k_core",
    Whole(),
    "Minimum interactions per user and per item, applied until nothing changes; 0 keeps all.",
    default=5,
)
@recipe_option("--min_length", Whole(), "Minimum interactions per user after that.", default=3)
@recipe_option("--min_rating", Number(), "Smallest rating of an interaction, applied first; by default all count.")
@form_option(
    "--split",
    Choice("leave-one-out", "temporal"),
    "What is held out: each user's last two interactions, or with temporal the newest of all users.",
    default="leave-one-out",
)
@form_option(
    "--layout",
    Choice("single", "presplit"),
    "One .inter file, or UniSRec's three files with numbered users and items.",
    default="single",
)
@form_option(
    "--split_ratio",
    Numbers("0.8,0.1,0.1"),
    "Shares of train, valid and test in a temporal split.",
    default="0.8,0.1,0.1",
)
@form_option(
    "--output_format",
    Choice("inter", "parquet"),
    "Lines of text, or Parquet in parts by user, for datasets larger than memory.",
    default="inter",
)
@form_option("--parts", Whole(least=1), "Number of parts in Parquet.", default=64)
@engine_option(
    "--engine",
    Choice("memory", "duckdb"),
    "What prepares: this process's memory, or DuckDB, which writes to disk what does not fit.",
    default="memory",
)
@engine_option("--memory_limit", Text("SIZE"), "Memory to stay below with --engine=duckdb.", default="8GB")
@engine_option("--threads", Whole(least=1), "Threads of --engine=duckdb; all cores by default.")
@raw_option("--raw", Text("PATH"), "Folder with the raw files (Online Retail: or the file), instead of a download.")
@raw_option("--source_url", Text("URL"), "Address to download from instead of the known ones.")
@raw_option("--release", Text("2018|2023"), "Release of the Amazon data, 2018 by default; 2023 makes NAME-2023.")
@raw_option("--categories", Words("NAME,NAME"), "Categories of Amazon-2018-all; by default all 29.", default=())
@raw_option("--without_users_of", Words("NAME,NAME"), "Leave out users with a review in these categories.", default=())
@own_option("--interactions", Text("FILE"), "One row per interaction: csv, tsv, txt, jsonl, parquet or xlsx.")
@own_option("--items", Text("FILE"), "One row per item; without it, texts are read from the interactions.")
@own_option("--user", Text("COLUMN"), "Column of the user.")
@own_option("--item", Text("COLUMN"), "Column of the item.")
@own_option("--time", Text("COLUMN"), "Column of the time: numbers or dates.")
@own_option(
    "--order",
    Choice("time", "file"),
    "Order of a user's interactions: by --time, or for tables without times that of the rows.",
    default="time",
)
@own_option("--rating", Text("COLUMN"), "Column of the rating, for --min_rating.")
@own_option("--item_column", Text("COLUMN"), "Column of the item in --items, if it has another name there.")
@own_option("--text", Words("COLUMN,COLUMN"), "Columns that make the item text, in this order.", default=())
@own_option("--time_format", Text("FORMAT"), "Format of dates, such as %d.%m.%Y; not needed for ISO 8601.")
@own_option("--separator", Text("TEXT"), "Separator of cells, such as ';' or tab; by default the suffix decides.")
@own_option("--encoding", Text("NAME"), "Encoding of the tables, such as latin-1; UTF-8 by default.")
@own_option("--items_separator", Text("TEXT"), "Separator in --items, if it has another one than --interactions.")
@own_option("--items_encoding", Text("NAME"), "Encoding of --items, if it has another one than --interactions.")
@option("--domains", Words("NAME,NAME"), "Prepared datasets to join.", default=(), group="several domains")
@feature_option("--text_encoder", Text("NAME"), "Also encode the texts; otherwise a run does it.")
@feature_option("--cache_dir", Text("FOLDER"), "Folder for the encoded texts.", default="dataset/.cache")
@click.pass_context
def prepare_command(ctx, name, **options):
    """Make a dataset's files from raw data or tables of your own.

    NAME is a known dataset (Pantry, OR, ml-100k, ...), or a new name for what --interactions or --domains make.
    """
    from recbole_mpo.data.prepare.prepare import prepare_dataset
    from recbole_mpo.text.encoders import build_encoder
    from recbole_mpo.text.item_features import encoder_names
    from recbole_mpo.text.item_text import text_file

    given = given_options(ctx)
    _refuse_idle(name, options, given)
    # First, so that an unusable name fails now and not after hours of preparation.
    named = options["text_encoder"]
    encoders = [build_encoder(name) for name in encoder_names(named)] if named else []
    data_path = Path(options["data_path"])
    folder = prepare_dataset(name, _request(options, given))
    model = "MPORec" if text_file(data_path, folder.name).is_file() else "UniSRec --item_input=id"
    print(f"wrote {folder}/; next: recbole-mpo run --model={model} --dataset={folder.name} --data_path={data_path}")
    for encoder in encoders:
        _encode(data_path, folder.name, encoder, options)


@command("inspect")
@dataset_name
@data_path_option
@option("--page", Text("FILE"), "HTML page to write; NAME.html by default.")
@option("--users", Whole(), "Number of users whose histories are shown.", default=3)
@field_option("--USER_ID_FIELD", Text("COLUMN"), "Name of the user column.", default="user_id")
@field_option("--ITEM_ID_FIELD", Text("COLUMN"), "Name of the item column.", default="item_id")
@field_option("--TIME_FIELD", Text("COLUMN"), "Name of the time column.", default="timestamp")
@field_option("--LIST_SUFFIX", Text("TEXT"), "Ending of the history column in pre-split files.", default="_list")
@field_option("--field_separator", Text("TEXT"), "Separator of columns, such as ';' or tab.", default="tab")
@field_option("--seq_separator", Text("TEXT"), "Separator of the items in a history; a space by default.")
@field_option("--encoding", Text("NAME"), "Encoding of the files.", default="utf-8")
def inspect_command(name, data_path, page, users, **columns):
    """Show a dataset's statistics and histories, also as an HTML page."""
    from recbole_mpo.data.atomic_files import Fields
    from recbole_mpo.data.inspection import inspect

    fields = Fields(
        columns["user_id_field"],
        columns["item_id_field"],
        columns["time_field"],
        columns["list_suffix"],
        _separator(columns["field_separator"]),
        columns["seq_separator"] or " ",
        columns["encoding"],
    )
    print(inspect(Path(data_path), name, page, users, fields))


def _separator(text: str) -> str:
    return "\t" if text in ("\\t", "tab") else text


def _refuse_idle(name: str, options: dict, given):
    """Refuse an option that this preparation does not use."""
    from recbole_mpo.data.prepare.sources import AMAZON_2018_ALL, ML100K

    given_keys = {given_option.key for given_option in given}
    if options["output_format"] == "inter" and "parts" in given_keys:
        raise ConfigError("--parts is the number of Parquet files; give --output_format=parquet too")
    if options["engine"] == "memory" and (stray := given_keys & {"memory_limit", "threads"}):
        raise ConfigError(f"--{min(stray)} is for DuckDB; give --engine=duckdb too")
    is_union = name.lower() == AMAZON_2018_ALL.lower()
    if not is_union and (stray := given_keys & {"categories", "without_users_of"}):
        raise ConfigError(f"--{min(stray)} is for {AMAZON_2018_ALL}; leave it out")
    if not options["items"] and (stray := [key for key in ("items_separator", "items_encoding") if options[key]]):
        raise ConfigError(f"--{stray[0]} describes the table of items; give --items=FILE too")

    if options["domains"]:
        what, idle = "--domains", {RECIPE, FORM, ENGINE, RAW, OWN}
    elif options["interactions"] is not None:
        what, idle = "--interactions", {RAW}
    elif name.lower() == ML100K:
        what, idle = ML100K, {RECIPE, FORM, ENGINE, RAW, "overwrite"}
    else:
        return
    for given_option in given:
        if {given_option.group, given_option.key} & idle:
            raise ConfigError(f"--{given_option.key} is not used with {what}; leave it out")


def _request(options: dict, given):
    """Return the options as a ``Request``."""
    from recbole_mpo.data.prepare.engine import Engine
    from recbole_mpo.data.prepare.prepare import Request
    from recbole_mpo.data.prepare.prepared import Form
    from recbole_mpo.data.prepare.recipe import Recipe

    own_tables = None
    if options["interactions"] is not None:
        own_tables = _own_tables(options)
    elif stray := [given_option.key for given_option in given if given_option.group == OWN]:
        raise ConfigError(f"--{stray[0]} describes your own table; give --interactions=FILE too")
    raw_path, url = options["raw"], options["source_url"]
    if raw_path is not None and not Path(raw_path).exists():
        raise ConfigError(f"--raw={raw_path} does not exist; give the folder with the raw files")
    if url is not None and not url.startswith(("http://", "https://")):
        raise ConfigError(f"--source_url={url} is not an address; it must begin with https:// or http://")
    return Request(
        data_path=Path(options["data_path"]),
        recipe=Recipe(options["k_core"], options["min_length"], options["min_rating"]),
        form=Form(
            options["split"],
            options["layout"],
            tuple(options["split_ratio"]),
            options["output_format"],
            options["parts"],
        ),
        engine=Engine(options["engine"], options["memory_limit"], options["threads"]),
        raw=None if raw_path is None else Path(raw_path),
        source_url=url,
        release=options["release"],
        own=own_tables,
        domains=tuple(options["domains"]),
        categories=tuple(options["categories"]),
        without_users_of=tuple(options["without_users_of"]),
        overwrite=options["overwrite"],
        show_progress=options["show_progress"],
    )


def _own_tables(options: dict):
    """Return the options as ``OwnTables``."""
    from recbole_mpo.data.prepare.own_tables import OwnTables
    from recbole_mpo.data.prepare.raw_rows import Columns

    is_timed = options["order"] == "time"
    missing = [key for key in ("user", "item", *(["time"] if is_timed else [])) if options[key] is None]
    if missing:
        hint = ", or --order=file if the rows are in order of time" if missing[0] == "time" else ""
        raise ConfigError(f"prepare needs --{missing[0]}=COLUMN to read --interactions={options['interactions']}{hint}")
    if not is_timed and options["time"] is not None:
        raise ConfigError("--order=file takes the order of the rows; leave --time out, or give --order=time")
    if (options["rating"] is None) != (options["min_rating"] is None):
        given, other = ("rating", "min_rating") if options["min_rating"] is None else ("min_rating", "rating")
        raise ConfigError(f"--{given} needs --{other} too")
    fields = tuple(options["text"])
    if options["items"] and not fields:
        raise ConfigError(f"prepare needs --text=COLUMN,COLUMN to make texts from --items={options['items']}")
    interactions = _table(options, "interactions", "")
    # Texts may be in the interactions table.
    items = _table(options, "items", "items_") if options["items"] else interactions
    columns = Columns(options["user"], options["item"], options["time"], (), options["time_format"], options["rating"])
    return OwnTables(interactions, columns, items if fields else None, options["item_column"], fields)


def _table(options: dict, key: str, prefix: str):
    """Return the table whose path is in the option ``key``, and whose form is in options with this prefix."""
    from recbole_mpo.data.prepare.table_files import Table

    form = {name: options[prefix + name] or options[name] for name in ("separator", "encoding")}
    if form["separator"]:
        form["separator"] = _separator(form["separator"])
    return Table(Path(options[key]), **{name: value for name, value in form.items() if value})


@command("encode")
@option("--dataset", Text("NAME"), "The dataset, which must have a .text file.", required=True)
@data_path_option
@option("--text_encoder", Text("NAME"), "The encoder, or several as a,b; as the setting of a run.", default="minilm")
@option("--text_pooling", Choice("mean", "cls", "own"), "How tokens' states become one vector.", default="mean")
@option("--cache_dir", Text("FOLDER"), "Folder for the encoded texts.", default="dataset/.cache")
@option("--processes", Whole(least=1), "Number of processes that share the work.", default=1)
@option("--use_gpu", Truth(), "Encode on a GPU if there is one.", default=True)
@option("--show_progress", Truth(), "Show a progress bar.", default=True)
def encode_command(dataset, text_encoder, text_pooling, processes, use_gpu, **options):
    """Encode a dataset's item texts before a run needs them.

    What is interrupted goes on where it stopped, and a run with the same settings reads the result. The same command
    may run several times at once, on several machines too: each encodes texts that no other is at.
    """
    from recbole_mpo.text.encoders import build_encoder
    from recbole_mpo.text.encoding_ahead import check_shareable
    from recbole_mpo.text.item_features import encoder_names

    device = "cuda" if use_gpu and _has_gpu() else "cpu"
    names = encoder_names(text_encoder)
    encoders = [build_encoder(name, pooling=text_pooling, device=device) for name in names]
    # First, so that it does not come up after an hour of encoding with another.
    check_shareable(encoders, processes)
    for encoder in encoders:
        _encode(Path(options["data_path"]), dataset, encoder, options, processes)


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def _encode(data_path: Path, name: str, encoder, options: dict, processes: int = 1):
    """Encode a dataset's texts, and print where the features are."""
    from recbole_mpo.text.encoding_ahead import encode_ahead
    from recbole_mpo.text.item_text import text_file

    folder = Path(options["cache_dir"]) / name
    count, size = encode_ahead(text_file(data_path, name), encoder, folder, processes, options["show_progress"])
    print(f"encoded {count:,} texts into {size} features with {encoder.name}, stored in {folder}")

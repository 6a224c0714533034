"""Makes a dataset's files from its name or from a user's tables: gets raw data, prepares them, prints the numbers."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from recbole_mpo.common.errors import ConfigError, DataError
from recbole_mpo.data.atomic_files import check_name
from recbole_mpo.data.prepare import sources
from recbole_mpo.data.prepare.amazon import file_names, prepare_amazon
from recbole_mpo.data.prepare.engine import DUCKDB, Engine
from recbole_mpo.data.prepare.joined_domains import prepare_domains
from recbole_mpo.data.prepare.ml100k import prepare_ml100k
from recbole_mpo.data.prepare.movielens import prepare_movielens
from recbole_mpo.data.prepare.online_retail import prepare_online_retail
from recbole_mpo.data.prepare.own_tables import OwnTables, prepare_own
from recbole_mpo.data.prepare.prepared import Form, Prepared
from recbole_mpo.data.prepare.raw_files import below, downloaded, local_files
from recbole_mpo.data.prepare.recipe import Recipe
from recbole_mpo.data.prepare.sources import Source
from recbole_mpo.data.prepare.whole_folder import is_there, refuse_strangers
from recbole_mpo.data.statistics import Statistics

logger = logging.getLogger(__name__)

# Kinds of raw data with ratings.
RATED = ("amazon-2018", "amazon-2023", "movielens", sources.AMAZON_2018_ALL)
# Kinds that a database can prepare.
LARGE = ("amazon-2018", "amazon-2023", sources.AMAZON_2018_ALL)


@dataclass(frozen=True)
class Request:
    """The options of a preparation.

    Attributes:
        data_path: folder in which the dataset's folder is made.
        recipe: which interactions are kept.
        form: how they are written.
        engine: what prepares them.
        raw: folder or file with the raw data; None downloads them.
        source_url: address that replaces the known ones.
        release: release of the Amazon data.
        own: a user's tables.
        domains: prepared datasets to join.
        categories: categories of Amazon-2018-all; all of them if there are none.
        without_users_of: categories of Amazon-2018-all whose users are left out.
        overwrite: whether to replace an existing dataset.
        show_progress: whether to show progress bars.
    """

    data_path: Path = Path("dataset")
    recipe: Recipe = field(default_factory=Recipe)
    form: Form = field(default_factory=Form)
    engine: Engine = field(default_factory=Engine)
    raw: Path | None = None
    source_url: str | None = None
    release: str | None = None
    own: OwnTables | None = None
    domains: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    without_users_of: tuple[str, ...] = ()
    overwrite: bool = False
    show_progress: bool = True

    def inputs(self) -> list[Path]:
        """Return the files that are read, as far as they are named."""
        tables = () if self.own is None else (self.own.interactions, self.own.items)
        return [*(table.path for table in tables if table is not None), *([self.raw] if self.raw else [])]


def prepare_dataset(name: str, request: Request) -> Path:
    """Make a dataset's files and return their folder.

    Raises:
        ConfigError: the name is unknown or cannot be a name, or ratings are asked for that the data do not have.
        DataError: raw data are missing or unusable, the dataset already exists, or a file that others made would be
            replaced.
    """
    try:
        return _prepare(name, request)
    except OSError as problem:
        raise DataError(f"{problem.filename or name}: {problem.strerror or problem}") from problem


def _prepare(name: str, request: Request) -> Path:
    if request.engine.name == DUCKDB:
        return _make_large(name, request)
    if request.own is not None:
        return _make(name, request, lambda: nullcontext(prepare_own(name, request.own, request.recipe)))
    if request.domains:
        return _join_domains(name, request)
    source = sources.find_source(name, request.release)
    if source is None:
        sources.refuse_unknown(sources.name_of_release(name, request.release))
    if request.recipe.min_rating is not None and source.kind not in RATED:
        raise ConfigError(f"{source.name} has no ratings; leave --min_rating out")
    if source.kind == sources.AMAZON_2018_ALL:
        raise ConfigError(f"{source.name} is too large for memory: prepare it with --engine=duckdb")
    if source.kind == sources.ML100K:
        return prepare_ml100k(request.data_path)
    return _make(source.name, request, lambda: nullcontext(_PREPARERS[source.kind](source, request)))


def prepare_if_absent(name: str, data_path: str | Path, show_progress=True):
    """Prepare a dataset that is known and missing; do nothing for any other name.

    Raises:
        ConfigError: ``name`` is not a name.
    """
    check_name(name)
    if is_there(data_path, name):
        return
    source = sources.find_source(name)
    if source is None or source.name != name:
        return
    print(f"{name} is not in {data_path}/; preparing it from its raw data first")
    prepare_dataset(name, Request(Path(data_path), show_progress=show_progress))


def _join_domains(name: str, request: Request) -> Path:
    _refuse_existing(name, request)
    for domain in request.domains:
        prepare_if_absent(domain, request.data_path, request.show_progress)
    folder, statistics = prepare_domains(name, list(request.domains), request.data_path)
    _report(name, statistics, None)
    return folder


def _make(name: str, request: Request, build: Callable[[], AbstractContextManager]) -> Path:
    """Build a dataset, write it, and print its numbers."""
    _refuse_existing(name, request)
    with build() as prepared:
        folder = prepared.write(request.data_path, request.form)
        for step in prepared.steps:
            print(f"{step.interactions:>14,}  {step.what}" + (f" ({step.dropped:,} dropped)" if step.dropped else ""))
        _report(name, prepared.statistics(), prepared.source)
        print(*prepared.all_remarks(), sep="\n", end="\n" if prepared.all_remarks() else "")
        if prepared.other_items:
            print(f"{prepared.other_items:,} more items have text but no interactions; recommend can use them")
    return folder


def _make_large(name: str, request: Request) -> Path:
    """Build a dataset in a database.

    Raises:
        ConfigError: the data or the form are of a kind that only memory prepares.
    """
    from recbole_mpo.data.prepare.large import LargePreparation, open_database

    if request.form.is_presplit:
        key = "layout=presplit" if request.form.is_numbered else "split=temporal"
        raise ConfigError(f"engine=duckdb writes whole histories, which a run splits; leave --{key} out")
    source = None if request.own is not None else _large_source(name, request)
    name = name if source is None else source.name

    @contextmanager
    def build():
        make = _own_rows(name, request) if source is None else _large_rows(source, request)
        with open_database(request.data_path, name, request.engine) as database:
            yield make(LargePreparation(database, request.recipe, request.form.parts, request.show_progress))

    return _make(name, request, build)


def _own_rows(name: str, request: Request) -> Callable:
    return lambda preparation: preparation.own(name, request.own)


def _large_rows(source: Source, request: Request) -> Callable:
    """Find the raw files of a source, and return what makes its dataset in a database."""
    if source.kind != sources.AMAZON_2018_ALL:
        reviews, metadata = _raw_files(source, request, file_names(source))
        return lambda preparation: preparation.amazon(source, reviews, metadata)
    from recbole_mpo.data.prepare.large import CategoryUnion, check_names, find_categories

    check_names(source, "without_users_of", request.without_users_of)
    names = request.categories
    if names and (strays := [name for name in request.without_users_of if name not in names]):
        raise ConfigError(f"without_users_of: the reviews of {strays[0]} are needed; name it in --categories too")
    categories = find_categories(source, names, request.raw, lambda files: _raw_files(source, request, files))
    return lambda preparation: CategoryUnion(preparation, source, categories, request.without_users_of).dataset()


def _large_source(name: str, request: Request) -> Source:
    source = None if request.domains else sources.find_source(name, request.release)
    if source is None and not request.domains:
        sources.refuse_unknown(sources.name_of_release(name, request.release))
    if source is None or source.kind not in LARGE:
        raise ConfigError(f"engine=duckdb reads your own tables and Amazon's reviews, not {name}; leave --engine out")
    return source


def _refuse_existing(name: str, request: Request):
    if not request.overwrite and is_there(request.data_path, name):
        raise DataError(
            f"{request.data_path / name} already holds a dataset, which was not changed; give --overwrite=true to "
            "replace it, or another --data_path"
        )
    refuse_strangers(request.data_path, name, request.inputs())


def _report(name: str, statistics: Statistics, source: Source | None):
    print(f"{name}: " + ", ".join(f"{value} {what}" for what, value in statistics.rows()))
    if source is not None and source.expected and statistics.counts != source.expected:
        logger.warning(
            "%s has %s users, items and interactions; the published numbers are %s. The raw data may be another "
            "version, or other settings were given",
            name,
            " / ".join(f"{count:,}" for count in statistics.counts),
            " / ".join(f"{count:,}" for count in source.expected),
        )


def _amazon(source: Source, request: Request) -> Prepared:
    reviews, metadata = _raw_files(source, request, file_names(source))
    return prepare_amazon(source, reviews, metadata, request.recipe, request.show_progress)


def _online_retail(source: Source, request: Request) -> Prepared:
    if request.raw is not None and request.raw.is_file():
        return prepare_online_retail(source, request.raw, request.recipe)
    (table,) = _raw_files(source, request, (source.entry["table"],))
    return prepare_online_retail(source, table, request.recipe)


def _movielens(source: Source, request: Request) -> Prepared:
    entry = source.entry["sets"][source.name]
    folder = request.raw or sources.raw_folder(request.data_path, source.name)
    files = [below(folder, entry[kind]) for kind in ("ratings", "movies")]
    if None in files:
        raise DataError(
            f"{source.name} is read from GroupLens' own files {entry['ratings']} and {entry['movies']}: download "
            f"{source.addresses[0]}{entry['archive']}, unpack it into {folder}/ (or give --raw=FOLDER), and run the "
            "same command again"
        )
    return prepare_movielens(source, *files, request.recipe)


_PREPARERS = {
    "amazon-2018": _amazon,
    "amazon-2023": _amazon,
    "online-retail": _online_retail,
    "movielens": _movielens,
}


def _raw_files(source: Source, request: Request, files: tuple[str, ...]) -> list[Path]:
    """Return the files of ``--raw`` by name, or else downloaded files."""
    if request.raw is None:
        return downloaded(source, files, request.data_path, request.source_url, request.show_progress)
    return local_files(request.raw, source, files)

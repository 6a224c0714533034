"""All categories of Amazon's reviews of 2018 as one dataset: ``prepare Amazon-2018-all``.

The files are those of each category (``properties/sources.yaml``): reviews with ratings alone, or the whole reviews as
JSON, and metadata. Source: Ni, Li and McAuley, EMNLP 2019; as one dataset: SRT (SIGIR 2024).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from recbole_mpo.common.errors import ConfigError, DataError
from recbole_mpo.common.values import suggestion
from recbole_mpo.data.prepare import amazon, raw_files
from recbole_mpo.data.prepare.large.item_text_table import keep_texts
from recbole_mpo.data.prepare.large.large_dataset import LargeDataset
from recbole_mpo.data.prepare.large.large_preparation import LargePreparation
from recbole_mpo.data.prepare.large.raw_tables import BlockRows, Raw
from recbole_mpo.data.prepare.raw_rows import Columns, UsableRows, WholeIds
from recbole_mpo.data.prepare.sources import Source
from recbole_mpo.data.prepare.table_files import Table

# The columns of whole reviews, which have the names of Amazon's own fields.
WHOLE_REVIEWS = Columns("reviewerID", "asin", "unixReviewTime", ("overall",), rating="overall")
NOTES = (
    *amazon.NOTES,
    "A review that is in several categories counts once.",
    "An item has its first text, in the order of the categories.",
)
HELD_OUT_NOTE = (
    "Users of held-out categories go whatever their ratings are: until then all reviews of these categories count."
)


@dataclass(frozen=True)
class Category:
    """A category and its files.

    Attributes:
        name: name of the dataset of this category alone.
        reviews, metadata: its files.
    """

    name: str
    reviews: Path
    metadata: Path


def find_categories(
    source: Source, names: tuple[str, ...], raw: Path | None, fetch: Callable[[tuple[str, ...]], list[Path]]
) -> list[Category]:
    """Return categories with their files: those in ``raw``, or else downloaded ones.

    Args:
        source: the source of all categories.
        names: names of categories; all of them if there are none.
        raw: folder with the files; None downloads them.
        fetch: downloads files, whose paths are relative to an address of the source, and returns where they are.

    Raises:
        ConfigError: a category is unknown.
        DataError: files are missing.
    """
    chosen = {name: source.entry["categories"][name] for name in check_names(source, "categories", names)}
    wanted = {
        name: tuple(source.entry[kind].format(category=category) for kind in ("reviews", "metadata"))
        for name, category in chosen.items()
    }
    if raw is None:
        files = [file for pair in wanted.values() for file in pair]
        paths = iter(fetch(tuple(files)))
        return [Category(name, next(paths), next(paths)) for name in wanted]
    paths = {name: [_local(raw, file) for file in pair] for name, pair in wanted.items()}
    missing = [
        file for name, pair in wanted.items() for file, path in zip(pair, paths[name], strict=True) if path is None
    ]
    if missing:
        listed = ", ".join(missing[:4]) + (f" and {len(missing) - 4:,} more" if len(missing) > 4 else "")
        raise DataError(
            f"--raw={raw} lacks {len(missing):,} of the {2 * len(wanted):,} files of {source.name}: {listed}; get them "
            f"from {source.addresses[0]}, or name the categories that are there, as --categories=Beauty,Games"
        )
    return [Category(name, *pair) for name, pair in paths.items()]


def check_names(source: Source, key: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of categories, all of them if none is given.

    Raises:
        ConfigError: a name is unknown or stands twice.
    """
    known = list(source.entry["categories"])
    for name in names:
        if name not in known:
            raise ConfigError(
                f"{key}: {name!r} is not a category{suggestion(name, known)}; they are {', '.join(known)}"
            )
        if names.count(name) > 1:
            raise ConfigError(f"{key}: {name} stands twice")
    return names or tuple(known)


def _local(folder: Path, file: str) -> Path | None:
    """Return a category's file in a folder; whole reviews serve instead of ratings alone."""
    name = Path(file).name
    return raw_files.local(folder, name) or (
        raw_files.local(folder, f"{Path(name).stem}.json.gz") if name.endswith(".csv") else None
    )


@dataclass(frozen=True)
class CategoryUnion:
    """Makes one dataset of several categories.

    Attributes:
        preparation: the database and the recipe.
        source: the source of all categories.
        categories: those to join, in order.
        held_out: names of categories whose users are left out, with all of their reviews.
    """

    preparation: LargePreparation
    source: Source
    categories: list[Category]
    held_out: tuple[str, ...] = ()

    def dataset(self) -> LargeDataset:
        """Return the dataset.

        Raises:
            DataError: a file is damaged, or no interaction is left.
        """
        prepare, source = self.preparation, self.source
        raw, places = self._read()
        remarks = prepare.code(raw)
        self._hold_out(places)
        selection = prepare.select(raw, amazon.DIFFERENT)
        records = (
            record
            for category in self.categories
            for record in amazon.metadata_records(source, category.metadata, prepare.show_progress)
        )
        remarks += keep_texts(prepare.database, records, source.entry["text_fields"], only_items=True)
        first = self.categories[0]
        prepare.keep_described(selection, source, first.reviews, first.metadata)
        if self.held_out:
            what = f"reviews of users without one in {' or '.join(self.held_out)}"
            selection.keep("u NOT IN (SELECT u FROM held_out)", what)
        files = tuple(file for category in self.categories for file in (category.reviews, category.metadata))
        notes = (*NOTES, f"Categories: {', '.join(category.name for category in self.categories)}.")
        if self.held_out and prepare.recipe.min_rating is not None:
            notes += (HELD_OUT_NOTE,)
        return prepare.of_reviews(source, selection, files, notes, remarks)

    def _read(self) -> tuple[Raw, dict[str, tuple[int, int]]]:
        """Return the reviews of all categories, and the first place and the end of each category's."""
        # Ratings are 5.0 in one form and 5 in the other.
        rows, places = BlockRows(self.preparation.database, WholeIds()), {}
        least, folder = self.preparation.recipe.min_rating, Table(self.categories[0].reviews.parent)
        total = UsableRows(folder, WHOLE_REVIEWS, least)
        for category in self.categories:
            # A small rating is a review too, and those of its user all go later.
            own_least = None if category.name in self.held_out else least
            usable = UsableRows(*review_table(self.source, category.reviews), own_least)
            begin = rows.count
            rows.add(usable)
            places[category.name] = (begin, rows.count)
            for count in ("read", "usable", "kept"):
                setattr(total, count, getattr(total, count) + getattr(usable, count))
        rows.finish()
        steps = total.steps(f"rows of {len(self.categories):,} files of reviews")
        return Raw(WHOLE_REVIEWS, folder.path, steps), places

    def _hold_out(self, places: dict[str, tuple[int, int]]):
        """Make ``held_out`` of the users with a review in a category that is held out, before repeated ones go."""
        if not self.held_out:
            return
        ranges = [places[name] for name in self.held_out]
        conditions = " OR ".join(f"place >= {begin} AND place < {end}" for begin, end in ranges)
        self.preparation.database.run(f"CREATE TABLE held_out AS SELECT DISTINCT u FROM coded WHERE {conditions}")


def review_table(source: Source, path: Path) -> tuple[Table, Columns]:
    """Return a category's reviews, in either form, and the columns."""
    if Table(path).suffix == ".csv":
        return amazon.review_table(source, path)
    return Table(path), WHOLE_REVIEWS

"""Amazon reviews of 2018 and 2023, prepared as UniSRec's authors did.

Sources: Ni, Li and McAuley, EMNLP 2019; Hou et al., 2024. Steps: Hou et al. (UniSRec), KDD 2022; docs/data.md.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from tqdm import tqdm

from recbole_mpo.common.errors import DataError
from recbole_mpo.data.prepare.item_texts import FirstTexts, TextSpool
from recbole_mpo.data.prepare.prepared import Prepared
from recbole_mpo.data.prepare.raw_rows import Columns, read_interactions
from recbole_mpo.data.prepare.recipe import Recipe
from recbole_mpo.data.prepare.sources import Source
from recbole_mpo.data.prepare.table_files import Table, json_lines

NOTES = (
    "Reviews that are equal in user, item, rating and time count once.",
    "Reviews with equal times keep the order of the review file; in UniSRec's own files their order is random.",
)

# What the steps of a preparation keep.
DIFFERENT = "reviews that differ in user, item, rating or time"
WITH_METADATA = "reviews of items with metadata"


def file_names(source: Source) -> tuple[str, str]:
    """Return the paths of reviews and metadata, relative to an address."""
    category = source.entry["categories"][source.name.removesuffix("-2023")]
    return tuple(source.entry[kind].format(category=category) for kind in ("reviews", "metadata"))


def prepare_amazon(source: Source, reviews: Path, metadata: Path, recipe: Recipe, show_progress=True) -> Prepared:
    """Return a category's reviews and the texts of its items.

    Raises:
        DataError: a file is missing, damaged or in another format, or no interaction is left.
    """
    interactions, ratings = read_interactions(*review_table(source, reviews), recipe.min_rating)
    interactions = interactions.without_duplicates(*ratings, what=DIFFERENT)
    numbers = {token: number for number, token in enumerate(interactions.item_tokens)}
    texts, remarks = _item_texts(source, metadata, numbers, show_progress)
    if not texts.present.any():
        refuse_textless_reviews(source, reviews, metadata, len(interactions.item_tokens), interactions.item_tokens[0])
    interactions = interactions.where(texts.present[interactions.items], WITH_METADATA)
    interactions = recipe.apply(interactions)
    items = (numbers[token] for token in interactions.item_tokens)
    return Prepared(
        source.name, interactions, list(texts.texts(items)), (reviews, metadata), source, NOTES, {}, remarks
    )


def refuse_textless_reviews(source: Source, reviews: Path, metadata: Path, items: int, first: str):
    """Refuse metadata that describe none of the items with reviews, of which there are so many.

    Raises:
        DataError: always.
    """
    raise DataError(
        f"{metadata} has none of the {items:,} items of {reviews}: no {source.entry['item_field']} is the first item, "
        f"{first!r}; give two files of the same category and release"
    )


def review_table(source: Source, path: Path) -> tuple[Table, Columns]:
    """Return the file of reviews and its columns."""
    if source.entry["reviews"].endswith(".csv"):
        # The file has no header.
        return Table(path, names=("item", "user", "rating", "time")), Columns(
            "user", "item", "time", ("rating",), rating="rating"
        )
    return Table(path), Columns("user_id", "parent_asin", "timestamp", ("rating",), rating="rating")


def _item_texts(
    source: Source, path: Path, numbers: dict[str, int], show_progress: bool
) -> tuple[TextSpool, tuple[str, ...]]:
    """Return the texts of the items with interactions, by their ``numbers``, and remarks about them."""
    texts = FirstTexts(TextSpool(len(numbers)), source.entry["text_fields"])
    for item, record in metadata_records(source, path, show_progress):
        number = numbers.get(item)
        if number is not None:
            texts.add(number, record)
    return texts.kept, texts.remarks()


def metadata_records(source: Source, path: Path, show_progress: bool) -> Iterator[tuple[str, dict]]:
    """Yield the item and the fields of each record of a file of metadata.

    Raises:
        DataError: the file is missing or damaged.
    """
    records: Iterable[dict] = json_lines(path)
    for record in tqdm(records, desc=path.name, unit="item", disable=not show_progress, leave=False):
        yield str(record.get(source.entry["item_field"])), record

"""Prepares a user's own tables: interactions, and items with columns that describe them."""

from collections.abc import Iterator
from dataclasses import dataclass

from recbole_mpo.common.errors import DataError
from recbole_mpo.data.prepare.item_texts import FirstTexts
from recbole_mpo.data.prepare.prepared import Prepared
from recbole_mpo.data.prepare.raw_rows import Columns, WholeIds, check_tokens, read_interactions
from recbole_mpo.data.prepare.recipe import Recipe
from recbole_mpo.data.prepare.table_files import Table

NOTES = ("Rows that are equal in user, item and time count once.", "Rows with equal times keep the order of the file.")
DIFFERENT = "rows that differ in user, item or time"
ORDER_NOTES = ("The times are the numbers of the rows, because the order of the file is the order of time.",)


@dataclass(frozen=True)
class OwnTables:
    """The tables with a user's data, and their columns.

    Attributes:
        interactions: table with one row per interaction.
        columns: its columns for user, item and time.
        items: table with one row per item, which may be the same file; None without texts.
        item_column: the item's column in ``items``; by default the same as in ``interactions``.
        text_fields: the columns of ``items`` that make the text, in this order.
    """

    interactions: Table
    columns: Columns
    items: Table | None = None
    item_column: str | None = None
    text_fields: tuple[str, ...] = ()


def prepare_own(name: str, tables: OwnTables, recipe: Recipe) -> Prepared:
    """Return interactions, and texts of all items, also of items without interactions, which can be recommended.

    Raises:
        DataError: a file or column is missing or unusable, no interaction is left, or no item has a text.
    """
    interactions, _ = read_interactions(tables.interactions, tables.columns, recipe.min_rating)
    notes = ORDER_NOTES
    if tables.columns.time is not None:
        notes = NOTES
        interactions = interactions.without_duplicates(what=DIFFERENT)
    interactions = recipe.apply(interactions)
    paths = [tables.interactions.path]
    if tables.items is None:
        return Prepared(name, interactions, None, tuple(paths), None, notes)
    if tables.items.path != paths[0]:
        paths.append(tables.items.path)
    text_of, remarks = _read_texts(tables)
    texts = [text_of.pop(token, "") for token in interactions.item_tokens]
    if not any(texts):
        refuse_textless(tables, len(texts), interactions.item_tokens[0], next(iter(text_of), None))
    return Prepared(name, interactions, texts, tuple(paths), None, notes, text_of, remarks)


def refuse_textless(tables: OwnTables, items: int, first: str, described: str | None):
    """Refuse tables in which no item with interactions has a text.

    Args:
        tables: the tables.
        items: number of items with interactions.
        first: one of them.
        described: an item of the table of items; None if it has none.

    Raises:
        DataError: always.
    """
    raise DataError(
        f"none of the {items:,} items of {tables.interactions.path} has a text in {tables.items.path}: the first item "
        f"is {first!r} in one and {described!r} in the other; give the right --item_column"
    )


def item_records(tables: OwnTables, whole: WholeIds) -> Iterator[tuple[str, dict]]:
    """Yield the item and the fields of each row of the table of items.

    Raises:
        DataError: the table cannot be read, or an item's name would break the lines of a file.
    """
    column = tables.item_column or tables.columns.item
    for block in tables.items.blocks((column, *tables.text_fields), nested=tables.text_fields):
        block = block.dropna(subset=[column])
        check_tokens(block[column].to_numpy(), f"{tables.items.path}, column {column!r}")
        yield from ((whole(record[column]), record) for record in block.to_dict("records"))


def id_remarks(tables: OwnTables, whole: WholeIds) -> tuple[str, ...]:
    """Return remarks about the ids in the table of items, unless those of the interactions say it."""
    return () if tables.items.path == tables.interactions.path else whole.remarks(tables.items.path.name)


def _read_texts(tables: OwnTables) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the texts by item, and remarks about them."""
    text_of: dict[str, str] = {}
    first, whole = FirstTexts(text_of, tables.text_fields), WholeIds()
    for item, record in item_records(tables, whole):
        first.add(item, record)
    return text_of, (*id_remarks(tables, whole), *first.remarks())

"""Prepares a user's own tables: interactions, and items with columns that describe them."""

from dataclasses import dataclass

from recbole_mpo.common.errors import DataError
from recbole_mpo.data.prepare.item_texts import FirstTexts
from recbole_mpo.data.prepare.prepared import Prepared
from recbole_mpo.data.prepare.raw_rows import Columns, WholeIds, check_tokens, read_interactions
from recbole_mpo.data.prepare.recipe import Recipe
from recbole_mpo.data.prepare.table_files import Table

NOTES = ("Rows that are equal in user, item and time count once.", "Rows with equal times keep the order of the file.")
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
        interactions = interactions.without_duplicates(what="rows that differ in user, item or time")
    interactions = recipe.apply(interactions)
    paths = [tables.interactions.path]
    if tables.items is None:
        return Prepared(name, interactions, None, tuple(paths), None, notes)
    if tables.items.path != paths[0]:
        paths.append(tables.items.path)
    text_of, remarks = _read_texts(tables)
    texts = [text_of.pop(token, "") for token in interactions.item_tokens]
    if not any(texts):
        raise DataError(
            f"none of the {len(texts):,} items of {paths[0]} has a text in {tables.items.path}: the first item is "
            f"{interactions.item_tokens[0]!r} in one and {next(iter(text_of), None)!r} in the other; give the right "
            "--item_column"
        )
    return Prepared(name, interactions, texts, tuple(paths), None, notes, text_of, remarks)


def _read_texts(tables: OwnTables) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the texts by item, and remarks about them."""
    column = tables.item_column or tables.columns.item
    text_of: dict[str, str] = {}
    first, whole = FirstTexts(text_of, tables.text_fields), WholeIds()
    for block in tables.items.blocks((column, *tables.text_fields), nested=tables.text_fields):
        block = block.dropna(subset=[column])
        check_tokens(block[column].to_numpy(), f"{tables.items.path}, column {column!r}")
        for record in block.to_dict("records"):
            first.add(whole(record[column]), record)
    own_ids = () if tables.items.path == tables.interactions.path else whole.remarks(tables.items.path.name)
    return text_of, (*own_ids, *first.remarks())

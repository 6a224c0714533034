"""A user's own tables: interactions, and items with the columns that describe them."""

from dataclasses import dataclass

from recbole_mpo.common.errors import DataError
from recbole_mpo.data.prepare.prepared import Prepared
from recbole_mpo.data.prepare.raw_rows import Columns, check_tokens, read_interactions
from recbole_mpo.data.prepare.recipe import Recipe
from recbole_mpo.data.prepare.table_files import Table
from recbole_mpo.text.sentences import item_sentence

NOTES = ("Rows equal in user, item and time count once.", "Equal times keep the order of the file.")


@dataclass(frozen=True)
class OwnTables:
    """Where a user's data stand.

    Attributes:
        interactions: one row per interaction.
        columns: its user, item and time.
        items: one row per item, with the column ``columns.item`` or ``item_column``; may be the same file.
        text_fields: the item columns that make its text, in this order.
    """

    interactions: Table
    columns: Columns
    items: Table | None = None
    item_column: str | None = None
    text_fields: tuple[str, ...] = ()


def prepare_own(name: str, tables: OwnTables, recipe: Recipe) -> Prepared:
    """Return interactions and texts of all items, also of those without interactions (they can be recommended).

    Raises:
        DataError: a file or column is missing or unusable, nothing is left, or no item has a text.
    """
    interactions, _ = read_interactions(tables.interactions, tables.columns)
    interactions = recipe.apply(interactions.without_duplicates(what="rows that differ in user, item or time"))
    paths = [tables.interactions.path]
    if tables.items is None:
        return Prepared(name, interactions, None, tuple(paths), None, NOTES)
    if tables.items.path != paths[0]:
        paths.append(tables.items.path)
    text_of = _read_texts(tables)
    texts = [text_of.pop(token, "") for token in interactions.item_tokens]
    if not any(texts):
        raise DataError(
            f"not one of the {len(texts):,} items of {paths[0]} has a text in {tables.items.path}: the first is called "
            f"{interactions.item_tokens[0]!r} there, {next(iter(text_of), None)!r} here; give the right --item_column"
        )
    return Prepared(name, interactions, texts, tuple(paths), None, NOTES, text_of)


def _read_texts(tables: OwnTables) -> dict[str, str]:
    """Return the texts by item; an item's first row counts."""
    column = tables.item_column or tables.columns.item
    text_of: dict[str, str] = {}
    for block in tables.items.blocks((column, *tables.text_fields), keep_lists=True):
        block = block.dropna(subset=[column])
        check_tokens(block[column].to_numpy(), f"{tables.items.path}, column {column!r}")
        for record in block.to_dict("records"):
            text_of.setdefault(record[column], item_sentence(record, tables.text_fields))
    return text_of

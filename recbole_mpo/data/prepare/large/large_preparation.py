"""Prepares a user's own tables and Amazon's reviews in a database, step for step as the small path does in memory."""

from dataclasses import dataclass
from pathlib import Path

from recbole_mpo.data.prepare import amazon, own_tables
from recbole_mpo.data.prepare.large.database import Database
from recbole_mpo.data.prepare.large.item_text_table import forget_other_texts, keep_texts
from recbole_mpo.data.prepare.large.large_dataset import LargeDataset
from recbole_mpo.data.prepare.large.numbering import number_users_and_items
from recbole_mpo.data.prepare.large.raw_tables import Raw, read_raw
from recbole_mpo.data.prepare.large.selection import Selection
from recbole_mpo.data.prepare.large.token_tables import code_tokens, part_bounds
from recbole_mpo.data.prepare.own_tables import OwnTables
from recbole_mpo.data.prepare.raw_rows import WholeIds
from recbole_mpo.data.prepare.recipe import Recipe
from recbole_mpo.data.prepare.sources import Source


@dataclass(frozen=True)
class LargePreparation:
    """Makes datasets of raw rows.

    Attributes:
        database: an empty database.
        recipe: which interactions are kept.
        parts: number of parts of users.
        show_progress: whether to show progress bars.
    """

    database: Database
    recipe: Recipe
    parts: int
    show_progress: bool = True

    def own(self, name: str, tables: OwnTables) -> LargeDataset:
        """Return a dataset of a user's own tables, equal to that of ``prepare_own``.

        Raises:
            DataError: as ``prepare_own``.
        """
        raw = read_raw(self.database, tables.interactions, tables.columns, self.recipe.min_rating)
        is_timed = tables.columns.time is not None
        remarks = self.code(raw)
        selection = self.select(raw, own_tables.DIFFERENT if is_timed else None)
        selection.apply(self.recipe)
        counts = (*number_users_and_items(self.database), selection.count)
        if tables.items is not None:
            remarks += self._own_texts(tables, counts[1])
        paths = (tables.interactions.path, *([tables.items.path] if tables.items is not None else []))
        notes = own_tables.NOTES if is_timed else own_tables.ORDER_NOTES
        return self.dataset(name, None, tuple(dict.fromkeys(paths)), selection, counts, notes, remarks)

    def amazon(self, source: Source, reviews: Path, metadata: Path) -> LargeDataset:
        """Return a category's dataset, equal to that of ``prepare_amazon``.

        Raises:
            DataError: as ``prepare_amazon``.
        """
        table, columns = amazon.review_table(source, reviews)
        raw = read_raw(self.database, table, columns, self.recipe.min_rating)
        remarks = self.code(raw)
        selection = self.select(raw, amazon.DIFFERENT)
        records = amazon.metadata_records(source, metadata, self.show_progress)
        remarks += keep_texts(self.database, records, source.entry["text_fields"], only_items=True)
        self.keep_described(selection, source, reviews, metadata)
        return self.of_reviews(source, selection, (reviews, metadata), amazon.NOTES, remarks)

    def code(self, raw: Raw) -> tuple[str, ...]:
        """Number the users and items of ``raw``, and return remarks about their ids."""
        return code_tokens(self.database, raw, self.parts)

    def select(self, raw: Raw, different: str | None) -> Selection:
        """Return the coded rows of ``raw``.

        Args:
            raw: what was read.
            different: what the rows are that stay when repeated ones are dropped; None keeps all.
        """
        selection = Selection(self.database, list(raw.steps))
        if different is None:
            selection.take_all()
        else:
            selection.take_different(part_bounds(self.database, self.parts), different)
        return selection

    def keep_described(self, selection: Selection, source: Source, reviews: Path, metadata: Path):
        """Keep the reviews of items that have a text.

        Raises:
            DataError: there are none.
        """
        if not self.database.value("SELECT count(*) FROM texts"):
            first = self.database.value("SELECT token FROM rows JOIN items USING (i) ORDER BY place LIMIT 1")
            items = self.database.value("SELECT count(*) FROM items")
            amazon.refuse_textless_reviews(source, reviews, metadata, items, first)
        selection.keep("i IN (SELECT i FROM items JOIN texts USING (token))", amazon.WITH_METADATA)

    def of_reviews(self, source: Source, selection: Selection, files, notes, remarks) -> LargeDataset:
        """Return the dataset of the reviews that the recipe keeps, with the texts of their items alone.

        Raises:
            DataError: no interaction is left.
        """
        selection.apply(self.recipe)
        counts = (*number_users_and_items(self.database), selection.count)
        forget_other_texts(self.database)
        return self.dataset(source.name, source, files, selection, counts, notes, remarks)

    def dataset(self, name, source, paths, selection: Selection, counts, notes, remarks) -> LargeDataset:
        """Return a dataset of the rows that are left."""
        has_texts = bool(self.database.value("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'texts'"))
        steps = tuple(selection.steps)
        return LargeDataset(name, self.database, counts, has_texts, paths, source, steps, notes, remarks)

    def _own_texts(self, tables: OwnTables, items: int) -> tuple[str, ...]:
        """Read the texts of a user's own items, and return remarks about them."""
        whole, database = WholeIds(), self.database
        records = own_tables.item_records(tables, whole)
        remarks = keep_texts(database, records, tables.text_fields, only_items=False)
        described = "FROM item_numbers JOIN items USING (i) JOIN texts USING (token)"
        if not database.value(f"SELECT count(*) {described} WHERE text <> ''"):
            first = database.value("SELECT token FROM item_numbers JOIN items USING (i) WHERE number = 0")
            # The items of the interactions were looked up, and are not among those that are left.
            others = f"SELECT token FROM texts WHERE token NOT IN (SELECT token {described}) ORDER BY first LIMIT 1"
            own_tables.refuse_textless(tables, items, first, (database.row(others) or (None,))[0])
        return (*own_tables.id_remarks(tables, whole), *remarks)

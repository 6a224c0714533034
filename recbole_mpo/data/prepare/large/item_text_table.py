"""The texts of items in a database: an item's first text that says something, as ``item_texts.py`` keeps in memory.

Table ``texts`` (``token``, ``text``, ``first``): ``first`` is the place of the item's first record.
"""

from collections.abc import Iterable, Iterator
from itertools import islice

from recbole_mpo.data.prepare.item_texts import FirstTexts, storable
from recbole_mpo.data.prepare.large.database import Database
from recbole_mpo.data.prepare.shards import import_pyarrow
from recbole_mpo.text.item_text import is_missing
from recbole_mpo.text.sentences import item_sentence

RECORDS_PER_BLOCK = 50_000
# Larger than any place: texts without a letter or digit come after all others.
_LAST = 2**62
_PRESENT = "SELECT token FROM item_numbers JOIN items USING (i)"


def keep_texts(
    database: Database, records: Iterable[tuple[str, dict]], fields: tuple[str, ...], only_items: bool
) -> tuple[str, ...]:
    """Make ``texts`` of records.

    Args:
        database: where the table is made.
        records: items, each with the fields of a record, in order; an item may occur several times.
        fields: the fields that make the text, in this order.
        only_items: whether records of items that are not in ``items`` are left out.

    Returns:
        Remarks about texts that were left out.
    """
    first = FirstTexts({}, fields)
    records, places = iter(records), 0
    database.run("CREATE TABLE all_texts (token VARCHAR, text VARCHAR, is_missing BOOLEAN, place BIGINT)")
    while block := list(islice(records, RECORDS_PER_BLOCK)):
        if only_items:
            block = _of_items(database, block)
        sentences = [(item, item_sentence(record, first.fields, first.too_long)) for item, record in block]
        _insert(database, sentences, places)
        places += len(block)
    database.run(
        f"CREATE TABLE texts AS SELECT token, arg_min(text, place + CASE WHEN is_missing THEN {_LAST} ELSE 0 END) AS "
        "text, min(place) AS first FROM all_texts GROUP BY token"
    )
    first.contradictions = database.value(
        "SELECT count(*) FROM all_texts JOIN texts USING (token) WHERE NOT is_missing AND all_texts.text <> texts.text"
    )
    database.run("DROP TABLE all_texts")
    return first.remarks()


def _of_items(database: Database, block: list[tuple[str, dict]]) -> list[tuple[str, dict]]:
    """Return the records of items that are in ``items``."""
    tokens = sorted({storable(item) for item, _ in block})
    with database.view("block", import_pyarrow().table({"token": tokens})):
        present = {token for (token,) in database.rows("SELECT token FROM items JOIN block USING (token)")}
    return [(item, record) for item, record in block if item in present]


def _insert(database: Database, sentences: list[tuple[str, str]], places: int):
    pyarrow = import_pyarrow()
    columns = {
        "token": pyarrow.array([item for item, _ in sentences], pyarrow.string()),
        "text": pyarrow.array([storable(text) for _, text in sentences], pyarrow.string()),
        "is_missing": pyarrow.array([is_missing(text) for _, text in sentences], pyarrow.bool_()),
        "place": pyarrow.array(range(places, places + len(sentences)), pyarrow.int64()),
    }
    with database.view("block", pyarrow.table(columns)):
        database.run("INSERT INTO all_texts SELECT * FROM block")


def forget_other_texts(database: Database):
    """Drop the texts of items without interactions."""
    database.run(f"DELETE FROM texts WHERE token NOT IN ({_PRESENT})")


def texts_in_order(database: Database) -> Iterator[tuple[str, str]]:
    """Yield token and text of each item with interactions, by number; "" for an item without text."""
    query = (
        "SELECT items.token, coalesce(text, '') AS text FROM item_numbers JOIN items USING (i) LEFT JOIN texts USING "
        "(token) ORDER BY number"
    )
    yield from _pairs(database, query)


def other_texts(database: Database) -> Iterator[tuple[str, str]]:
    """Yield token and text of each item without interactions, in the order of their first records."""
    yield from _pairs(database, f"SELECT token, text FROM texts WHERE token NOT IN ({_PRESENT}) ORDER BY first")


def _pairs(database: Database, query: str) -> Iterator[tuple[str, str]]:
    for batch in database.batches(query):
        yield from zip(*(batch.column(column).to_pylist() for column in ("token", "text")), strict=True)

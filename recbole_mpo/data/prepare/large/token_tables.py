"""Numbers users and items in a database, so that rows are numbers and names are stored once.

Tables: ``users`` (``u``, ``token``, ``part``), where the numbers of a part follow one another; ``items`` (``i``,
``token``); and ``coded`` (``u``, ``i``, ``t``, ``other``, ``place``), the rows of ``raw``.
"""

import numpy as np

from recbole_mpo.data.prepare.large.database import Database, literal
from recbole_mpo.data.prepare.large.raw_tables import Raw
from recbole_mpo.data.prepare.raw_rows import check_tokens, whole_id_remarks
from recbole_mpo.text.index_files import PAD

# As the small path reads ids: 1010.0 is 1010.
_IS_CHANGED = r"ends_with(written, '0') AND regexp_full_match(written, '-?\p{Nd}+\.0+')"
_TOKEN = f"CASE WHEN {_IS_CHANGED} THEN regexp_extract(written, '^[^.]+') ELSE written END"
# The table of the tokens of each column of ids.
_TABLES = {"user": "users", "item": "items"}


def code_tokens(database: Database, raw: Raw, parts: int) -> tuple[str, ...]:
    """Make ``users``, ``items`` and ``coded`` of ``raw``, which is deleted.

    Args:
        database: where ``raw`` is.
        raw: what was read.
        parts: number of parts of users.

    Returns:
        Remarks about ids that were read in another way than they are written.

    Raises:
        DataError: a token would break the lines or cells of an atomic file, or is the padding's name.
    """
    for column in _TABLES:
        database.run(f'CREATE TABLE written_{column} AS SELECT DISTINCT "{column}" AS written FROM raw')
        database.run(f"CREATE TABLE tokens_{column} AS SELECT DISTINCT {_TOKEN} AS token FROM written_{column}")
    columns = {"user": raw.columns.user, "item": raw.columns.item}
    for column, name in columns.items():
        _check_tokens(database, f"tokens_{column}", raw.place_of(name))
    part = f"('0x' || substr(md5(token), 1, 8))::UBIGINT % {parts}"
    _number(database, "users", "u", f"SELECT token, ({part})::INTEGER AS part FROM tokens_user", "part")
    _number(database, "items", "i", "SELECT token FROM tokens_item", "")
    changed, example = database.row(
        "SELECT count(*), min(written) FROM (SELECT written FROM written_user UNION SELECT written FROM written_item) "
        f"WHERE {_IS_CHANGED}"
    )
    _code_rows(database, bool(changed))
    return whole_id_remarks(changed, example or "", raw.where.name)


def _number(database: Database, table: str, number: str, query: str, order: str):
    over = f"ORDER BY {order}" if order else ""
    database.run(
        f"CREATE TABLE {table} AS SELECT (row_number() OVER ({over}) - 1)::INTEGER AS {number}, * FROM ({query})"
    )


def _code_rows(database: Database, is_changed: bool):
    joins = []
    for column, table in _TABLES.items():
        codes = table
        if is_changed:
            codes = f"(SELECT written, {table}.* FROM written_{column} JOIN {table} ON {_TOKEN} = token)"
        joins.append(f'JOIN {codes} AS {table} ON raw."{column}" = {table}.{"written" if is_changed else "token"}')
    database.run('CREATE TABLE coded AS SELECT u, i, "time" AS t, other, place FROM raw ' + " ".join(joins))
    database.run("DROP VIEW raw")
    former = (f"{kind}_{column}" for kind in ("written", "tokens") for column in _TABLES)
    for name in ("undecided", "time_values", *former):
        database.run(f"DROP TABLE IF EXISTS {name}")


def _check_tokens(database: Database, table: str, where: str):
    """Refuse tokens as the small path does."""
    bad = r"regexp_matches(token, '[\t\r\n\x00]') OR token = " + literal(PAD)
    tokens = [token for (token,) in database.rows(f"SELECT token FROM {table} WHERE {bad} LIMIT 100")]
    if tokens:
        check_tokens(np.array(tokens, dtype=object), where)


def part_bounds(database: Database, parts: int) -> list[tuple[int, int]]:
    """Return the first and the last number of the users of each part; (0, -1) for a part without users."""
    bounds = {
        part: (first, last)
        for part, first, last in database.rows("SELECT part, min(u), max(u) FROM users GROUP BY part")
    }
    return [bounds.get(part, (0, -1)) for part in range(parts)]

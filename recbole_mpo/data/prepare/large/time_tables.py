"""The times of rows in a database, as the small path reads them: decided once all rows are there.

A block of cells is whole numbers, numbers with fractions, numbers with more digits than float64 holds, or dates; what
the column becomes depends on all of them (``times.py``). Until then each kind has a column of its own.
"""

import numpy as np

from recbole_mpo.common.errors import DataError
from recbole_mpo.data.exact_times import exact_numbers
from recbole_mpo.data.prepare.large.database import Database
from recbole_mpo.data.prepare.shards import import_pyarrow
from recbole_mpo.data.prepare.times import UNITS, Times

# Whole numbers below this one are exact in float64.
EXACT = 2**53
KINDS = {"whole": "BIGINT", "float": "DOUBLE", "text": "VARCHAR", "date": "BIGINT"}
ROWS = '"user", item, other, place'


def create_times(database: Database):
    """Make the table of rows whose times are not decided yet."""
    kinds = ", ".join(f'"{kind}" {column_type}' for kind, column_type in KINDS.items())
    database.run(f'CREATE TABLE undecided ("user" VARCHAR, item VARCHAR, other INTEGER, place BIGINT, {kinds})')


def add_times(database: Database, columns: dict, cells: np.ndarray | None, times: Times):
    """Add rows to the table.

    Args:
        database: where the table is.
        columns: the other columns.
        cells: the cells of the time; None if the place is the time.
        times: reads the cells.
    """
    kind, values = ("whole", columns["place"]) if cells is None else times.read(cells)
    columns = {**columns, kind: values}
    names = ", ".join(f'"{name}"' for name in columns)
    with database.view("block", import_pyarrow().table(columns)):
        database.run(f"INSERT INTO undecided ({names}) SELECT {names} FROM block")


def settle_times(database: Database, times: Times):
    """Make ``raw`` of the table, with the column ``time``.

    Raises:
        DataError: different times are one number in 64 bits.
    """
    present = ", ".join(f'count("{kind}") > 0' for kind in ("date", "float", "text"))
    has_dates, has_floats, has_texts, is_exact = database.row(
        f"SELECT {present}, coalesce(max(abs(whole::DOUBLE)), 0) < {EXACT} FROM undecided"
    )
    if has_texts or (has_floats and not is_exact):
        _settle_exactly(database, times)
        return
    time = "whole"
    if has_dates:
        time = f'"date" // {largest_unit(database, "undecided", "date")}'
    elif has_floats:
        time = 'coalesce("float", whole::DOUBLE)'
    database.run(f'CREATE VIEW raw AS SELECT {ROWS}, {time} AS "time" FROM undecided')


def largest_unit(database: Database, relation: str, column: str) -> int:
    """Return the largest unit, in nanoseconds, in which all dates of a column are whole.

    Args:
        database: where they are.
        relation: a table, or a table and a condition.
        column: the column, in nanoseconds; it must have a row.
    """
    checks = ", ".join(f'bool_and("{column}" % {unit} = 0)' for unit in UNITS)
    are_whole = database.row(f"SELECT {checks} FROM {relation}")
    return next(unit for unit, is_whole in zip(UNITS, are_whole, strict=True) if is_whole)


def _settle_exactly(database: Database, times: Times):
    """Make ``raw`` with the numbers that the small path makes of all different times together."""
    kinds = [kind for kind in KINDS if kind != "date"]
    distinct = database.table("SELECT DISTINCT " + ", ".join(f'"{kind}"' for kind in kinds) + " FROM undecided")
    rows = zip(*(distinct.column(kind).to_pylist() for kind in kinds), strict=True)
    cells = np.array([next(cell for cell in row if cell is not None) for row in rows], dtype=object)
    try:
        values = exact_numbers(cells)
    except DataError as problem:
        raise DataError(f"{times.where}: {problem}") from problem
    with database.view("block", distinct.append_column("time", import_pyarrow().array(values))):
        database.run("CREATE TABLE time_values AS SELECT * FROM block")
    same = " AND ".join(f'undecided."{kind}" IS NOT DISTINCT FROM time_values."{kind}"' for kind in kinds)
    database.run(f'CREATE VIEW raw AS SELECT {ROWS}, "time" FROM undecided JOIN time_values ON {same}')

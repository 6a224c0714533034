"""Times of every kind and of all kinds at once become what the small path makes of them."""

import csv
import json

import numpy as np
import pytest
from both_engines import COLUMNS, compare, request_of

from recbole_mpo.data.prepare.table_files import Table

pytest.importorskip("duckdb")
pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


IDS = ["007", "7", "1e5", "100000", "NULL", "nan", "None", "true", "ü", "日本", 'say "x"', "a,b", " a", "a ", "1010.0",
       "1010", "-3.00", "٣.0", "'", "inf", "0x10", "\u2003x", "é", "e\u0301", "\\N", "#", "1_000"]  # fmt: skip
NASTY_TIMES = {
    "whole": ["5", "7", "-3", "1600000000000", " 8 ", "+9"],
    "digits": ["9007199254740993", "9007199254740992", "12", "9007199254740994"],
    "fractions": ["1.5", "2", "1.50", "1e3", "-0.0", "0", "1600000000.25"],
    "fine": ["1600000000.1234567", "1600000000.1234568", "1600000000.12345671", "3"],
    "dates": ["2020-01-01", "2020-01-01 12:00:00", "1969-12-31T23:59:59.5", "2020-02-03 04:05:06+02:00"],
    "micro": ["2020-01-01", "2020-01-01 12:00:00.000001"],
    "mixed": ["2020-01-01", "5"],
    "no number": ["nan", "5"],
    "words": ["yesterday", "5"],
    "large": ["99999999999999999999", "5", "18446744073709551615"],
    "infinite": ["inf", "5"],
}


def cells_of(draw, count, times):
    """Rows of nasty cells, some of them empty or blank."""
    rows = []
    for _ in range(count):
        user, item = (str(draw.choice(IDS[:12])), str(draw.choice(IDS)))
        moment = times[int(draw.integers(len(times)))]
        rows.append(
            [cell if draw.random() > 0.04 else draw.choice(["", "  ", "\u2003"]) for cell in (user, item, moment)]
        )
    return rows


@pytest.mark.parametrize("times", NASTY_TIMES)
@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_nasty_cells_are_read_alike(tmp_path, capsys, times, suffix):
    rows = cells_of(np.random.default_rng(len(times)), 300, NASTY_TIMES[times])
    path = tmp_path / f"rows.{suffix}"
    if suffix == "csv":
        with open(path, "w", newline="", encoding="utf-8-sig") as file:
            csv.writer(file).writerows([COLUMNS.needed, *rows])
    elif suffix == "jsonl":
        records = [dict(zip(COLUMNS.needed, row, strict=True)) for row in rows]
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
    else:
        columns = dict(zip(COLUMNS.needed, map(list, zip(*rows, strict=True)), strict=True))
        parquet.write_table(pyarrow.table(columns), path)
    result = compare("shop", request_of(tmp_path, table=Table(path)), capsys)
    is_refused = times in ("mixed", "no number", "words", "infinite") or (
        times == "large" and isinstance(result, tuple)
    )
    assert isinstance(result, tuple) == is_refused

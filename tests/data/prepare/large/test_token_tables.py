"""Tokens: whole numbers with a fraction of zero, what cannot be written, and the numbers of a part."""

import pytest
from both_engines import COLUMNS, DUCKDB, compare, parquet_file, request_of, write_csv

from recbole_mpo.data.prepare.large.database import open_database
from recbole_mpo.data.prepare.large.raw_tables import read_raw
from recbole_mpo.data.prepare.large.token_tables import code_tokens, part_bounds
from recbole_mpo.data.prepare.shards import part_of
from recbole_mpo.data.prepare.table_files import Table

pytest.importorskip("duckdb")


def test_ids_with_a_fraction_of_zero_are_whole_numbers_in_both_tables(tmp_path, capsys):
    write_csv(tmp_path, "1.0,2,3", "1,2.0,4", "1.00,x.0,5", "1.5,2,1", "-3.0,2,1")
    (tmp_path / "items.csv").write_text("item,title\n2.0,Cup\nx.0,Lamp\n2,Other\n")
    request = request_of(tmp_path, items=Table(tmp_path / "items.csv"), fields=("title",))
    assert "1\t2\t3\n1\t2\t4\n1\tx.0\t5\n" in compare("shop", request, capsys)
    assert (
        "4 ids of rows.csv are written like -3.0 and were read as -3."
        in (tmp_path / "data/parquet-duckdb/shop/README.md").read_text()
    )


def test_the_numbers_of_a_part_follow_one_another(tmp_path):
    tokens = [f"ü{number}" for number in range(200)]
    path = parquet_file(tmp_path / "a.parquet", user=tokens * 2, item=tokens[::-1] * 2, time=list(range(400)))
    with open_database(tmp_path, "a", DUCKDB) as database:
        assert code_tokens(database, read_raw(database, Table(path), COLUMNS, None), 7) == ()
        users = database.rows("SELECT u, token, part FROM users ORDER BY u")
        bounds = part_bounds(database, 7)
        rows = database.rows(
            "SELECT users.token, items.token, t FROM coded JOIN users USING (u) JOIN items USING (i) ORDER BY place"
        )
        assert part_bounds(database, 9)[7:] == [(0, -1)] * 2
    assert [u for u, _, _ in users] == list(range(200)) and {token for _, token, _ in users} == set(tokens)
    assert all(part == part_of(token, 7) and bounds[part][0] <= u <= bounds[part][1] for u, token, part in users)
    assert rows == list(zip(tokens * 2, tokens[::-1] * 2, range(400), strict=True))

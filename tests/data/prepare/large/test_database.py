"""The database: SQL in and rows out, errors in one line, and nothing left behind."""

import sys

import pytest

from recbole_mpo.common.errors import ConfigError, DataError, DependencyError
from recbole_mpo.data.prepare.engine import Engine
from recbole_mpo.data.prepare.large.database import identifier, literal, open_database

duckdb = pytest.importorskip("duckdb")
pyarrow = pytest.importorskip("pyarrow")
ENGINE = Engine("duckdb", "1GB", threads=1)


@pytest.fixture
def database(tmp_path):
    with open_database(tmp_path, "shop", ENGINE) as database:
        yield database


def test_rows_come_back_in_every_form(database):
    database.run("CREATE TABLE a AS SELECT range AS n FROM range(250)")
    assert database.value("SELECT sum(n) FROM a") == 31125 and database.row("SELECT n FROM a WHERE n < 0") is None
    assert database.rows("SELECT n FROM a ORDER BY n LIMIT 2") == [(0,), (1,)]
    assert database.table("SELECT n FROM a WHERE n < 3 ORDER BY n").column("n").to_pylist() == [0, 1, 2]
    batches = list(database.batches("SELECT n FROM a ORDER BY n", rows=100))
    assert [n for batch in batches for n in batch.column("n").to_pylist()] == list(range(250))
    with database.view("given", pyarrow.table({"n": [5, 6]})):
        assert database.value("SELECT sum(n) FROM given") == 11
    with pytest.raises(duckdb.CatalogException):
        database.run("SELECT * FROM given")


def test_names_and_texts_of_any_kind_are_quoted(database):
    for text in ("it's", 'a "b"', "--", "ü;"):
        assert database.value(f"SELECT {literal(text)}") == text
        assert database.table(f"SELECT 1 AS {identifier(text)}").column_names == [text]


def test_cells_that_cannot_be_converted_are_named(database):
    with pytest.raises(DataError, match=r"^a\.parquet, column 'n': Conversion Error: .*'x'.*; give numbers$"):
        with database.conversion("a.parquet, column 'n'", "numbers"):
            database.row("SELECT 'x'::BIGINT")
    with pytest.raises(duckdb.CatalogException), database.conversion("a", "b"):
        database.run("SELECT * FROM nothing")


def test_the_limits_are_the_databases(database):
    limits = dict(database.rows("SELECT name, value FROM duckdb_settings()"))
    assert limits["threads"] == "1" and limits["memory_limit"].startswith("466.") and "MiB" in limits["memory_limit"]
    assert limits["temp_directory"].endswith("/spilled") and limits["autoinstall_known_extensions"] == "false"


@pytest.mark.parametrize(
    "problem, error, message",
    [
        (
            lambda: duckdb.OutOfMemoryException("no\nroom"),
            ConfigError,
            r"memory_limit=1GB is too small .*\(no room\); give",
        ),
        (lambda: duckdb.IOException("disk"), DataError, "^shop: DuckDB cannot go on: disk$"),
        (lambda: DataError("other"), DataError, "^other$"),
        (lambda: KeyboardInterrupt(), KeyboardInterrupt, None),
    ],
)
def test_errors_are_one_line_and_the_folder_goes(tmp_path, problem, error, message):
    with pytest.raises(error, match=message), open_database(tmp_path, "shop", ENGINE) as database:
        database.run("CREATE TABLE a AS SELECT 1 AS n")
        assert len(list(tmp_path.iterdir())) == 1
        raise problem()
    assert not list(tmp_path.iterdir())


def test_a_database_that_cannot_be_made_is_one_line_too(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise duckdb.ParserException("value\nout of range")

    monkeypatch.setattr(duckdb, "connect", refuse)
    with pytest.raises(DataError, match="^shop: DuckDB cannot go on: value out of range$"):
        with open_database(tmp_path, "shop", ENGINE):
            pass
    assert not list(tmp_path.iterdir())


def test_the_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(DependencyError, match=r"needs duckdb; run: pip install 'recbole-mpo\[scale\]'"):
        with open_database(tmp_path, "shop", ENGINE):
            pass
    assert not list(tmp_path.iterdir())

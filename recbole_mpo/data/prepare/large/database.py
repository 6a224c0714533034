"""The database that holds a preparation's rows: in a scratch folder, within a limit of memory."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from recbole_mpo.common.errors import ConfigError, DataError, DependencyError
from recbole_mpo.data.prepare.engine import Engine
from recbole_mpo.data.prepare.scratch import scratch_folder
from recbole_mpo.data.prepare.shards import import_pyarrow

# Bytes of Python and its packages, and DuckDB's share of the rest; it does not count its allocator's, nor the tables
# that it hands over.
PYTHON_BYTES, DATABASE_SHARE = 300_000_000, 0.7


def literal(text) -> str:
    """Return a text as SQL, between quotes."""
    return "'" + str(text).replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Return the name of a column as SQL, between quotes."""
    return '"' + name.replace('"', '""') + '"'


class Database:
    """Runs SQL in a database in a folder.

    Args:
        folder: an empty folder, for the database and for what does not fit into memory.
        engine: its limit of memory, and its threads.

    Raises:
        DependencyError: DuckDB or pyarrow is not installed.
    """

    def __init__(self, folder: Path, engine: Engine):
        duckdb = _import_duckdb()
        import_pyarrow()
        settings = {
            "memory_limit": f"{int((engine.bytes - PYTHON_BYTES) * DATABASE_SHARE) // 10**6}MB",
            "temp_directory": str(folder / "spilled"),
            "preserve_insertion_order": "false",
            # Nothing is fetched from a network.
            "autoinstall_known_extensions": "false",
        }
        if engine.threads is not None:
            settings["threads"] = str(engine.threads)
        self._connection = duckdb.connect(str(folder / "rows.duckdb"), config=settings)
        self.run("SET enable_progress_bar = false")

    def run(self, sql: str):
        """Run a statement."""
        self._connection.execute(sql)

    def row(self, sql: str) -> tuple:
        """Return the first row of a query, or None."""
        # A result that is not read to its end would block the next statement.
        return next(iter(self.rows(sql)), None)

    def value(self, sql: str):
        """Return the first value of a query."""
        return self.row(sql)[0]

    def rows(self, sql: str) -> list[tuple]:
        """Return all rows of a query."""
        return self._connection.execute(sql).fetchall()

    def table(self, sql: str):
        """Return the result of a query as an Arrow table."""
        return self._connection.sql(sql).to_arrow_table()

    def batches(self, sql: str, rows: int = 100_000) -> Iterator:
        """Yield the result of a query as Arrow batches; no other statement may be run meanwhile."""
        yield from self._connection.sql(sql).to_arrow_reader(rows)

    @contextmanager
    def view(self, name: str, table):
        """Give an Arrow table a name in SQL while the block runs."""
        self._connection.register(name, table)
        try:
            yield
        finally:
            self._connection.unregister(name)

    @contextmanager
    def conversion(self, where: str, wanted: str):
        """Name the file and column of cells that the block cannot convert.

        Raises:
            DataError: there are some.
        """
        try:
            yield
        except _import_duckdb().ConversionException as problem:
            raise DataError(f"{where}: {_one_line(problem)}; give {wanted}") from problem

    def close(self):
        """Close the database."""
        self._connection.close()


@contextmanager
def open_database(data_path: Path, name: str, engine: Engine) -> Iterator[Database]:
    """Yield an empty database in a scratch folder in ``data_path``, which is deleted at the end, also after an error.

    Raises:
        ConfigError: the limit of memory is too small.
        DataError: DuckDB cannot read or write something.
        DependencyError: DuckDB or pyarrow is not installed.
    """
    duckdb = _import_duckdb()
    data_path.mkdir(parents=True, exist_ok=True)
    with scratch_folder(data_path, f".{name}.rows.") as folder:
        try:
            with closing(Database(folder, engine)) as database:
                yield database
        except duckdb.OutOfMemoryException as problem:
            raise ConfigError(
                f"memory_limit={engine.memory_limit} is too small for this preparation, or the disk of {data_path} is "
                f"full ({_one_line(problem)}); give more memory, fewer --threads, or a --data_path with more space"
            ) from problem
        except duckdb.Error as problem:
            raise DataError(f"{name}: DuckDB cannot go on: {_one_line(problem)}") from problem


def _import_duckdb():
    try:
        import duckdb
    except ImportError as problem:
        raise DependencyError("--engine=duckdb needs duckdb; run: pip install 'recbole-mpo[scale]'") from problem
    return duckdb


def _one_line(problem: Exception) -> str:
    return " ".join(str(problem).split())[:300]

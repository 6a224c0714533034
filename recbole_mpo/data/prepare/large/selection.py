"""Chooses rows in a database: drops what is repeated, and users and items with few interactions.

The table ``rows`` (``u``, ``i``, ``t``, ``place``) has the rows that are left.
"""

from dataclasses import dataclass, field

from recbole_mpo.data.prepare.large.database import Database
from recbole_mpo.data.prepare.recipe import Recipe, Step, core_step, length_step, refuse_nothing_left

# Rows are copied to a new table where at least this share goes, and else deleted where they are.
_COPIED_SHARE = 0.1


@dataclass
class Selection:
    """The rows of a database that are left, and the steps so far.

    Attributes:
        database: where ``rows`` are.
        steps: the steps.
        count: number of rows.
    """

    database: Database
    steps: list[Step] = field(default_factory=list)
    count: int = 0

    def take_all(self):
        """Make ``rows`` of all rows of ``coded``."""
        self.database.run("ALTER TABLE coded RENAME TO rows")
        self.count = self._count()

    def take_different(self, bounds: list[tuple[int, int]], what: str):
        """Make ``rows`` of the first of the rows of ``coded`` that are equal in all but their place.

        Args:
            bounds: first and last user of each part; one part at a time is looked at.
            what: what the rows that stay are.
        """
        database, before = self.database, self.database.value("SELECT count(*) FROM coded")
        database.run("CREATE TABLE rows AS SELECT u, i, t, place FROM coded LIMIT 0")
        for first, last in bounds:
            database.run(
                f"INSERT INTO rows SELECT u, i, t, min(place) FROM coded WHERE u BETWEEN {first} AND {last} "
                "GROUP BY u, i, t, other"
            )
        database.run("DROP TABLE coded")
        self.count = self._count()
        self.steps.append(Step(what, self.count, before - self.count))

    def keep(self, condition: str, what: str):
        """Keep the rows for which a condition is true, and add a step that says ``what`` they are."""
        before = self.count
        self._drop(f"NOT ({condition})")
        self.steps.append(Step(what, self.count, before - self.count))

    def apply(self, recipe: Recipe):
        """Keep what a recipe keeps.

        Raises:
            DataError: no row is left.
        """
        before = self.count
        if recipe.k_core > 1:
            self._k_core(recipe.k_core)
        if recipe.drops_short_users:
            least = recipe.min_length
            long = f"SELECT u FROM rows GROUP BY u HAVING count(*) >= {least}"
            self.keep(f"u IN ({long})", length_step(least))
        if not self.count:
            refuse_nothing_left(before, recipe)

    def _k_core(self, k: int):
        """Keep the largest part in which each user and each item has at least ``k`` rows.

        After the first count, the counts of those are corrected that had a row which went.
        """
        database, before = self.database, self.count
        for codes in ("u", "i"):
            database.run(f"CREATE TABLE count_{codes} AS SELECT {codes}, count(*) AS n FROM rows GROUP BY {codes}")
        present = [self._present(codes) for codes in ("u", "i")]
        while True:
            for codes in ("u", "i"):
                database.run(f"CREATE OR REPLACE TABLE rare_{codes} AS SELECT {codes} FROM count_{codes} WHERE n < {k}")
            database.run(
                "CREATE OR REPLACE TABLE gone AS SELECT u, i FROM rows WHERE u IN (SELECT u FROM rare_u) OR i IN "
                "(SELECT i FROM rare_i)"
            )
            gone = database.value("SELECT count(*) FROM gone")
            if not gone:
                break
            self._drop("u IN (SELECT u FROM rare_u) OR i IN (SELECT i FROM rare_i)", gone)
            for codes in ("u", "i"):
                database.run(
                    f"CREATE OR REPLACE TABLE count_{codes} AS SELECT {codes}, c.n - coalesce(g.n, 0) AS n FROM "
                    f"count_{codes} AS c LEFT JOIN (SELECT {codes}, count(*) AS n FROM gone GROUP BY {codes}) AS g "
                    f"USING ({codes}) WHERE c.n > coalesce(g.n, 0)"
                )
        left = [self._present(codes) for codes in ("u", "i")]
        self.steps.append(Step(core_step(k, present, left), self.count, before - self.count))

    def _present(self, codes: str) -> int:
        return self.database.value(f"SELECT count(*) FROM count_{codes}")

    def _drop(self, condition: str, dropped: int | None = None):
        """Delete the rows for which a condition is true."""
        database = self.database
        if dropped is None:
            dropped = database.value(f"SELECT count(*) FROM rows WHERE {condition}")
        if dropped < _COPIED_SHARE * self.count:
            database.run(f"DELETE FROM rows WHERE {condition}")
        else:
            database.run(f"CREATE TABLE left_rows AS SELECT * FROM rows WHERE NOT ({condition})")
            database.run("DROP TABLE rows")
            database.run("ALTER TABLE left_rows RENAME TO rows")
        self.count -= dropped

    def _count(self) -> int:
        return self.database.value("SELECT count(*) FROM rows")

"""Numbers the users and items of the rows that are left, in the order of the small path.

Users are numbered by their first row in the file; items by their first row when rows are sorted by user, time and
place. Tables: ``user_numbers`` (``u``, ``number``) and ``item_numbers`` (``i``, ``number``, ``interactions``).
"""

from recbole_mpo.data.prepare.large.database import Database


def number_users_and_items(database: Database) -> tuple[int, int]:
    """Make both tables of ``rows``.

    Returns:
        The numbers of users and of items.
    """
    database.run(
        "CREATE TABLE user_numbers AS SELECT u, row_number() OVER (ORDER BY first) - 1 AS number FROM "
        "(SELECT u, min(place) AS first FROM rows GROUP BY u)"
    )
    database.run(
        "CREATE TABLE first_users AS SELECT i, min(number) AS number, count(*) AS interactions FROM rows "
        "JOIN user_numbers USING (u) GROUP BY i"
    )
    # Only the rows of an item's first user can be its first one.
    database.run(
        "CREATE TABLE first_rows AS SELECT i, number, interactions, t, place FROM rows JOIN user_numbers USING (u) "
        "JOIN first_users USING (i, number) "
        "QUALIFY row_number() OVER (PARTITION BY i ORDER BY t, place) = 1"
    )
    database.run(
        "CREATE TABLE item_numbers AS SELECT i, (row_number() OVER (ORDER BY number, t, place) - 1)::INTEGER AS "
        "number, interactions FROM first_rows"
    )
    database.run("DROP TABLE first_users")
    database.run("DROP TABLE first_rows")
    return tuple(database.value(f"SELECT count(*) FROM {name}_numbers") for name in ("user", "item"))

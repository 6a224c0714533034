"""A user's own tables: the first row of an item describes it, and items nobody bought keep their text."""

import pytest

from recbole_mpo.common.errors import DataError
from recbole_mpo.data.prepare.own_tables import OwnTables, prepare_own
from recbole_mpo.data.prepare.raw_rows import Columns
from recbole_mpo.data.prepare.recipe import Recipe
from recbole_mpo.data.prepare.table_files import Table

COLUMNS = Columns("who", "sku", "when")
KEEP_ALL = Recipe(0, 1)


@pytest.fixture
def orders(tmp_path):
    rows = ["who,sku,when,title", "u,b,2,Lamp", "u,a,1,Cup", "u,a,1,Cup", "v,a,1,Other"]
    (tmp_path / "orders.csv").write_text("\n".join(rows) + "\n")
    return Table(tmp_path / "orders.csv")


def items_table(tmp_path, *rows, header="sku,title,brand"):
    (tmp_path / "items.csv").write_text("\n".join([header, *rows]) + "\n")
    return Table(tmp_path / "items.csv")


def test_interactions_texts_and_what_only_has_text(tmp_path, orders):
    items = items_table(tmp_path, "a,Cup,Acme", "a,Second,Acme", ",Nameless,x", "c,Never bought,", "b,Lamp,")
    prepared = prepare_own("shop", OwnTables(orders, COLUMNS, items, text_fields=("brand", "title")), KEEP_ALL)
    assert prepared.interactions.item_tokens.tolist() == ["a", "b"] and len(prepared.interactions) == 3
    assert prepared.texts == ["Acme. Cup.", "Lamp."] and prepared.other_texts == {"c": "Never bought."}
    assert [path.name for path in prepared.raw_files] == ["orders.csv", "items.csv"] and prepared.source is None
    assert [(step.what, step.dropped) for step in prepared.interactions.steps][1] == (
        "rows that differ in user, item or time",
        1,
    )


def test_texts_may_stand_among_the_interactions(orders):
    prepared = prepare_own("shop", OwnTables(orders, COLUMNS, orders, text_fields=("title",)), KEEP_ALL)
    assert prepared.texts == ["Cup.", "Lamp."] and prepared.other_texts == {}
    assert [path.name for path in prepared.raw_files] == ["orders.csv"]


def test_the_item_column_may_have_another_name(tmp_path, orders):
    items = items_table(tmp_path, "a,Cup", "b,Lamp", header="id,title")
    prepared = prepare_own("shop", OwnTables(orders, COLUMNS, items, "id", ("title",)), KEEP_ALL)
    assert prepared.texts == ["Cup.", "Lamp."]


def test_without_items_there_are_no_texts(orders):
    prepared = prepare_own("shop", OwnTables(orders, COLUMNS), KEEP_ALL)
    assert prepared.texts is None and prepared.statistics().mean_words is None


@pytest.mark.parametrize(
    "rows, message",
    [
        (
            ["x,Cup,"],
            r"none of the 2 items of .*orders\.csv has a text in .*items\.csv: the first item is 'a' in one and 'x' in "
            "the other",
        ),
        ([], r"none of the 2 items .* 'a' in one and None in the other; give the right --item_column"),
        (['"a\tb",Cup,'], r"items\.csv, column 'sku': 'a\\tb' contains a tab"),
    ],
)
def test_items_that_do_not_fit_are_refused(tmp_path, orders, rows, message):
    tables = OwnTables(orders, COLUMNS, items_table(tmp_path, *rows), text_fields=("title",))
    with pytest.raises(DataError, match=message):
        prepare_own("shop", tables, KEEP_ALL)

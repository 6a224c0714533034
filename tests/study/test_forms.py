"""Forms of a table: every row one line, every cell one column, whatever a text holds."""

import csv
import io

import pytest

from recbole_mpo.study.forms import FORMS, as_csv, as_markdown, as_text

ROWS = [{"model": "a", "test hit@10": "0.5"}, {"model": "longer", "test hit@10": "-0.25"}]


def test_markdown():
    assert as_markdown(ROWS) == "| model | test hit@10 |\n| --- | ---: |\n| a | 0.5 |\n| longer | -0.25 |\n"


def test_text():
    assert as_text(ROWS).splitlines() == ["          test", "model   hit@10", "a          0.5", "longer   -0.25"]


def test_csv():
    assert as_csv(ROWS) == "model,test hit@10\na,0.5\nlonger,-0.25\n"


@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "a\u2028b", "a\x1b]0;title\x07b", "a\x00b", "\ud800", "a\u202eb"])
@pytest.mark.parametrize("form", FORMS)
def test_a_cell_is_one_line_without_control_characters(form, text):
    table = FORMS[form]([{"model": text, "seed": "1"}])
    table.encode("utf-8")
    assert len(table.splitlines()) == len(FORMS[form]([{"model": "x", "seed": "1"}]).splitlines())
    assert all(character.isprintable() or character == "\n" for character in table)


@pytest.mark.parametrize(
    ("text", "shown"), [("a|b", r"a\|b"), ("a\\|b", r"a\\\|b"), ("a\nb", r"a\nb"), ("<b>x", "&lt;b>x")]
)
def test_markdown_escapes_its_own_signs(text, shown):
    assert as_markdown([{"model": text}]).splitlines()[2] == f"| {shown} |"


def test_csv_holds_no_formula():
    (row,) = csv.DictReader(io.StringIO(as_csv([{"model": "=cmd|'/c calc'!A1", "seed": "-7"}])))
    assert row == {"model": "'=cmd|'/c calc'!A1", "seed": "-7"}

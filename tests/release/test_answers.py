"""Answers: the same recommendations as text, JSON lines and CSV."""

import csv
import io
import json

import pytest

from recbole_mpo.release.answers import FORMATS, format_answers
from recbole_mpo.release.history_files import History
from recbole_mpo.release.recommend import Recommended

HISTORIES = [History("u, 1", ["a b", "c,d"]), History("2", ["e"])]
ANSWERS = [[Recommended("x y", 1 / 3, 'say "hi"'), Recommended("=cmd|x", -2.0, "two\nlines")], []]


class Echo:
    """Gives the answers above, cut to topk."""

    def recommend(self, histories, topk):
        assert histories == [history.items for history in HISTORIES]
        return [answer[:topk] for answer in ANSWERS]

    def as_text(self, history, recommended):
        return f"{history}: {[item.token for item in recommended]}"


def test_json_has_one_object_per_history_and_every_digit():
    first, second = map(json.loads, format_answers(Echo(), HISTORIES, form="json").splitlines())
    assert first["user_id"] == "u, 1" and first["items"] == ["a b", "c,d"]
    assert first["recommended"][0] == {"item_id": "x y", "score": 1 / 3, "title": 'say "hi"'}
    assert first["recommended"][1]["item_id"] == "=cmd|x" and first["recommended"][1]["title"] == "two\nlines"
    assert second == {"user_id": "2", "items": ["e"], "recommended": []}


def test_csv_has_a_header_and_a_row_per_item():
    rows = list(csv.DictReader(io.StringIO(format_answers(Echo(), HISTORIES, form="csv"))))
    assert [(row["user_id"], row["rank"], row["item_id"]) for row in rows] == [
        ("u, 1", "1", "x y"), ("u, 1", "2", "'=cmd|x")
    ]  # fmt: skip
    assert float(rows[0]["score"]) == 1 / 3 and rows[0]["title"] == 'say "hi"'
    assert rows[1]["score"] == "-2.0" and rows[1]["title"] == r"two\nlines"


def test_text_is_the_recommenders():
    assert format_answers(Echo(), HISTORIES, topk=1) == "['a b', 'c,d']: ['x y']\n['e']: []\n"


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_ends_its_last_line(form):
    assert format_answers(Echo(), HISTORIES, form=form).endswith("\n")

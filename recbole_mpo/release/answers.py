"""Recommendations as text for people, and as JSON lines or CSV for programs."""

import csv
import io
import json

from recbole_mpo.common.spreadsheet import safe_cell
from recbole_mpo.common.terminal import one_line
from recbole_mpo.release.history_files import History
from recbole_mpo.release.new_items import NewText

FORMATS = ("text", "json", "csv")


def format_answers(recommender, histories: list[History], topk: int = 10, form: str = "text") -> str:
    """Return the recommendations for histories as one text that ends with a line end.

    ``json`` is a line per history, ``{"user_id", "items", "recommended": [{"item_id", "score", "title"}, …]}``. ``csv``
    is a table with a row per recommended item, in which a text that a spreadsheet would take for a formula gets an
    apostrophe. Scores are unrounded in both.

    Args:
        recommender: a ``Recommender``.
        histories: the histories.
        topk: number of items to recommend per history.
        form: one of ``FORMATS``.

    Raises:
        DataError: a history has an unknown item, which the message names.
    """
    answers = recommender.recommend([history.items for history in histories], topk)
    pairs = list(zip(histories, answers, strict=True))
    if form == "json":
        return "".join(f"{json.dumps(_as_object(*pair), ensure_ascii=False)}\n" for pair in pairs)
    if form == "csv":
        return _as_csv(pairs)
    return "".join(f"{recommender.as_text(history.items, answer)}\n" for history, answer in pairs)


def _as_object(history: History, answer: list) -> dict:
    recommended = [{"item_id": item.token, "score": item.score, "title": item.title} for item in answer]
    return {"user_id": history.name, "items": history.items, "recommended": recommended}


def _as_csv(pairs: list[tuple]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["user_id", "rank", "item_id", "score", "title"])
    for history, answer in pairs:
        for rank, item in enumerate(answer, start=1):
            cells = [history.name, str(rank), item.token, repr(item.score), item.title]
            writer.writerow([safe_cell(cell) for cell in cells])
    return text.getvalue()


def listing(titles: dict[str, str], history: list[str | NewText], recommended: list, width: int) -> str:
    """Return a history and its recommendations as text, one item per line.

    Args:
        titles: texts by token.
        history: tokens and texts, oldest first; the last five are shown.
        recommended: the recommendations.
        width: largest number of characters of a title.
    """
    last = [("", item.text) if isinstance(item, NewText) else (item, titles.get(item, "")) for item in history[-5:]]
    rows = [("", token, title) for token, title in last]
    rows += [(f"{item.score:6.2f}", item.token, item.title) for item in recommended]
    rows = [(score, one_line(token), _cut(one_line(title), width)) for score, token, title in rows]
    longest = max((len(token) for _, token, _ in rows), default=0)
    lines = [f"  {score:6}  {token:>{longest}}  {title}" for score, token, title in rows]
    begin = f"after {len(history)} items, the last ones:"
    return "\n".join([begin, *lines[: len(last)], "recommended:", *lines[len(last) :]])


def _cut(title: str, width: int) -> str:
    return title if len(title) <= width else f"{title[: width - 1]}…"

"""One served model: what its threads do with the requests that they take together.

Questions are answered in one thread and items are added in another (:mod:`recbole_mpo.release.serving.batching`). A
recommender allows that; here an item becomes known after the recommender has it, so that no question meets half of one.
"""

import bisect
import logging
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from recbole_mpo.common.errors import RecboleMPOError
from recbole_mpo.common.values import shown, suggestion
from recbole_mpo.release.new_items import NewText
from recbole_mpo.release.recommend import Recommended, Recommender
from recbole_mpo.release.serving.kept_items import KeptItems
from recbole_mpo.release.serving.limits import RequestError

LOG = logging.getLogger(__name__)
# Tokens on either side, in the order of the alphabet, among which a misspelt one is looked for.
NEIGHBOURS = 50
# Items up to which a list costs about as much as a shorter one.
FEW = 50


@dataclass(frozen=True)
class Wish:
    """A history to recommend for.

    Attributes:
        history: tokens and texts of items without one, oldest first.
        k: number of items.
        exclude: tokens that are not recommended.
        title: what the titles of recommended items contain, in any case.
        among: tokens of which alone items are recommended.
        has_why: whether the parts of the scores are asked for.
    """

    history: tuple
    k: int = 10
    exclude: tuple[str, ...] = ()
    title: str | None = None
    among: tuple[str, ...] | None = None
    has_why: bool = True


@dataclass(frozen=True)
class Search:
    """A search for items whose titles have the words of a query."""

    query: str
    limit: int


@dataclass(frozen=True)
class NewItems:
    """Items to add, texts by token."""

    texts: dict[str, str]


class ServedModel:
    """A recommender with a name, and the items that were added to it.

    Args:
        name: its name in requests.
        recommender: ranks the items.
        kept: the file of its added items, which are ranked from now on.
    """

    def __init__(self, name: str, recommender: Recommender, kept: KeptItems):
        self.name, self.recommender, self.kept = name, recommender, kept
        self.own_items = len(recommender.tokens) - 1
        self._added: dict[str, str] = {}
        self._sorted = sorted(recommender.tokens[1:])
        self._known = set(self._sorted)
        self._restore()

    def _restore(self):
        texts = {token: text for token, text in self.kept.texts.items() if token not in self._known}
        if len(texts) < len(self.kept.texts):
            LOG.warning(
                "%s: %d of the items in %s are items of the model by now",
                self.name,
                len(self.kept.texts) - len(texts),
                self.kept.path,
            )
        if texts:
            self._add(texts)

    @classmethod
    def open(cls, name: str, folder: Path, state_dir: Path | None) -> "ServedModel":
        """Return the model of an exported folder, with the items that were added to it.

        Args:
            name: its name in requests.
            folder: the folder.
            state_dir: folder of the added items' file; by default it stands beside the model's folder.

        Raises:
            RecboleMPOError: the folder or the file is damaged.
        """
        folder = folder.resolve()
        kept = KeptItems((state_dir or folder.parent) / f"{name if state_dir else folder.name}.items.jsonl")
        model = cls(name, Recommender.from_pretrained(folder), kept)
        model.warm_up()
        return model

    @property
    def items(self) -> int:
        """Number of items that are ranked."""
        return self.own_items + len(self._added)

    @property
    def added_items(self) -> int:
        """Number of items added while serving, now or earlier."""
        return len(self._added)

    def warm_up(self):
        """Load what encodes new texts, so that no request has to wait for it; a model need not take any."""
        try:
            self.recommender.recommend([[NewText("lamp")]], topk=1)
        except RecboleMPOError as problem:
            LOG.warning("%s takes no new texts: %s", self.name, problem)

    def close(self):
        """Let another server add items."""
        self.kept.close()

    def answer(self, requests: list) -> list:
        """Return the answer of each request, or its error.

        Args:
            requests: what is asked: ``Wish``, ``Search`` or ``NewItems``.
        """
        answers: list = [None] * len(requests)
        groups: dict[tuple, list[int]] = defaultdict(list)
        for place, request in enumerate(requests):
            if not isinstance(request, Wish):
                answers[place] = self._or_error(self._search if isinstance(request, Search) else self._insert, request)
                continue
            answers[place] = self._or_error(self._check, request)
            if answers[place] is None:
                # Items to leave out are asked for and dropped, so that requests that differ in them go together.
                wanted = max(FEW, request.k + len(request.exclude))
                groups[wanted.bit_length(), request.title, request.among].append(place)
        for places in groups.values():
            wishes = [requests[place] for place in places]
            for place, answer in zip(places, self._recommend_or_errors(wishes), strict=True):
                answers[place] = answer
        return answers

    def _or_error(self, function, request):
        try:
            return function(request)
        except RequestError as problem:
            return problem
        except RecboleMPOError as problem:
            return RequestError(422, "invalid_request", str(problem))
        except Exception as problem:
            LOG.exception("%s failed", self.name)
            return problem

    def _recommend_or_errors(self, wishes: list[Wish]) -> list:
        answers = self._or_error(self._recommend, wishes)
        if isinstance(answers, list):
            return answers
        if len(wishes) == 1:
            return [answers]
        # One that cannot be answered must not take the others with it.
        return [answer for wish in wishes for answer in self._recommend_or_errors([wish])]

    def _check(self, wish: Wish):
        for place, entry in enumerate(wish.history):
            if isinstance(entry, str):
                self._check_token(entry, f"history.{place}")
        # As in recommend: items that are gone may still be named.
        if wish.among is not None and self._known.isdisjoint(wish.among):
            self._check_token(wish.among[0], "filter.items.0")

    def _check_token(self, token: str, field: str):
        if token in self._known:
            return
        place = bisect.bisect(self._sorted, token)
        hint = suggestion(token, self._sorted[max(0, place - NEIGHBOURS) : place + NEIGHBOURS])
        raise RequestError(422, "unknown_item", f"{field}: unknown item {shown(token)}{hint}", field)

    def _recommend(self, wishes: list[Wish]) -> list[list[dict]]:
        """Return the recommendations for wishes of one filter; filter, items and reasons are of one moment."""
        now = self.recommender.as_of_now()
        title, among = wishes[0].title, wishes[0].among
        if title is not None:
            among = tuple(now.titled(title, among))
        if among is not None and not among:
            return [[] for _ in wishes]
        most = max(wish.k + len(wish.exclude) for wish in wishes)
        lists = now.recommend([list(wish.history) for wish in wishes], topk=most, among=among)
        best = [_wanted(wish, items) for wish, items in zip(wishes, lists, strict=True)]
        rows = [[{"item": item.token, "title": item.title, "score": item.score} for item in items] for items in best]
        _explain(now, wishes, rows)
        return rows

    def _search(self, search: Search) -> list[dict]:
        now = self.recommender.as_of_now()
        if search.query.strip():
            found = now.search(search.query, limit=search.limit)
        else:
            found = [(token, now.titles.get(token, "")) for token in now.tokens[1 : search.limit + 1]]
        return [{"item": token, "title": title} for token, title in found]

    def _insert(self, new: NewItems) -> dict:
        for place, (token, text) in enumerate(new.texts.items()):
            if token in self._known and self._added.get(token) != text:
                message = f"items.{place}: the model has an item {shown(token)} already; choose another token"
                raise RequestError(409, "item_exists", message, f"items.{place}.item")
        # The same request again, after an answer that was lost or a file that could not be written, does what it says.
        self._add({token: text for token, text in new.texts.items() if token not in self._known})
        try:
            self.kept.write({token: text for token, text in new.texts.items() if token not in self.kept.texts})
        except (OSError, RecboleMPOError) as problem:
            LOG.exception("%s: added items could not be written", self.name)
            message = f"the items are ranked until the server ends, but could not be kept: {problem}"
            raise RequestError(500, "not_kept", message) from problem
        return {"added": len(new.texts), "items": self.items}

    def _add(self, texts: dict[str, str]):
        if not texts:
            return
        self.recommender.add_items(texts)
        self._added.update(texts)
        self._known.update(texts)
        for token in texts:
            bisect.insort(self._sorted, token)


def _wanted(wish: Wish, items: list[Recommended]) -> list[Recommended]:
    excluded = set(wish.exclude)
    return [item for item in items if item.token not in excluded][: wish.k]


def _explain(recommender: Recommender, wishes: list[Wish], rows: list[list[dict]]):
    """Add the parts of the scores where they are asked for."""
    asked = [place for place, wish in enumerate(wishes) if wish.has_why and rows[place]]
    if not asked:
        return
    histories = [list(wishes[place].history) for place in asked]
    reasons = recommender.explain_each(histories, [[row["item"] for row in rows[place]] for place in asked])
    for place, parts in zip(asked, reasons, strict=True):
        for row, why in zip(rows[place], parts, strict=True):
            row["why"] = why

"""Finds items by words of their titles."""

from collections.abc import Collection, Mapping, Sequence
from itertools import islice

# Words of a query beyond these are ignored: each is looked for in every title.
MOST_WORDS = 32


class TitleSearch:
    """Titles in the form in which they are compared; it never changes, so threads may share it.

    A search looks at each title, 20 to 130 ms for 100,000 titles of 120 letters.

    Args:
        tokens: tokens of the items, PAD first.
        titles: texts by token; items without text are not found.
    """

    def __init__(self, tokens: Sequence[str], titles: Mapping[str, str]):
        named = [(token, titles[token]) for token in tokens[1:] if titles.get(token)]
        self._items = named
        self._folded = [title.casefold() for _, title in named]

    def find(self, query: str, limit: int = 20) -> list[tuple[str, str]]:
        """Return tokens and titles of items whose titles have all words of a query; capitals do not matter.

        Titles that begin with the query come first, then those in which each word begins a word, then all others; each
        in the order of the items.

        Args:
            query: words, or parts of words.
            limit: largest number of items to return.
        """
        words = list(dict.fromkeys(query.casefold().split()))[:MOST_WORDS]
        if not words or limit < 1:
            return []
        longest = max(words, key=len)
        hits = [place for place, title in enumerate(self._folded) if longest in title]
        hits = [place for place in hits if all(word in self._folded[place] for word in words)]
        start = " ".join(words)
        places = [place for place in hits if self._folded[place].startswith(start)]
        others = [place for place in hits if not self._folded[place].startswith(start)]
        # Most queries are full before every title is looked at so closely.
        places += islice((place for place in others if self._begins_words(place, words)), max(0, limit - len(places)))
        taken = set(places) if len(places) < limit else ()
        places += islice((place for place in others if place not in taken), max(0, limit - len(places)))
        return [self._items[place] for place in places[:limit]]

    def titled(self, part: str, among: Collection[str] | None = None) -> list[str]:
        """Return the tokens of the items whose titles contain a text, in their order; capitals do not matter.

        Args:
            part: the text.
            among: tokens of which alone are returned; None for all.
        """
        wanted = part.casefold()
        pairs = zip(self._items, self._folded, strict=True)
        if among is not None:
            kept = set(among)
            pairs = ((item, title) for item, title in pairs if item[0] in kept)
        return [item[0] for item, title in pairs if wanted in title]

    def _begins_words(self, place: int, words: list[str]) -> bool:
        """Return whether each word begins a word of a title."""
        title = self._folded[place]
        return all(title.startswith(word) or f" {word}" in title for word in words)

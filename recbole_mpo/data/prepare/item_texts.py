"""The texts of items from the rows of a table: an item's first text that says something, and what was left out.

Shapes: N items.
"""

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, MutableMapping

import numpy as np

from recbole_mpo.text.item_text import is_missing
from recbole_mpo.text.sentences import TOO_LONG, item_sentence


class FirstTexts:
    """Keeps each item's first text with a letter or digit, or its first text if none has one.

    Args:
        kept: where texts are stored by item, a dictionary or a :class:`TextSpool`.
        fields: the fields of a record that make the text, in this order.
    """

    def __init__(self, kept: MutableMapping, fields: Iterable[str] = ()):
        self.kept, self.fields = kept, tuple(fields)
        self.contradictions = 0
        self.too_long: Counter[str] = Counter()

    def add(self, item, record: dict):
        """Take an item's record."""
        self.add_text(item, item_sentence(record, self.fields, self.too_long))

    def add_text(self, item, text: str):
        """Take an item's text; count it if it says something else than the one that is kept."""
        text = storable(text)
        if item not in self.kept or (is_missing(self.kept[item]) and not is_missing(text)):
            self.kept[item] = text
        elif text != self.kept[item] and not is_missing(text):
            self.contradictions += 1

    def remarks(self) -> tuple[str, ...]:
        """Return sentences about texts that were left out."""
        remarks = []
        if self.contradictions:
            remarks.append(
                f"{self.contradictions:,} records repeat an item with another text; the first text with a letter or "
                "digit was kept."
            )
        for field, count in self.too_long.items():
            remarks.append(f"{count:,} values of {field!r} have {TOO_LONG:,} or more characters and were left out.")
        return tuple(remarks)


def storable(text: str) -> str:
    """Return a text as a file holds it: half of a surrogate pair, which JSON may have, becomes a question mark."""
    return text.encode("utf-8", errors="replace").decode("utf-8")


class TextSpool(MutableMapping):
    """Item texts in a temporary file, so that any number of items takes only a few bytes of memory per item."""

    def __init__(self, items: int):
        self._file = tempfile.TemporaryFile()
        self._begin = np.full(items, -1, dtype=np.int64)
        self._length = np.zeros(items, dtype=np.int32)

    def __contains__(self, item) -> bool:
        return self._begin[item] >= 0

    def __getitem__(self, item: int) -> str:
        if item not in self:
            raise KeyError(item)
        self._file.seek(self._begin[item])
        return self._file.read(self._length[item]).decode("utf-8")

    def __setitem__(self, item: int, text: str):
        content = storable(text).encode("utf-8")
        self._begin[item] = self._file.seek(0, 2)
        self._length[item] = len(content)
        self._file.write(content)

    def __delitem__(self, item: int):
        self._begin[item] = -1

    def __iter__(self) -> Iterator[int]:
        return iter(np.flatnonzero(self.present).tolist())

    def __len__(self) -> int:
        return int(self.present.sum())

    @property
    def present(self) -> np.ndarray:
        """Return which items have a text, bool [N]."""
        return self._begin >= 0

    def texts(self, items: Iterable[int]) -> Iterator[str]:
        """Yield the texts of items, "" for items without one."""
        return (self.get(item, "") for item in items)

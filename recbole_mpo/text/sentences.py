"""Writes item text as sentences, ``title. category path. brand.``, from an item's fields, and reads attributes from it.

The form is that of UniSRec's preparation.

Shapes: N items, F attributes.
"""

import html
import re
from collections import Counter
from dataclasses import dataclass

import numpy as np
from scipy import sparse

# Names of fewer items, and attributes of more than this share of all items, tell little and are left out.
LEAST_ITEMS, LARGEST_ATTRIBUTE_SHARE = 5, 0.5
# A "title" of this many characters is the source of a web page.
TOO_LONG = 2000
# Line ends in fields are removed, as in UniSRec; other characters that would end a line or a cell become spaces.
_REMOVED = re.compile(r'["\n\r]+')
_SEPARATOR = re.compile(r"[\t\v\f\x00]")
_SENTENCE_END = re.compile(r"\.\s+")
_WORD = re.compile(r"[^\W\d_]{3,}")


def clean_field(value) -> str:
    """Return one field as a sentence with one full stop at its end: "." for an empty field, "" for None.

    Lists are joined by spaces, also lists in lists; an object becomes its keys, each followed by its value. HTML
    entities are resolved, double quotes and line ends are removed. A field of ``TOO_LONG`` or more characters gives "".
    """
    if value is None:
        return ""
    words = html.unescape(_joined(value))
    sentence = _SEPARATOR.sub(" ", _REMOVED.sub("", words)).rstrip(".") + "."
    return sentence if len(sentence) < TOO_LONG else ""


def _joined(value) -> str:
    if isinstance(value, dict):
        value = [(key, content) for key, content in value.items() if content is not None]
    if isinstance(value, list | tuple):
        return " ".join(_joined(part) for part in value if part is not None)
    return str(value)


def item_sentence(record: dict, fields, too_long: Counter | None = None) -> str:
    """Return those of ``fields`` that a record has, cleaned and joined by spaces, in this order.

    ``too_long`` counts the fields that are left out because of their length.
    """
    sentences = []
    for field in fields:
        value = record.get(field)
        sentences.append(clean_field(value))
        if too_long is not None and value is not None and not sentences[-1]:
            too_long[field] += 1
    return " ".join(filter(None, sentences))


def telling_names(names_of_items: list[set[str]], least: int, largest_share: float) -> set[str]:
    """Return the names of at least ``least`` items and at most ``largest_share`` of all (or ``least``, if larger)."""
    counts = Counter(name for names in names_of_items for name in names)
    most = max(least, largest_share * len(names_of_items))
    return {name for name, count in counts.items() if least <= count <= most}


def item_attributes(texts: list[str], least: int = LEAST_ITEMS) -> tuple[list[str], sparse.csr_matrix]:
    """Return the names of the attributes in alphabetical order, and which item has which, bool [N, F].

    All sentences except the first are attributes, and so are the words of those between the first and the last. If a
    text has only one sentence, its words are attributes. Attributes of fewer than ``least`` items or of more than half
    of all items are left out.
    """
    names_of_items = [_attribute_names(text) for text in texts]
    attributes = sorted(telling_names(names_of_items, least, LARGEST_ATTRIBUTE_SHARE))
    column = {name: number for number, name in enumerate(attributes)}
    rows = [[column[name] for name in names if name in column] for names in names_of_items]
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    indices = np.array([number for row in rows for number in row], dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    shape = (len(texts), len(attributes))
    return attributes, sparse.csr_matrix((np.ones(len(indices), dtype=bool), indices, starts), shape=shape)


def _attribute_names(text: str) -> set[str]:
    sentences = [sentence for sentence in _split_sentences(text.lower()) if sentence]
    if len(sentences) < 2:
        return _words([text.lower()])
    return _words(sentences[1:-1]) | set(sentences[1:])


@dataclass(frozen=True)
class Metadata:
    """Names read from each item's text, in lower case; "" if there is none.

    Attributes:
        brands: [N] brands.
        categories: [N] whole category paths.
        title_words: [N] sets of words.
    """

    brands: list[str]
    categories: list[str]
    title_words: list[set[str]]


def item_metadata(texts: list[str]) -> Metadata:
    """Read ``title. category path. brand.`` from the end of each text.

    A title may contain full stops. So the texts of a dataset are taken as titles only, unless most of them have three
    sentences.
    """
    split = [_split_sentences(html.unescape(text).strip().lower()) for text in texts]
    has_text = [sentences for sentences in split if any(sentences)]
    if 2 * sum(len(sentences) >= 3 for sentences in has_text) <= len(has_text):
        nothing = [""] * len(texts)
        return Metadata(nothing, nothing, [_words(sentences) for sentences in split])
    # A shorter text is taken as a title only.
    whole = [sentences if len(sentences) >= 3 else [*sentences, "", ""] for sentences in split]
    return Metadata(
        [sentences[-1] for sentences in whole],
        [sentences[-2] for sentences in whole],
        [_words(sentences[:-2]) for sentences in whole],
    )


def _split_sentences(text: str) -> list[str]:
    return [sentence.strip(" .") for sentence in _SENTENCE_END.split(text)]


def _words(sentences: list[str]) -> set[str]:
    return {word for sentence in sentences for word in _WORD.findall(sentence)}

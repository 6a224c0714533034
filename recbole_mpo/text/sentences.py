"""Item attributes from item text: category and brand, or telling words where a text is a title alone.

Shapes: N items, F attributes.
"""

import html
import re
from collections import Counter
from dataclasses import dataclass

import numpy as np
from scipy import sparse

# An attribute of fewer items says little; one of more than this share of them says nothing.
LEAST_ITEMS, LARGEST_SHARE = 5, 0.5
_SENTENCE_END = re.compile(r"\.\s+")
_WORD = re.compile(r"[^\W\d_]{3,}")


def item_attributes(texts: list[str], least: int = LEAST_ITEMS) -> tuple[list[str], sparse.csr_matrix]:
    """Names of the attributes and which item has which, bool [N, F].

    Texts are sentences: title, category path, brand (as UniSRec's preparation writes them). All sentences but the first
    are attributes as wholes, and so are the words of all but the first and the last; of a text of one sentence its
    words are. Attributes of fewer than ``least`` items or of more than half of them are left out.
    """
    found = [_names(text) for text in texts]
    counts = Counter(name for names in found for name in names)
    most = max(least, LARGEST_SHARE * len(texts))
    kept = sorted(name for name, count in counts.items() if least <= count <= most)
    column = {name: number for number, name in enumerate(kept)}
    rows = [[column[name] for name in names if name in column] for names in found]
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    indices = np.array([number for row in rows for number in row], dtype=np.int64)
    shape = (len(texts), len(kept))
    starts = np.concatenate([[0], np.cumsum(lengths)])
    return kept, sparse.csr_matrix((np.ones(len(indices), dtype=bool), indices, starts), shape=shape)


def _names(text: str) -> set[str]:
    sentences = [part.strip(" .").lower() for part in _SENTENCE_END.split(text)]
    sentences = [sentence for sentence in sentences if sentence]
    if len(sentences) < 2:
        return set(_WORD.findall(text.lower()))
    words = {word for sentence in sentences[1:-1] for word in _WORD.findall(sentence)}
    return words | set(sentences[1:])


@dataclass(frozen=True)
class Metadata:
    """What the texts of a set say of each item, lower-cased, "" where they say nothing.

    Attributes:
        brands, categories: [N]; a category is the whole path.
        title_words: [N] sets of words.
    """

    brands: list[str]
    categories: list[str]
    title_words: list[set[str]]


def item_metadata(texts: list[str]) -> Metadata:
    """Reads ``title. category path. brand.`` (as UniSRec's preparation writes it) from the end of each text.

    A title may hold full stops itself; so a set counts as titles alone unless most of its texts have three sentences.
    """
    plain = (html.unescape(text).strip().lower() for text in texts)
    split = [[part.strip(" .") for part in _SENTENCE_END.split(text)] for text in plain]
    has_text = [parts for parts in split if any(parts)]
    if 2 * sum(len(parts) >= 3 for parts in has_text) <= len(has_text):
        nothing = [""] * len(texts)
        return Metadata(nothing, nothing, [_words(parts) for parts in split])
    # Of a shorter text only the title is known for certain.
    whole = [parts if len(parts) >= 3 else [*parts, "", ""] for parts in split]
    return Metadata(
        [parts[-1] for parts in whole], [parts[-2] for parts in whole], [_words(parts[:-2]) for parts in whole]
    )


def _words(sentences: list[str]) -> set[str]:
    return {word for sentence in sentences for word in _WORD.findall(sentence)}


# A "title" that long is the page's source.
TOO_LONG = 2000
# The fields' own line ends vanish as in UniSRec; what else would end a line or a cell of a file becomes a blank.
_REMOVED = re.compile(r'["\n\r]+')
_SEPARATOR = re.compile(r"[\t\v\f\x00]")


def clean_field(value) -> str:
    """One field as a sentence that ends in one full stop: a lone one for an empty field, nothing for none.

    Lists are joined by blanks, HTML entities resolved, double quotes and line ends removed; a field of 2,000 or more
    characters is left out.
    """
    if value is None:
        return ""
    words = " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    sentence = _SEPARATOR.sub(" ", _REMOVED.sub("", html.unescape(words))).rstrip(".") + "."
    return sentence if len(sentence) < TOO_LONG else ""


def item_sentence(record: dict, fields) -> str:
    """The ``fields`` that a record has, cleaned and joined by blanks, in the order of ``fields``."""
    sentences = (clean_field(record.get(field)) for field in fields)
    return " ".join(filter(None, sentences))

"""Item fields to one line of text, as UniSRec's preparation of the Amazon data sets does it.

Source: Hou et al., "Towards Universal Sequence Representation Learning for Recommender Systems", KDD 2022.
"""

import html
import re

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

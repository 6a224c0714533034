"""CountText's formula written out token by token, and histories that try it."""

import math
import re
from collections import Counter

WEIGHTS = [1.0, 0.5, 0.25, 0.12, 0.06]


def neighbours(histories) -> Counter:
    """Counts of neighbours in both directions; an item beside itself counts twice."""
    pairs = Counter()
    for history in histories:
        for item, later in zip(history, history[1:], strict=False):
            pairs[item, later] += 1
            pairs[later, item] += 1
    return pairs


def walks_of(pairs) -> dict:
    """Probabilities of two steps, each to a neighbour by its count."""
    totals, found = Counter(), Counter()
    for (item, _), count in pairs.items():
        totals[item] += count
    for (item, between), count in pairs.items():
        for (other, last), next_count in pairs.items():
            if other == between:
                found[item, last] += count / totals[item] * next_count / totals[between]
    return found


def word_cosines(texts: dict[str, str]) -> dict:
    """Cosines of TF-IDF vectors of words and bigrams by token: df of at least 2, 1 + ln tf, smoothed idf."""
    counts = {}
    for token, text in texts.items():
        words = re.findall(r"[^\W_]+", text.lower())
        counts[token] = Counter([*words, *map(" ".join, zip(words, words[1:], strict=False))])
    frequency = Counter(term for terms in counts.values() for term in terms)
    idf = {term: math.log((1 + len(texts)) / (1 + df)) + 1 for term, df in frequency.items() if df >= 2}
    vectors = {}
    for token, terms in counts.items():
        vector = {term: (1 + math.log(count)) * idf[term] for term, count in terms.items() if term in idf}
        length = math.hypot(*vector.values()) or 1.0
        vectors[token] = {term: value / length for term, value in vector.items()}
    return {
        (one, other): sum(value * vectors[other].get(term, 0) for term, value in vectors[one].items())
        for one in texts
        for other in texts
        if one != other
    }


def texts_by_token(data_path, name):
    """The texts of the items and, as in the vectoriser's list of texts, an empty one for PAD."""
    lines = (data_path / name / f"{name}.text").read_text(encoding="utf-8").splitlines()[1:]
    return {"[PAD]": "", **dict(line.split("\t") for line in lines)}


def count_text_by_loop(history, item, kinds, pairs, walks, cosines) -> float:
    """log(1 + sum w C) + 2 sum w cos + log(1 + 50 sum w Q) / 2, token by token; no item is taken out."""
    recent = list(zip(WEIGHTS, reversed(history), strict=False))
    of_counts, of_walks = (sum(weight * table[other, item] for weight, other in recent) for table in (pairs, walks))
    of_words = sum(weight * cosines.get((other, item), 0.0) for weight, other in recent)
    parts = {"covisit": math.log(1 + of_counts), "words": 2 * of_words, "two_hop": math.log(1 + 50 * of_walks) / 2}
    return sum(parts[kind] for kind in kinds)


def write_repeating(data_path):
    """A dataset ``tiny`` whose histories have items twice in the last five and an item beside itself."""
    histories = ["a b a a c d b", "c c d a b a b", "b d e c d e f", "f a a c f b a", "e e e e e b d", "d b c a"]
    rows = [
        f"u{user}\t{item}\t{100 * user + time}"
        for user, history in enumerate(histories)
        for time, item in enumerate(history.split())
    ]
    texts = {"a": "Red lamp 5 W", "b": "red LAMP, lamp", "c": "a glass cup", "d": "Glass_cup 5", "e": "", "f": "tape"}
    folder = data_path / "tiny"
    folder.mkdir(parents=True)
    (folder / "tiny.inter").write_text("\n".join(["user_id:token\titem_id:token\ttimestamp:float", *rows]) + "\n")
    lines = ["item_id:token\ttext:token_seq", *(f"{token}\t{text}" for token, text in texts.items())]
    (folder / "tiny.text").write_text("\n".join(lines) + "\n")

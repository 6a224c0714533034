"""The hash of test targets depends on who gets what, not on order, numbering or layout."""

import hashlib

import numpy as np
import pytest
import torch
from recbole.data.interaction import Interaction
from support import built_run

from recbole_mpo.data.target_pairs import target_pairs_hash


class MadeUpSplit:
    """Rows of users and targets, numbered in the given order of tokens."""

    uid_field, iid_field = "user", "item"

    def __init__(self, pairs, users, items):
        self.tokens = {"user": users, "item": items}
        columns = zip(*pairs, strict=True) if pairs else ([], [])
        numbers = (
            torch.tensor([tokens.index(token) for token in column], dtype=torch.int64)
            for column, tokens in zip(columns, self.tokens.values(), strict=True)
        )
        self.inter_feat = Interaction(dict(zip(self.tokens, numbers, strict=True)))

    def id2token(self, field, numbers):
        return np.array(self.tokens[field])[numbers]


PAIRS = [("u1", "a"), ("u2", "b"), ("ü\t3", "a")]
USERS, ITEMS = ["u1", "u2", "ü\t3"], ["a", "b"]


def test_it_is_the_hash_of_the_sorted_lines():
    lines = ['["u1", "a"]', '["u2", "b"]', '["\\u00fc\\t3", "a"]']
    expected = hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
    assert target_pairs_hash(MadeUpSplit(PAIRS, USERS, ITEMS)) == expected


def test_order_and_numbering_do_not_matter():
    before = target_pairs_hash(MadeUpSplit(PAIRS, USERS, ITEMS))
    assert target_pairs_hash(MadeUpSplit(PAIRS[::-1], USERS[::-1], ITEMS[::-1])) == before


@pytest.mark.parametrize(
    "pairs",
    [
        PAIRS[:2],
        [*PAIRS, PAIRS[0]],
        [("u1", "b"), ("u2", "a"), PAIRS[2]],
        [("u1", "b"), *PAIRS[1:]],
        [],
    ],
)
def test_other_pairs_have_another_hash(pairs):
    assert target_pairs_hash(MadeUpSplit(pairs, USERS, ITEMS)) != target_pairs_hash(MadeUpSplit(PAIRS, USERS, ITEMS))


def test_no_character_of_a_token_moves_the_border():
    users, items = ["a\tb", "a"], ["c", "b\tc"]
    found = {target_pairs_hash(MadeUpSplit([pair], users, items)) for pair in (("a\tb", "c"), ("a", "b\tc"))}
    assert len(found) == 2


def test_models_layouts_and_orders_of_lines_agree(tiny_settings, tiny_path):
    """Leave-one-out of one file, the same targets in three files, with other numbers, and RecBole's own reader."""
    keys = ("show_progress", "use_gpu", "seed")
    common = {**{key: tiny_settings[key] for key in keys}, "data_path": str(tiny_path)}
    frame = [line.split("\t") for line in (tiny_path / "tiny" / "tiny.inter").read_text().splitlines()[1:]]
    histories = {}
    for user, item, _ in sorted(frame, key=lambda row: int(row[2])):
        histories.setdefault(user, []).append(item)
    folder = tiny_path / "three"
    folder.mkdir()
    for back, part in ((3, "train"), (2, "valid"), (1, "test")):
        rows = [f"{user}\t{' '.join(items[:-back])}\t{items[-back]}" for user, items in sorted(histories.items())]
        lines = ["user_id:token\titem_id_list:token_seq\titem_id:token", *rows]
        (folder / f"three.{part}.inter").write_text("\n".join(lines) + "\n")
    runs = [built_run(model, name, (), common) for model in ("Pop", "SASRec") for name in ("tiny", "three")]
    found = {run.experiment.statistics()["test_pairs"] for run in runs}
    assert len(found) == 1 and len(found.pop()) == 64

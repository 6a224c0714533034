"""The items of a checkpoint, used instead of a dataset to build its model without data files.

Shapes: N items by internal id (row 0 is PAD), F feature, R rows.
"""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from recbole.data.interaction import Interaction

from recbole_mpo.common.errors import DataError
from recbole_mpo.data.sequences import Rows
from recbole_mpo.text.index_files import PAD

# Tokens or texts that are joined at a time.
TEXTS_AT_A_TIME = 1 << 16


def hash_items(tokens_or_texts: Sequence[str]) -> str:
    """Return the sha256 of item tokens [N] in order, which identifies the items and their numbering, or of texts."""
    digest = hashlib.sha256()
    for block in joined_blocks(tokens_or_texts):
        digest.update(block)
    return digest.hexdigest()


def joined_blocks(texts: Sequence[str]) -> Iterator[bytes]:
    """Yield the bytes of texts that are joined by line feeds, block by block: ten million tokens are not copied."""
    for begin in range(0, len(texts), TEXTS_AT_A_TIME):
        block = "\n".join(map(str, texts[begin : begin + TEXTS_AT_A_TIME]))
        yield (f"\n{block}" if begin else block).encode()


class Catalogue:
    """Items without interactions, to build a model whose parameters are counted, merged or loaded from a checkpoint.

    It has the attributes of a training dataset that models read while they are built; tables of counts are empty, and
    the feature table holds zeros.

    Args:
        item_tokens: [N] by internal id, PAD first (``field2id_token`` of a dataset's item field).
        feature_size: F; None if the model does not use text.
        feature_hash: the hash of the features that the checkpoint was trained on.
        iid_field, uid_field: names of the fields.
        feature_sketch: [N, 2] of the features that the checkpoint was trained on.
        fitted_text: what was fitted to item texts, by dataset.

    Raises:
        DataError: the tokens do not begin with PAD, or a token occurs twice.
    """

    fitted_words = None

    def __init__(
        self,
        item_tokens: Sequence[str],
        feature_size: int | None,
        feature_hash: str | None,
        iid_field: str = "item_id",
        uid_field: str = "user_id",
        feature_sketch: torch.Tensor | None = None,
        fitted_text: dict[str, dict[str, torch.Tensor]] | None = None,
    ):
        tokens = np.array([*item_tokens])
        if len(tokens) == 0 or tokens[0] != PAD:
            raise DataError(f"the items of a catalogue must begin with {PAD}, not with {tokens[:1].tolist()}")
        if len(set(tokens.tolist())) < len(tokens):
            raise DataError("an item occurs twice in the catalogue")
        self.feature_size, self.feature_hash = feature_size, feature_hash
        self.feature_sketch, self.fitted_text = feature_sketch, fitted_text
        self.iid_field, self.uid_field = iid_field, uid_field
        self.field2id_token = {iid_field: tokens, uid_field: np.array([PAD])}
        self.flat_items = np.empty(0, dtype=np.int64)
        self.inter_feat = Interaction({field: torch.empty(0, dtype=torch.int64) for field in (uid_field, iid_field)})

    @property
    def item_num(self) -> int:
        """Return N, the number of items with PAD."""
        return len(self.field2id_token[self.iid_field])

    def num(self, field: str) -> int:
        """Return how many values a field has: N for the item field, 1 (only PAD) for any other."""
        return self.item_num if field == self.iid_field else 1

    @property
    def item_hash(self) -> str:
        """Return the hash of the items and their numbering, as a dataset does."""
        return hash_items(self.field2id_token[self.iid_field])

    def target_counts(self) -> torch.Tensor:
        """Count how often each item is a target of training, int64 [N]."""
        return torch.bincount(self.inter_feat[self.iid_field], minlength=self.item_num)

    def item_features(self) -> torch.Tensor:
        """Return zeros [N, F], which take the memory of one number.

        Raises:
            DataError: the size is unknown.
        """
        if self.feature_size is None:
            raise DataError("the catalogue does not say how many text features an item has (feature_size)")
        return torch.zeros(1).expand(self.item_num, self.feature_size)

    def item_texts(self) -> list[str]:
        """Return an empty text per item."""
        return [""] * self.item_num

    def rows(self) -> Rows:
        """Return no rows."""
        nothing = np.empty(0, dtype=np.int64)
        return Rows(nothing, nothing, nothing)

    def __len__(self) -> int:
        return len(self.inter_feat)

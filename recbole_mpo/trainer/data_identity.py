"""What a checkpoint says about its data, and whether a model has the same data.

Shapes: N items by internal id (row 0 is PAD), F feature.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from recbole_mpo.common.errors import CheckpointError
from recbole_mpo.data.catalogue import joined_blocks
from recbole_mpo.trainer.checkpoint_content import DATA_KEYS

logger = logging.getLogger(__name__)

# Features that are encoded on another device differ by 1e-5 of their size, and other texts' features by about 1.
ROUNDING = 1e-3


def identity(model) -> dict:
    """Return what a checkpoint says about a model's data: item tokens, hashes, and what was fitted to item texts."""
    values = (
        model.n_items,
        _as_bytes(model.item_tokens),
        model.feature_size,
        model.item_hash,
        model.feature_hash,
        model.counts_hash,
        model.feature_sketch,
        model.fitted_text,
        model.fitted_words,
    )
    return dict(zip(DATA_KEYS, values, strict=True))


def _as_bytes(tokens: Sequence[str]) -> Tensor:
    # As one tensor, since reading a list of a million strings without unpickling code takes seconds.
    return torch.frombuffer(bytearray().join(joined_blocks(tokens)), dtype=torch.uint8)


def item_tokens(state: dict) -> list[str] | None:
    """Return the item tokens [N] of a checkpoint by internal id; None if an older version wrote it."""
    tokens = state.get("item_tokens")
    return None if tokens is None else bytes(tokens.numpy()).decode().split("\n")


def check_identity(state: dict, model, path: str | Path, allows_edits: bool = False):
    """Check that a checkpoint has the items, their numbering, the text features and the counts of a model.

    Args:
        state: content of the checkpoint.
        model: the model.
        path: file of the checkpoint, for messages.
        allows_edits: whether up to half of the items may have other texts.

    Raises:
        CheckpointError: one of them differs.
    """
    model.check_items(state.get("item_hash"), path)
    # Older versions did not store what evidence of words was fitted to: an edit would change the words of other items.
    allows_edits = allows_edits and (model.fitted_words is None or state.get("fitted_words") is not None)
    if state.get("feature_hash") != model.feature_hash:
        _check_features(state, model, path, allows_edits)
    if state.get("counts_hash") != model.counts_hash:
        raise CheckpointError(
            f"checkpoint {path} was written with other counts of training interactions, or other texts beside them, "
            "than these data give: restore its files and settings, or start a new run"
        )
    if len(model.edited_items):
        _check_texts(model, path, allows_edits)


def _check_texts(model, path: str | Path, allows_edits: bool):
    """Refuse texts whose words are not those that evidence was fitted to, or warn of them."""
    edited = _items(torch.tensor(model.edited_items), model)
    if not allows_edits or 2 * len(model.edited_items) > len(model.item_tokens):
        raise CheckpointError(
            f"checkpoint {path} has evidence of words, fitted to other texts of {edited}: restore their texts, or "
            "start a new run with --pretrained"
        )
    logger.warning(
        "%s have other texts than when the evidence of %s was fitted; the words of the others count as before",
        edited,
        path,
    )


def _check_features(state: dict, model, path: str | Path, allows_edits: bool):
    """Refuse features that differ from those of training by more than rounding, or warn of what differs."""
    changed = changed_rows(state.get("feature_sketch"), model.feature_sketch)
    if changed is None or 2 * len(changed) > len(model.feature_sketch):
        age = "" if "fitted_text" in state else " (an older version wrote it, which made some features otherwise)"
        raise CheckpointError(
            f"checkpoint {path} was trained on item features {_short(state.get('feature_hash'))}, but the model has "
            f"{_short(model.feature_hash)}: restore the item text, encoder or feature_file of that run, or start a new "
            f"run with --pretrained{age}"
        )
    if not len(changed):
        logger.warning(
            "item features differ by rounding from those that %s was trained on: last digits of scores may differ",
            path,
        )
    elif allows_edits:
        logger.warning(
            "%s have other text features than when %s was trained; the new ones are used", _items(changed, model), path
        )
    else:
        raise CheckpointError(
            f"checkpoint {path} was trained with other text features of {_items(changed, model)}: restore their texts, "
            "or start a new run with --pretrained"
        )


def _items(rows: Tensor, model) -> str:
    """Return how many items these rows are, with the names of the first."""
    # After the items come those of a second dataset, which the model does not name.
    names = [repr(str(model.item_tokens[row])) for row in rows.tolist() if row < len(model.item_tokens)]
    names = [*names[:3], *(["…"] if len(names) > 3 else [])]
    count = len(model.item_tokens if model.feature_sketch is None else model.feature_sketch) - 1
    return f"{len(rows)} of {count} items ({', '.join(names)})"


def changed_rows(stored_N2: Tensor | None, present_N2: Tensor | None) -> Tensor | None:
    """Return the rows whose sketches differ by more than rounding; None if the two cannot be compared.

    Args:
        stored_N2: sketch of a checkpoint's features; None of older versions.
        present_N2: sketch of a model's features.
    """
    if stored_N2 is None or present_N2 is None or stored_N2.shape != present_N2.shape:
        return None
    size = stored_N2.square().mean().sqrt()
    return ((stored_N2 - present_N2).abs() > ROUNDING * size).any(dim=1).nonzero().squeeze(1)


def _short(feature_hash: str | None) -> str:
    return feature_hash[:12] if feature_hash else "none"

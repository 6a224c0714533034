"""RecBole's own models without most of their padding.

RecBole pads every history to MAX_ITEM_LIST_LENGTH, though most have only a few items. Here a batch keeps its rows and
is still one step, but it is computed in groups of rows of similar length, each cut to its longest history. Without
dropout the result differs only by rounding; with dropout other masks are drawn.

This is exact for a model whose result for a row does not depend on the padding after its history: SASRec attends
backwards only, GRU4Rec is read at the last item, and BERT4Rec's attention to padding underflows to zero.

Shapes: B rows of a batch, N items.
"""

from collections.abc import Callable

import numpy as np
import torch
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_mpo.data.packing import similar_rows

# RecBole's models for which this was checked.
TRIMMED_MODELS = ("SASRec", "GRU4Rec", "BERT4Rec")


def trimmed_loss(model, interaction: Interaction) -> Tensor:
    """Return ``model.calculate_loss(interaction)``, computed on trimmed groups of rows.

    RecBole's losses are means over predictions: one per row or, in BERT4Rec, one per masked item. So the loss of a
    batch is the mean of the losses of its groups, weighted by their numbers of predictions. A row without masked items
    does not contribute to the loss and is left out.
    """
    predictions = _predictions(model, interaction)
    if not predictions.any():
        return model.calculate_loss(interaction)
    lengths = _lengths(model, interaction)
    loss = 0.0
    for rows in similar_rows(lengths, np.flatnonzero(predictions)):
        columns = _columns_of_loss(model, lengths[rows].max(), predictions[rows].max())
        share = predictions[rows].sum().item() / predictions.sum().item()
        loss = loss + share * model.calculate_loss(some_rows(interaction, rows, columns))
    return loss


def trimmed_scores(model, interaction: Interaction, score: Callable[[Interaction], Tensor] | None = None) -> Tensor:
    """Return ``model.full_sort_predict(interaction)`` [B, N], computed on trimmed groups of rows.

    Args:
        model: the model.
        interaction: a batch of RecBole's rows.
        score: replaces ``full_sort_predict``, such as ``model.predict`` for one score per row [B].
    """
    score = score or model.full_sort_predict
    lengths = _lengths(model, interaction)
    scores = None
    for rows in similar_rows(lengths, np.arange(len(lengths))):
        some = score(some_rows(interaction, rows, {model.ITEM_SEQ: slice(lengths[rows].max())}))
        if scores is None:
            scores = some.new_empty(len(lengths), *some.shape[1:])
        scores[torch.from_numpy(rows).to(some.device)] = some
    return scores


def some_rows(interaction: Interaction, rows: np.ndarray, columns: dict[str, slice]) -> Interaction:
    """Return rows of a batch; of the fields named in ``columns`` only these columns."""
    fields = {}
    for name, values in interaction.interaction.items():
        values = values[:, columns[name]] if name in columns else values
        fields[name] = values[torch.from_numpy(rows).to(values.device)]
    return Interaction(fields)


def _lengths(model, interaction) -> np.ndarray:
    return interaction[model.ITEM_SEQ_LEN].cpu().numpy()


def _predictions(model, interaction) -> np.ndarray:
    """Return the number of terms of each row in the loss [B]."""
    if not model.predicts_masked_items:
        return np.ones(len(interaction), dtype=np.int64)
    # These positions are padded with 0, so RecBole does not count a masked first item as a prediction.
    return (interaction[model.MASK_INDEX] > 0).sum(dim=1).cpu().numpy()


def _columns_of_loss(model, length: int, predictions: int) -> dict[str, slice]:
    """Return the columns to keep of the fields that ``calculate_loss`` reads; masked items are padded on the left."""
    if not model.predicts_masked_items:
        return {model.ITEM_SEQ: slice(length)}
    masked = dict.fromkeys((model.MASK_INDEX, model.POS_ITEMS, model.NEG_ITEMS), slice(-predictions, None))
    return {model.MASK_ITEM_SEQ: slice(length), **masked}

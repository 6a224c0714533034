"""Cross-entropy of each target among all items: what training lowers, where a rank sees only the order.

Shapes: B rows of a batch, N items (row 0 is PAD), R rows.
"""

import torch
from torch import Tensor

from recbole_mpo.layers.mpo.convert import merged
from recbole_mpo.trainer.finite import check_scores
from recbole_mpo.trainer.ranking import rows_per_batch


def cross_entropies(scores_BN: Tensor, targets_B: Tensor, mask_pad: bool) -> Tensor:
    """Return the cross-entropy of each target [B], float64; its sum over items is float64 too.

    Args:
        scores_BN: scores of all items as the softmax of the loss takes them, so divided by the temperature.
        targets_B: the target of each row.
        mask_pad: whether PAD is left out of the softmax; the scores are changed then.

    Raises:
        RecboleMPOError: a score is +inf or not a number.
    """
    if mask_pad:
        scores_BN[:, 0] = -torch.inf
    check_scores(scores_BN)
    target_B = scores_BN.gather(1, targets_B.unsqueeze(1)).squeeze(1).double()
    return scores_BN.double().logsumexp(dim=1) - target_B


@torch.no_grad()
def mean_cross_entropy(model, eval_data, device: torch.device, batch_size: int, mask_pad: bool) -> float:
    """Return the mean cross-entropy of a loader's targets over all items, without noise and with MPO weights merged.

    It has the temperature, the evidence and the PAD of the model's own full softmax. Of several processes each computes
    every n-th batch.

    Args:
        model: a ``TextSequentialRecommender``.
        eval_data: loader of RecBole's evaluation rows.
        device: where the model is.
        batch_size: the largest number of rows at a time.
        mask_pad: the setting of the loss.
    """
    model.eval()
    sums = torch.zeros(2, dtype=torch.float64)
    with merged(model):
        item_vectors = model.encode_items()
        candidates = model.candidates(item_vectors)
        rows = rows_per_batch(batch_size, len(candidates))
        for number, (interaction, _, _, targets_B) in enumerate(eval_data):
            if number % model.ranks.count != model.ranks.number:
                continue
            interaction, targets_B = interaction.to(device), targets_B.to(device)
            queries = model.queries(model.encode_histories(item_vectors, interaction))
            items, lengths = interaction[model.ITEM_SEQ], interaction[model.ITEM_SEQ_LEN]
            for begin in range(0, len(targets_B), rows):
                part = slice(begin, begin + rows)
                scores = model.add_evidence(queries[part] @ candidates.t(), items[part], lengths[part])
                sums[0] += cross_entropies(scores, targets_B[part], mask_pad).sum().cpu()
                sums[1] += len(scores)
    total, count = model.ranks.sum(sums).tolist()
    return total / count

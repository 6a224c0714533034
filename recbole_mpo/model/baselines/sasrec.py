"""SASRec with the softmax over all items, trained on whole histories.

Kang and McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018, with the loss that Klenitskiy and Vasilev
("Turning Dross Into Gold Loss: is BERT4Rec really better than SASRec?", RecSys 2023) found to beat BERT4Rec.
"""

from torch import Tensor

from recbole_mpo.model.sequential import TextSequentialRecommender


class SASRecCE(TextSequentialRecommender):
    """RecBole's SASRec with ``loss_type: CE``: same parameters, loss and scores, without its padded prefixes."""

    def queries(self, states: Tensor) -> Tensor:
        """States as they are: scores are inner products."""
        return states

    def candidates(self, item_vectors: Tensor) -> Tensor:
        """Item vectors as they are."""
        return item_vectors

    def _encode_rows(self, rows, merged) -> Tensor:
        # Also PAD's row, which takes part in RecBole's softmax and learns from it.
        return self._item_vectors(rows, merged)

"""SASRec with the softmax over all items, trained on whole histories.

Kang and McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018, with the loss that Klenitskiy and Vasilev
("Turning Dross Into Gold Loss: is BERT4Rec really better than SASRec?", RecSys 2023) found to beat BERT4Rec.
"""

from recbole_mpo.model.evidence import make_evidence
from recbole_mpo.model.item_encoder import ItemEncoder
from recbole_mpo.model.objective import make_objective
from recbole_mpo.model.scoring import InnerProductScoring
from recbole_mpo.model.sequence_encoder import TransformerSequenceEncoder
from recbole_mpo.model.sequential import TextSequentialRecommender


class SASRecCE(TextSequentialRecommender):
    """RecBole's SASRec with ``loss_type: CE``: the same parameters, loss and scores, but without padded prefixes.

    Scores are inner products. PAD's row is part of the softmax and is trained, as in RecBole.

    Args:
        config: settings of the run.
        dataset: training part of the run's dataset.
    """

    def __init__(self, config, dataset):
        super().__init__(
            config,
            dataset,
            items=ItemEncoder(config, dataset, teaches_all=True),
            sequence=TransformerSequenceEncoder(config),
            scoring=InnerProductScoring(),
            objective=make_objective(config, dataset),
            evidence=make_evidence(config, dataset),
        )

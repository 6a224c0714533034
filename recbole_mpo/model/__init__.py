"""Models: from a batch to a loss, from a history to scores.

In come a run's settings, the training part of its dataset (items, histories, text features) and batches; out go losses
for the trainer and scores for its evaluation. What may be asked of any model is declared in
:class:`~recbole_mpo.model.abstract_recommender.ModelContract`. May import common, layers, text and data, and never
sees a checkpoint file.
"""

import recbole_mpo.common.recbole_globals  # noqa: F401  it says how RecBole is installed where it is absent
from recbole_mpo.model.abstract_recommender import FullRankingRecommender, ItemVectorRecommender, ModelContract
from recbole_mpo.model.mporec import MPORec, MPORecExpand, MPORecLight
from recbole_mpo.model.sequential import TextSequentialRecommender, UniSRec

__all__ = [
    "FullRankingRecommender",
    "ItemVectorRecommender",
    "MPORec",
    "MPORecExpand",
    "MPORecLight",
    "ModelContract",
    "TextSequentialRecommender",
    "UniSRec",
]

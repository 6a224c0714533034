"""Models: from a batch to a loss, and from a history to scores.

A run's settings, the training part of its dataset (items, histories, text features) and batches come in. Losses for the
trainer and scores for its evaluation go out. ``ModelContract`` declares what other rooms may use of any model. May
import common, layers, text and data; it does not read or write checkpoints.
"""

import recbole_mpo.common.recbole_globals  # noqa: F401  says how to install RecBole if it is absent
from recbole_mpo.model.abstract_recommender import FullRankingRecommender, ItemVectorRecommender, ModelContract
from recbole_mpo.model.mporec import MPORec, MPORecExpand, MPORecLight
from recbole_mpo.model.sequential import TextSequentialRecommender
from recbole_mpo.model.unisrec import UniSRec

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

"""Training: from batches to a checkpoint, and a checkpoint's exact continuation and evaluation.

In come a model, its loaders and settings; out go ``best.pth``, ``last.pth``, metrics and each target's rank. May
import common, layers, data and model.
"""

import recbole_mpo.common.recbole_globals  # noqa: F401  it says how RecBole is installed where it is absent
from recbole_mpo.trainer.checkpoint import load_checkpoint, save_checkpoint
from recbole_mpo.trainer.ranking import metrics_from_ranks
from recbole_mpo.trainer.trainer import CountingTrainer, ItemVectorTrainer, RunTrainer

__all__ = [
    "CountingTrainer",
    "ItemVectorTrainer",
    "RunTrainer",
    "load_checkpoint",
    "metrics_from_ranks",
    "save_checkpoint",
]

"""Training: from batches to a checkpoint, the exact continuation of a run, and evaluation.

A model, its loaders and settings come in. ``best.pth``, ``last.pth``, metrics and the rank of each target go out. May
import common, layers, data and model.
"""

import recbole_mpo.common.recbole_globals  # noqa: F401  says how to install RecBole if it is absent
from recbole_mpo.trainer.checkpoint import load_checkpoint, save_checkpoint
from recbole_mpo.trainer.item_vector_trainer import ItemVectorTrainer
from recbole_mpo.trainer.ranking import metrics_from_ranks
from recbole_mpo.trainer.trainer import CountingTrainer, RunTrainer

__all__ = [
    "CountingTrainer",
    "ItemVectorTrainer",
    "RunTrainer",
    "load_checkpoint",
    "metrics_from_ranks",
    "save_checkpoint",
]

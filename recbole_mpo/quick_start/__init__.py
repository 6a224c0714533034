"""One recorded run: from names and settings to a finished record.

The names of a model and a dataset, settings files and values come in. A run folder (checkpoints, log, ranks) and its
record, from which every table is made, go out. May import every room below it, but not ``study`` and ``release``.
"""

import recbole_mpo.common.recbole_globals  # noqa: F401  says how to install RecBole if it is absent
from recbole_mpo.quick_start.evaluate import evaluate_checkpoint
from recbole_mpo.quick_start.experiment import Experiment
from recbole_mpo.quick_start.pretrain import pretrain
from recbole_mpo.quick_start.record import read_record
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.quick_start.without_data import model_of_checkpoint

__all__ = ["Experiment", "evaluate_checkpoint", "model_of_checkpoint", "pretrain", "read_record", "run"]

"""One recorded run: from names and settings to a finished record.

In come a model's and a dataset's name, files and values of settings; out go a run's folder (checkpoints, log, ranks)
and its record, from which every table is made. May import every room below it; nothing in it knows a table or a
release.
"""

import recbole_mpo.common.recbole_globals  # noqa: F401  it says how RecBole is installed where it is absent
from recbole_mpo.quick_start.evaluate import evaluate_checkpoint
from recbole_mpo.quick_start.experiment import Experiment
from recbole_mpo.quick_start.record import read_record
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.quick_start.without_data import model_of_checkpoint

__all__ = ["Experiment", "evaluate_checkpoint", "model_of_checkpoint", "read_record", "run"]

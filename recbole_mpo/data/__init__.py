"""From interaction files to batches.

A dataset's atomic files come in, and raw tables, which ``prepare/`` turns into such files. Histories, the splits of a
dataset, training batches and counts of training histories go out. The room may import ``common`` and ``text``. Its two
halves share only file formats: from the reading half ``prepare/`` imports ``atomic_files``, ``histories``,
``domain_ids``, ``statistics`` and ``sequences``, and no module here imports ``prepare/``.

Datasets, loaders and the catalogue load RecBole and PyTorch, which ``prepare`` and ``inspect`` do not need. So they are
imported from their own modules, and only files and histories are exported here.
"""

from recbole_mpo.data.atomic_files import SPLITS, Fields, Layout, find_layout
from recbole_mpo.data.histories import Histories, read_dataset_histories
from recbole_mpo.data.statistics import Statistics

__all__ = ["SPLITS", "Fields", "Histories", "Layout", "Statistics", "find_layout", "read_dataset_histories"]

"""Interaction files to batches.

In come a dataset's atomic files, and raw tables, which ``prepare/`` turns into such files. Out go histories, the splits
of a dataset, training batches, and what is counted in training histories. The room may import ``common`` and ``text``.
Its two halves meet only in file formats: of the reading half ``prepare/`` imports ``atomic_files``, ``histories``,
``domain_ids``, ``statistics`` and ``sequences``, and no module here imports ``prepare/``.

Datasets, loaders and the catalogue bring RecBole and PyTorch, which ``prepare`` and ``inspect`` can do without; so they
are imported by their own names, and here stand files and histories alone.
"""

from recbole_mpo.data.atomic_files import SPLITS, Fields, Layout, find_layout
from recbole_mpo.data.histories import Histories, read_dataset_histories
from recbole_mpo.data.statistics import Statistics

__all__ = ["SPLITS", "Fields", "Histories", "Layout", "Statistics", "find_layout", "read_dataset_histories"]

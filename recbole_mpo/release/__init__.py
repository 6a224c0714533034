"""Use of a trained model: what can be done with a run's checkpoint.

A checkpoint or a model folder comes in. Recommendations for histories, merged dense weights, and a model folder, which
recommends without a dataset, go out. May import every room up to quick_start, but not study.
"""

from recbole_mpo.release.export import export_checkpoint
from recbole_mpo.release.history_files import History, read_histories
from recbole_mpo.release.merge import merge_checkpoint
from recbole_mpo.release.new_items import NewText
from recbole_mpo.release.recommend import Recommended, Recommender

__all__ = [
    "History",
    "NewText",
    "Recommended",
    "Recommender",
    "export_checkpoint",
    "merge_checkpoint",
    "read_histories",
]

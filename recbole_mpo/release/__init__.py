"""Use of a trained model: what can be done with a run's checkpoint.

A checkpoint or a model folder comes in. Recommendations for histories, merged dense weights, a model folder, which
recommends without a dataset, ONNX graphs, and what a checkpoint has beyond its base (an adapter) go out. May import
every room up to quick_start, but not study.
"""

from recbole_mpo.release.adapter_checkpoints import put_back, take_adapter
from recbole_mpo.release.adapter_set import AdapterSet
from recbole_mpo.release.answers import Recommended
from recbole_mpo.release.export import export_checkpoint
from recbole_mpo.release.history_files import History, read_histories
from recbole_mpo.release.merge import merge_checkpoint
from recbole_mpo.release.new_items import NewText
from recbole_mpo.release.onnx_export import export_onnx
from recbole_mpo.release.recommend import Recommender

__all__ = [
    "AdapterSet",
    "History",
    "NewText",
    "Recommended",
    "Recommender",
    "export_checkpoint",
    "export_onnx",
    "merge_checkpoint",
    "put_back",
    "read_histories",
    "take_adapter",
]

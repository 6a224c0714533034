"""One model out: what is done with a run's checkpoint.

In comes a checkpoint; out go recommendations for raw histories and merged dense weights. May import every room up to
quick_start, and never study.
"""

from recbole_mpo.release.merge import merge_checkpoint
from recbole_mpo.release.recommend import Recommended, Recommender, read_histories

__all__ = ["Recommended", "Recommender", "merge_checkpoint", "read_histories"]

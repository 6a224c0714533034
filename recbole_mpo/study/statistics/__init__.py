"""Statistics of a comparison: how groups of runs differ from a reference group.

Groups of run records come in, differences with their intervals and tests go out. May import common, quick_start's
records, and the study's own reading of ranks.
"""

from recbole_mpo.study.statistics.group_differences import GroupDifference, compare_groups

__all__ = ["GroupDifference", "compare_groups"]

"""Comparison of runs: tables with one row per run.

Run records come in, and tables go out. May import common and quick_start, whose records it reads; it does not use
models or datasets.
"""

from recbole_mpo.study.table import make_table

__all__ = ["make_table"]

"""Many runs to a report: tables of runs side by side.

In come run records and nothing else; out go tables. May import common and quick_start, whose records it reads; it
knows no model.
"""

from recbole_mpo.study.table import make_table

__all__ = ["make_table"]

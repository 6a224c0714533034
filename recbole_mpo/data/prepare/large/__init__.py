"""Datasets larger than memory, prepared by DuckDB: same rows, same order and same texts as in memory.

Raw rows come in and become tables of a database in a scratch folder; a dataset that writes itself goes out. What is
read, kept and written is defined by ``recbole_mpo.data.prepare``, from which this package imports; nothing there
imports this package but ``prepare.py``, which chooses the engine.
"""

from recbole_mpo.data.prepare.large.amazon_categories import CategoryUnion, check_names, find_categories
from recbole_mpo.data.prepare.large.database import open_database
from recbole_mpo.data.prepare.large.large_preparation import LargePreparation

__all__ = ["CategoryUnion", "LargePreparation", "check_names", "find_categories", "open_database"]

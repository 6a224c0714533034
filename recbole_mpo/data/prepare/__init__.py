"""From raw sources to atomic files, one module per source.

The name of a dataset or a user's own tables come in; a folder ``<data_path>/<Name>`` with atomic files, item texts and
a card goes out. In addition to ``common`` and ``text``, this half may import those modules of the reading half that
define the format (``atomic_files``, ``exact_times``, ``histories``, ``domain_ids``, ``statistics``, ``sequences``).
"""

from recbole_mpo.data.prepare.engine import Engine
from recbole_mpo.data.prepare.own_tables import OwnTables
from recbole_mpo.data.prepare.prepare import Request, prepare_dataset, prepare_if_absent
from recbole_mpo.data.prepare.prepared import Form
from recbole_mpo.data.prepare.raw_rows import Columns
from recbole_mpo.data.prepare.recipe import Recipe
from recbole_mpo.data.prepare.rows_hash import hash_of_inter
from recbole_mpo.data.prepare.table_files import Table

__all__ = [
    "Columns",
    "Engine",
    "Form",
    "OwnTables",
    "Recipe",
    "Request",
    "Table",
    "hash_of_inter",
    "prepare_dataset",
    "prepare_if_absent",
]

"""Raw sources to atomic files, one module per source.

In comes a dataset's name or a user's own tables; out goes a folder ``<data_path>/<Name>`` of atomic files, item texts
and a card. Of the reading half of the room this half may import what defines the format (``atomic_files``,
``histories``, ``domain_ids``, ``statistics``, ``sequences``), beside ``common`` and ``text``.
"""

from recbole_mpo.data.prepare.own_tables import OwnTables
from recbole_mpo.data.prepare.prepare import Request, prepare_if_absent
from recbole_mpo.data.prepare.prepared import Form
from recbole_mpo.data.prepare.recipe import Recipe

__all__ = ["Form", "OwnTables", "Recipe", "Request", "prepare_if_absent"]

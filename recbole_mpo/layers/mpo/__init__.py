"""MPO layers: linear layers whose weights are matrix product operators, and the conversion of whole models to them.

``nn.Linear`` layers, or their sizes, and an ``MPOShape`` come in. ``MPOLinear`` layers that replace them go out; they
can be merged back into ``nn.Linear`` layers with the same names. It imports torch and, of this package, only
``layers.replace`` and ``layers.mergeable``.
"""

from recbole_mpo.layers.mpo.convert import (
    STRATEGIES,
    convert_to_mpo,
    dense_state_dict,
    get_nb_trainable_parameters,
    merge_mpo,
    merged,
    mpo_layers,
    print_trainable_parameters,
)
from recbole_mpo.layers.mpo.decompose import GAUGES
from recbole_mpo.layers.mpo.expansion import EXPANSION_INITS
from recbole_mpo.layers.mpo.linear import MPOLinear
from recbole_mpo.layers.mpo.shape import MPOShape
from recbole_mpo.layers.mpo.truncation import TruncationReport

__all__ = [
    "EXPANSION_INITS",
    "GAUGES",
    "STRATEGIES",
    "MPOLinear",
    "MPOShape",
    "TruncationReport",
    "convert_to_mpo",
    "dense_state_dict",
    "get_nb_trainable_parameters",
    "merge_mpo",
    "merged",
    "mpo_layers",
    "print_trainable_parameters",
]

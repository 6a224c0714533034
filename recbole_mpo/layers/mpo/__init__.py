"""MPO layers: linear layers whose weights are matrix product operators, and whole models converted to them.

In come ``nn.Linear`` layers or their sizes and an :class:`MPOShape`; out go :class:`MPOLinear` layers in their places,
which merge back into ``nn.Linear`` layers of the same names. It imports torch and ``layers.replace`` and
``layers.mergeable`` beside it, nothing else of the package.
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

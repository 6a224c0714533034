"""Layers: the building blocks of models.

Tensors come in (item features, rows of ids or states, graphs as CSR arrays) and tensors go out (vectors, states,
losses). A layer does not know datasets, settings or files: sizes and rates are arguments. The room imports only torch.
MPO layers and the conversion of whole models are in ``layers.mpo``.
"""

from recbole_mpo.layers.adaptor import MoEAdaptor
from recbole_mpo.layers.convolution import DilatedConvolutions, Neighbours, Patch, Predecessors, SequenceConvolution
from recbole_mpo.layers.cpu_kernels import Dropout, dropout
from recbole_mpo.layers.cross_task import CrossTask
from recbole_mpo.layers.initialisation import normal_weights
from recbole_mpo.layers.lora import LoRALinear, convert_to_lora
from recbole_mpo.layers.losses import SparseLogits, catalogue_cross_entropy, sampled_cross_entropy, unit
from recbole_mpo.layers.mergeable import MergeableLinear
from recbole_mpo.layers.pair_evidence import ItemEvidence, PairEvidence, PairTables, newest_items
from recbole_mpo.layers.stacked import merge_stacked
from recbole_mpo.layers.transformer import CausalTransformerEncoder

__all__ = [
    "CausalTransformerEncoder",
    "CrossTask",
    "DilatedConvolutions",
    "Dropout",
    "ItemEvidence",
    "LoRALinear",
    "MergeableLinear",
    "MoEAdaptor",
    "Neighbours",
    "PairEvidence",
    "PairTables",
    "Patch",
    "Predecessors",
    "SequenceConvolution",
    "SparseLogits",
    "catalogue_cross_entropy",
    "convert_to_lora",
    "dropout",
    "merge_stacked",
    "newest_items",
    "normal_weights",
    "sampled_cross_entropy",
    "unit",
]

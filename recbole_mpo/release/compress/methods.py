"""The table of all methods of compression."""

from recbole_mpo.release.compress.fast_int8 import INT8_FAST
from recbole_mpo.release.compress.feature_axes import FEATURE_PCA
from recbole_mpo.release.compress.item_tables import ITEM_FP16, ITEM_INT8, ITEM_PCA, ITEM_SVD
from recbole_mpo.release.compress.low_rank_matrices import SVD, SVD_ENERGY
from recbole_mpo.release.compress.method import Method
from recbole_mpo.release.compress.mpo_bonds import MPO, MPO_ENERGY
from recbole_mpo.release.compress.product_codes import ITEM_PQ
from recbole_mpo.release.compress.quantising import FP16, INT4, INT8
from recbole_mpo.release.compress.slicing import EXPERTS, FFN, HEADS
from recbole_mpo.release.compress.sparsity import PRUNE
from recbole_mpo.release.compress.squeezing import SQUEEZE

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        *(FFN, HEADS, EXPERTS, FEATURE_PCA),
        *(PRUNE, SVD, SVD_ENERGY, MPO, MPO_ENERGY, SQUEEZE),
        *(FP16, INT8, INT8_FAST, INT4),
        *(ITEM_SVD, ITEM_PCA, ITEM_FP16, ITEM_INT8, ITEM_PQ),
    )
}

"""Item vectors that are stored, not computed: whole, of fewer numbers, or in fewer bits.

Legend: N items (row 0 is PAD), D hidden, k numbers per item, B states, M rows to compute.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.layers.mpo.convert import merged
from recbole_mpo.model.item_encoder import take
from recbole_mpo.model.scoring import CosineScoring, InnerProductScoring
from recbole_mpo.release.compress.context import Context
from recbole_mpo.release.compress.feature_axes import principal_axes
from recbole_mpo.release.compress.method import CACHED_ITEMS, ITEM_BITS, ITEMS, Method
from recbole_mpo.release.compress.stored_forms import Form, half, int8_rows

# Name of the stored table in a model.
TABLE = "item_store.table"
# What a model has instead of an item encoder once its vectors are stored.
STORE = "item_store"


class ItemStore(nn.Module):
    """Vectors of items as ``table @ axes.T``, or the table itself.

    Args:
        table_Nk: a row of numbers per item; an item without a vector has zeros.
        axes_Dk: what they are multiplied by; None if the table has the vectors themselves.
    """

    def __init__(self, table_Nk: Tensor, axes_Dk: Tensor | None = None):
        super().__init__()
        self.register_buffer("table", table_Nk)
        self.register_buffer("axes", axes_Dk)

    def rows(self, rows: slice | Tensor) -> Tensor:
        """Return the vectors [M, D] of some items."""
        part = take(self.table, rows)
        return part if self.axes is None else part @ self.axes.t()

    def basis(self) -> Tensor | None:
        """Return orthonormal axes [D, k] of the space of all vectors; None if it is the whole space."""
        if self.axes is None or self.axes.shape[1] >= len(self.axes):
            return None
        return torch.linalg.qr(self.axes.double()).Q.float()


class StoredItems:
    """Takes the part of an ``ItemEncoder`` in a model whose item vectors are stored.

    Args:
        store: the vectors.
        source: the item encoder that computed them; None in a model that was read from a file.
    """

    uses_text, item_input = False, "stored"

    def __init__(self, store: ItemStore, source=None):
        self.store, self.source = store, source
        self.modules: dict[str, nn.Module] = {STORE: store}

    def merge(self):
        """Return nothing: there is no adaptor."""

    def vectors(self, rows: slice | Tensor, merged) -> Tensor:
        """Return the vectors [M, D] of the items in ``rows``."""
        return self.store.rows(rows)


class ReducedScoring(InnerProductScoring):
    """Scores as inner products in the space of the item vectors, which has fewer dimensions than states.

    Args:
        whole: the scoring of the model.
        basis_Dk: orthonormal axes of that space; the scores are those of ``whole`` but for rounding.
    """

    modules: ClassVar[dict[str, nn.Module]] = {}

    def __init__(self, whole: CosineScoring, basis_Dk: Tensor):
        self.whole, self.basis_Dk = whole, basis_Dk

    def queries(self, states_BD: Tensor) -> Tensor:
        """Return states [B, k] in the form used for scores."""
        return self.whole.queries(states_BD) @ self.basis_Dk

    def candidates(self, item_vectors_ND: Tensor) -> Tensor:
        """Return item vectors [N, k] in the form used for scores."""
        return self.whole.candidates(item_vectors_ND) @ self.basis_Dk


@torch.no_grad()
def store_items(model: nn.Module) -> ItemStore:
    """Store a model's item vectors in it, unless they are; return the store.

    Raises:
        ConfigError: the model scores by ids beside the text.
    """
    if isinstance(model.items, StoredItems):
        return model.items.store
    if type(model.scoring) is not CosineScoring:
        raise ConfigError("item vectors cannot be stored apart where ids score items too (id_side=output)")
    with merged(model.eval()):
        store = ItemStore(model.encode_items())
    use_store(model, store, model.items)
    return store


def use_store(model: nn.Module, store: ItemStore, source=None):
    """Let a model read its item vectors from a store; its adaptor, features and ids are no longer part of it."""
    for name in [*model.items.modules]:
        delattr(model, name)
    model.items, model.stores_items = StoredItems(store, source), True
    setattr(model, STORE, store)
    if (basis := store.basis()) is not None:
        model.scoring = ReducedScoring(model.scoring, basis)


def _reduce(model: nn.Module, share: float, context: Context, name: str, is_centred: bool) -> nn.Module:
    vectors_ND = store_items(model).table.double()
    # Items without text have no vector, and keep none.
    has_vector_N1 = vectors_ND.any(dim=1, keepdim=True)
    known_MD = vectors_ND[1:][has_vector_N1[1:, 0]]
    count = max(1, round((1 - share) * vectors_ND.shape[1]))
    mean_D, axes_Dk = principal_axes(known_MD, count, is_centred)
    centred_ND = (vectors_ND - mean_D) * has_vector_N1
    table_Nk = centred_ND @ axes_Dk
    kept = float(table_Nk[1:].square().sum() / centred_ND[1:].square().sum().clamp_min(1e-30))
    if is_centred:
        # The mean is one more axis, with a one for each item that has a vector.
        table_Nk, axes_Dk = torch.cat([table_Nk, has_vector_N1], dim=1), torch.cat([axes_Dk, mean_D[:, None]], dim=1)
    store = ItemStore(table_Nk.float(), axes_Dk.float().contiguous())
    use_store(model, store, model.items.source)
    context.notes[name] = {"numbers_per_item": axes_Dk.shape[1], "energy_kept": kept}
    return model


def item_pca(model: nn.Module, share: float, context: Context) -> nn.Module:
    """Store item vectors as their first principal components, and score in their space; return the model.

    Args:
        model: the model, changed in place.
        share: share of the numbers per item that is saved.
        context: gets the number of components and the share of the variance that they keep.
    """
    return _reduce(model, share, context, "item-pca", is_centred=True)


def item_svd(model: nn.Module, share: float, context: Context) -> nn.Module:
    """Store item vectors as the truncated SVD of their table, and score in its space; return the model.

    Args:
        model: the model, changed in place.
        share: share of the numbers per item that is saved.
        context: gets the rank and the share of the squared norm that is kept.
    """
    return _reduce(model, share, context, "item-svd", is_centred=False)


def item_int8(model: nn.Module, strength: None, context: Context) -> nn.Module:
    """Store item vectors as whole numbers of 8 bits with a scale per item; return the model."""
    return use_form(model, int8_rows(store_items(model).table), context)


def item_fp16(model: nn.Module, strength: None, context: Context) -> nn.Module:
    """Store item vectors in float16; return the model."""
    return use_form(model, half(store_items(model).table), context)


def use_form(model: nn.Module, form: Form, context: Context) -> nn.Module:
    """Let a model read the item vectors that a form of its table decodes to; return the model."""
    context.forms[TABLE] = form
    model.items.store.table = form.decode()
    return model


_SHARE = "share of the numbers per item that is saved"
ITEM_PCA = Method(
    "item-pca",
    ITEMS,
    item_pca,
    strength=_SHARE,
    stored="components of each item and a one, axes and mean",
    bounds=(0.01, 0.99),
    artefact=CACHED_ITEMS,
)
ITEM_SVD = Method(
    "item-svd",
    ITEMS,
    item_svd,
    strength=_SHARE,
    stored="two factors of the table",
    bounds=(0.01, 0.99),
    artefact=CACHED_ITEMS,
)
ITEM_INT8 = Method("item-int8", ITEM_BITS, item_int8, "", "int8, a float32 scale per item", artefact=CACHED_ITEMS)
ITEM_FP16 = Method("item-fp16", ITEM_BITS, item_fp16, "", "float16", artefact=CACHED_ITEMS)

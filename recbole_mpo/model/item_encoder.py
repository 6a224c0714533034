"""Item vectors: from text features, from a table of ids, or from both.

Shapes: N items (row 0 is PAD), F feature, D hidden, M rows to compute.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from recbole_mpo.layers.adaptor import MoEAdaptor

ITEM_INPUTS = ("text", "text+id", "id")
# Rows of the features that are looked at at a time.
ROWS_AT_A_TIME = 1 << 16


def scores_by_ids(config) -> bool:
    """Return whether ids stand beside the text in the scores alone, and the vectors that states read are the text's."""
    return config["item_input"] == "text+id" and config["id_side"] == "output"


class ItemTable(nn.Module):
    """Data of all items that are not trained; checkpoints contain the hash of the features instead of the table.

    Args:
        features_NF: text features, zero for PAD and for items without text; None if no text is read. They may be in a
            file that is mapped into memory, in half precision.
        is_empty_N: which items have no data to compute a vector from.
    """

    def __init__(self, features_NF: Tensor | None, is_empty_N: Tensor):
        super().__init__()
        self.register_buffer("features", features_NF, persistent=False)
        self.register_buffer("is_empty", is_empty_N, persistent=False)

    def features_of(self, rows: slice | Tensor) -> Tensor:
        """Return the features [M, F] of the items in ``rows``, in single precision if they are stored in half."""
        features_MF = take(self.features, rows)
        return features_MF.float() if features_MF.dtype == torch.float16 else features_MF


def empty_rows(features_NF: Tensor) -> Tensor:
    """Return which rows are zero [N]; the features are looked at block by block, for they may not fit in memory."""
    return torch.cat([~rows.any(dim=1) for rows in features_NF.split(ROWS_AT_A_TIME)])


class ItemEncoder:
    """Computes item vectors, with modules that the model registers under UniSRec's names.

    With ``item_input: text`` an item without text has the vector zero: it scores zero and gives no gradient. PAD stays
    in the softmax, as in UniSRec's published code, but gives no gradient. For both, an adaptor's output depends only on
    the whitening biases. A cosine divides by the tiny norm of this output, so these gradients would be the largest of a
    step.

    Args:
        config: settings of the run.
        dataset: training part of the run's dataset.
        adaptor_name: name under which the model registers the adaptor.
        make_adaptor: function from (config, F) to a module that maps features [M, F] to vectors [M, D].
        teaches_all: whether PAD and items without text keep the vectors that the modules give, and their gradients.

    Attributes:
        modules: the modules that the model registers, by name and in this order; the model replaces entries here when
            it replaces a module.
    """

    def __init__(
        self,
        config,
        dataset,
        adaptor_name: str = "moe_adaptor",
        make_adaptor: Callable[..., nn.Module] | None = None,
        teaches_all: bool = False,
    ):
        self.item_input: str = "text" if scores_by_ids(config) else config["item_input"]
        self.teaches_all = teaches_all
        count = dataset.num(config["ITEM_ID_FIELD"])
        features = dataset.item_features() if self.uses_text else None
        is_pad = torch.arange(count) == 0
        table = ItemTable(features, empty_rows(features) if self.item_input == "text" else is_pad)
        self.modules: dict[str, nn.Module] = {"item_table": table}
        self.adaptor_name = adaptor_name
        if self.uses_text:
            self.modules[adaptor_name] = (make_adaptor or make_moe_adaptor)(config, self.feature_size)
        if self.item_input != "text":
            self.modules["item_embedding"] = nn.Embedding(count, config["hidden_size"], padding_idx=0)

    @property
    def uses_text(self) -> bool:
        """Whether vectors are computed from text features."""
        return self.item_input != "id"

    @property
    def feature_size(self) -> int:
        """Number of text features F; 0 if no text is read."""
        return self.table.features.shape[1] if self.uses_text else 0

    @property
    def table(self) -> ItemTable:
        """Data of all items that are not trained."""
        return self.modules["item_table"]

    @property
    def adaptor(self) -> nn.Module:
        """Module that maps text features to vectors."""
        return self.modules[self.adaptor_name]

    def merge(self):
        """Return what ``vectors`` needs and is the same for all chunks of items, so that it is computed once."""
        return self.adaptor.merge() if self.uses_text and isinstance(self.adaptor, MoEAdaptor) else None

    def vectors(self, rows: slice | Tensor, merged) -> Tensor:
        """Return the vectors [M, D] of the items in ``rows``; ``merged`` is the result of ``merge``."""
        vectors_MD = self._computed(rows, merged)
        if self.teaches_all:
            return vectors_MD
        has_features_M = ~take(self.table.is_empty, rows)
        is_pad_M = torch.zeros_like(has_features_M)
        if isinstance(rows, Tensor):
            is_pad_M = rows == 0
        elif rows.start == 0:
            is_pad_M[0] = True
        taught_MD = vectors_MD * has_features_M.to(vectors_MD.dtype).unsqueeze(1)
        return torch.addcmul(taught_MD, vectors_MD.detach(), is_pad_M.to(vectors_MD.dtype).unsqueeze(1))

    def _computed(self, rows: slice | Tensor, merged) -> Tensor:
        if not self.uses_text:
            return take(self.modules["item_embedding"].weight, rows)
        vectors_MD = self.vectors_of_text(self.table.features_of(rows), merged)
        if self.item_input == "text":
            return vectors_MD
        return vectors_MD + take(self.modules["item_embedding"].weight, rows)

    def id_vectors(self, rows: slice | Tensor) -> Tensor | None:
        """Return what ids add to the vectors of the items in ``rows`` [M, D]; None if nothing."""
        return None if self.item_input == "text" else take(self.modules["item_embedding"].weight, rows)

    def vectors_of_text(self, features_MF: Tensor, merged=None) -> Tensor:
        """Return the vectors [M, D] of text features, without the id table, for items that may have no id."""
        return self.adaptor(features_MF) if merged is None else self.adaptor(features_MF, merged)


def make_moe_adaptor(config, feature_size: int) -> MoEAdaptor:
    """Return UniSRec's mixture of whitening experts for ``feature_size`` features."""
    return MoEAdaptor(
        feature_size,
        config["hidden_size"],
        config["n_exps"],
        config["adaptor_dropout_prob"],
        config["noisy_gating"],
    )


def make_text_projection(config, feature_size: int) -> nn.Linear:
    """Return one linear layer for ``feature_size`` features."""
    return nn.Linear(feature_size, config["hidden_size"])


def take(table: Tensor, rows: slice | Tensor) -> Tensor:
    """Return rows of a table, as a view for a slice. On a CPU its backward is deterministic, unlike ``table[rows]``."""
    return table[rows] if isinstance(rows, slice) else table.index_select(0, rows)

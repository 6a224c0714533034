"""Item vectors: from text features, from a table of ids, or from both.

Shapes: N items (row 0 is PAD), F feature, D hidden, M rows asked for.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from recbole_mpo.layers.adaptor import MoEAdaptor

ITEM_INPUTS = ("text", "text+id", "id")


class ItemTable(nn.Module):
    """What is known of all items and never trained; checkpoints leave it out and hold the features' hash.

    Args:
        features_NF: text features [N, F], zero for PAD and for items without text; None where no text is read.
        is_empty_N: which items have nothing that a vector could be computed from.
    """

    def __init__(self, features_NF: Tensor | None, is_empty_N: Tensor):
        super().__init__()
        self.register_buffer("features", features_NF, persistent=False)
        self.register_buffer("is_empty", is_empty_N, persistent=False)


class ItemEncoder:
    """The vectors of items, computed by modules that the model registers under UniSRec's names.

    Items of ``item_input: text`` without text have the vector zero: they score zero and teach nothing. PAD stays in
    the softmax as in UniSRec's published code, but takes no gradient. All that an adaptor could make of either are the
    whitening biases, and a cosine divides by that tiny norm: theirs would be the largest gradients of a step.

    Args:
        config, dataset: of the run.
        adaptor_name: under which the adaptor is registered.
        make_adaptor: from (config, F) to the module that makes vectors [M, D] of features [M, F].
        teaches_all: items without text, and PAD, have the vectors that the modules give, and gradients.

    Attributes:
        modules: what the model registers, by name, in this order; it puts there what replaces one.
    """

    def __init__(
        self,
        config,
        dataset,
        adaptor_name: str = "moe_adaptor",
        make_adaptor: Callable[..., nn.Module] | None = None,
        teaches_all: bool = False,
    ):
        self.item_input: str = config["item_input"]
        self.teaches_all = teaches_all
        count = dataset.num(config["ITEM_ID_FIELD"])
        features = dataset.item_features() if self.uses_text else None
        is_pad = torch.arange(count) == 0
        table = ItemTable(features, ~features.any(dim=1) if self.item_input == "text" else is_pad)
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
        """F; 0 where no text is read."""
        return self.table.features.shape[1] if self.uses_text else 0

    @property
    def table(self) -> ItemTable:
        """What is known of all items and never trained."""
        return self.modules["item_table"]

    @property
    def adaptor(self) -> nn.Module:
        """What makes vectors of text features."""
        return self.modules[self.adaptor_name]

    def merge(self):
        """Return what :meth:`vectors` needs to be computed once alone, however many chunks of items there are."""
        return self.adaptor.merge() if self.uses_text and isinstance(self.adaptor, MoEAdaptor) else None

    def vectors(self, rows: slice | Tensor, merged) -> Tensor:
        """Return the vectors [M, D] of some items; ``merged`` is what :meth:`merge` gave."""
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
        vectors_MD = self.vectors_of_text(take(self.table.features, rows), merged)
        if self.item_input == "text":
            return vectors_MD
        return vectors_MD + take(self.modules["item_embedding"].weight, rows)

    def vectors_of_text(self, features_MF: Tensor, merged=None) -> Tensor:
        """Return the vectors [M, D] of text features alone, for items that may have no id."""
        return self.adaptor(features_MF) if merged is None else self.adaptor(features_MF, merged)


def make_moe_adaptor(config, feature_size: int) -> MoEAdaptor:
    """Return UniSRec's mixture of whitening experts for features of this size."""
    return MoEAdaptor(
        feature_size,
        config["hidden_size"],
        config["n_exps"],
        config["adaptor_dropout_prob"],
        config["noisy_gating"],
    )


def make_text_projection(config, feature_size: int) -> nn.Linear:
    """Return one linear layer for features of this size."""
    return nn.Linear(feature_size, config["hidden_size"])


def take(table: Tensor, rows: slice | Tensor) -> Tensor:
    """Return rows of a table; a slice is a view. Unlike ``table[rows]`` its backward is deterministic on a CPU."""
    return table[rows] if isinstance(rows, slice) else table.index_select(0, rows)

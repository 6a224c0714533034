"""Hold a layer's merged weight during an evaluation: merged once, dropped at the end, never out of date in between.

Legend: W (out, in) is a merged weight.
"""

import torch
from torch import Tensor

from recbole_mpo.layers.mergeable import MergeableLinear


class HeldWeight(MergeableLinear):
    """Mixin for a layer with ``merge()``: its ``weight`` is computed at every use, unless it is held.

    While a weight is held, whatever would change its parameters raises ``RuntimeError``.
    """

    _held_weight: Tensor | None = None

    def merge(self) -> Tensor:
        """Return W, computed from the parameters; differentiable."""
        raise NotImplementedError

    @property
    def weight(self) -> Tensor:
        """The dense weight (out, in): the held one inside ``merged(model)``, else ``merge()``.

        Raises:
            RuntimeError: a weight is held, and the layer is in training mode or gradients are on.
        """
        if self._held_weight is None:
            return self.merge()
        if self.training or torch.is_grad_enabled():
            raise RuntimeError("merged() holds this weight for evaluation: no training, no gradients")
        return self._held_weight

    def merged_weight(self) -> Tensor:
        """Return the dense weight (out, in)."""
        return self.weight

    @property
    def holds_weight(self) -> bool:
        """Whether ``merged(model)`` holds this layer's weight now."""
        return self._held_weight is not None

    def hold_weight(self) -> None:
        """Compute the weight once, and use it until ``release_weight`` is called."""
        self._held_weight = self.merge().detach()

    def release_weight(self) -> None:
        """Drop the held weight."""
        self._held_weight = None

    def refuse_while_held(self, action: str) -> None:
        """Refuse an action that would put the held weight out of date.

        Raises:
            RuntimeError: a weight is held.
        """
        if self._held_weight is not None:
            raise RuntimeError(f"{action} changes cores whose weight merged() holds: leave its block first")

    def __getstate__(self) -> dict:
        # deepcopy and pickle call this.
        return {**self.__dict__, "_held_weight": None}

    def _apply(self, fn, recurse=True):
        self.refuse_while_held("moving or casting the layer")
        return super()._apply(fn, recurse)

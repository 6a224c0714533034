"""Hold a layer's merged weight while a model is evaluated: merged once, dropped at the end, never stale in between.

Legend: W (out, in) is a merged weight.
"""

import torch
from torch import Tensor

from recbole_mpo.layers.mergeable import MergeableLinear


class HeldWeight(MergeableLinear):
    """The ``weight`` of a layer with a ``merge()``: contracted afresh at every use, unless it is held.

    What would change the parameters behind a held weight raises RuntimeError.
    """

    _held_weight: Tensor | None = None

    def merge(self) -> Tensor:
        """Return W, computed afresh; differentiable."""
        raise NotImplementedError

    @property
    def weight(self) -> Tensor:
        """The dense weight (out, in): the held one inside ``merged(model)``, else ``merge()``."""
        if self._held_weight is None:
            return self.merge()
        if self.training or torch.is_grad_enabled():
            raise RuntimeError("merged() holds this weight for evaluation: no training, no gradients")
        return self._held_weight

    def merged_weight(self) -> Tensor:
        """Return ``weight``."""
        return self.weight

    @property
    def holds_weight(self) -> bool:
        """Whether ``merged(model)`` holds this layer's weight now."""
        return self._held_weight is not None

    def hold_weight(self) -> None:
        """Compute the weight once and use it until ``release_weight``."""
        self._held_weight = self.merge().detach()

    def release_weight(self) -> None:
        """Drop the held weight."""
        self._held_weight = None

    def refuse_while_held(self, action: str) -> None:
        """Refuse an action that would leave the held weight behind.

        Raises:
            RuntimeError: a weight is held.
        """
        if self._held_weight is not None:
            raise RuntimeError(f"{action} changes the cores whose weight merged() holds: leave it first")

    def __getstate__(self) -> dict:
        # deepcopy and pickle come through here
        return {**self.__dict__, "_held_weight": None}

    def _apply(self, fn, recurse=True):
        self.refuse_while_held("moving or casting the layer")
        return super()._apply(fn, recurse)

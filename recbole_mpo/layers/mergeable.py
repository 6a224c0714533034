"""The base of linear layers whose weight is computed from other parameters.

Legend: W (out, in) as ``nn.Linear`` stores it.
"""

from torch import Tensor


class MergeableLinear:
    """Mixin of a linear map whose weight is computed: ``in_features``, ``out_features`` and ``merged_weight``.

    It comes before ``nn.Module`` among the bases of a class. A plain ``nn.Linear`` does not need it, since its
    ``weight`` is the map.
    """

    in_features: int
    out_features: int

    def merged_weight(self) -> Tensor:
        """Return the whole weight W (out, in) that ``forward`` multiplies by, differentiable if it is trained.

        Raises:
            NotImplementedError: the class does not define it.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define merged_weight()")

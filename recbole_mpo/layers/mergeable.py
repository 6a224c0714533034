"""The base of linear layers whose weight is computed from other parameters.

Legend: W (out, in) as ``nn.Linear`` stores it.
"""

from torch import Tensor


class MergeableLinear:
    """Declares that a module is a linear map with ``in_features``, ``out_features`` and a weight to be computed.

    It stands before the ``nn.Module`` among a class's bases; an ``nn.Linear`` that is nothing more needs no such
    declaration, since its ``weight`` is the map.
    """

    in_features: int
    out_features: int

    def merged_weight(self) -> Tensor:
        """Return the whole weight W (out, in) that ``forward`` multiplies by; differentiable where it is trained."""
        raise NotImplementedError(f"{type(self).__name__} does not say what its merged weight is")

"""The shape of an MPO matrix as a user asks for it, before the sizes of a layer are known.

Legend: n cores; core k is (d_{k-1}, i_k, o_k, d_k) with bond dimensions d, input factors i and output factors o.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from recbole_mpo.layers.mpo.decompose import check_gauge
from recbole_mpo.layers.mpo.factors import choose_factors, resolve_bond_dims


@dataclass(frozen=True)
class MPOShape:
    """Into which cores a dense weight is decomposed; one for all layers of a model.

    Lists become tuples, so that equal shapes are equal and hashable.

    Args:
        num_cores: n.
        in_factors, out_factors: lists of n factors; chosen for each size (:func:`choose_factors`) when left out.
        max_bond_dim: an int for every bond, or one per bond; exact, eq. (2), when left out.
        gauge: ``central``, ``symmetric`` or ``identity`` (:func:`~recbole_mpo.layers.mpo.decompose.decompose`).
        pad: zero-pad the weight up to the factors' products.
    """

    num_cores: int = 5
    in_factors: Sequence[int] | None = None
    out_factors: Sequence[int] | None = None
    max_bond_dim: int | Sequence[int] | None = None
    gauge: str = "central"
    pad: bool = False

    def __post_init__(self) -> None:
        for field in ("in_factors", "out_factors", "max_bond_dim"):
            value = getattr(self, field)
            if isinstance(value, Sequence):
                object.__setattr__(self, field, tuple(value))

    @classmethod
    def collect(cls, shape: "MPOShape | None", keywords: dict) -> "MPOShape":
        """Return the shape that a caller gave, whole or by keywords; the default one where it gave neither.

        Raises:
            TypeError: both were given, a keyword is unknown, or ``shape`` is not an :class:`MPOShape`.
        """
        if shape is None:
            return cls(**keywords)
        if not isinstance(shape, cls):
            raise TypeError(f"shape must be an MPOShape, got {type(shape).__name__}")
        if keywords:
            raise TypeError(f"{', '.join(keywords)} belong into the MPOShape when shape= is given")
        return shape

    def resolve(
        self, in_features: int, out_features: int
    ) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """Return the input factors [n], output factors [n] and bond dimensions [n - 1] of a layer of these sizes.

        Raises:
            ValueError: factors, bonds or gauge do not fit the sizes or one another.
        """
        in_factors, out_factors = choose_factors(
            in_features, out_features, self.num_cores, self.in_factors, self.out_factors, pad=self.pad
        )
        bond_dims = resolve_bond_dims(in_factors, out_factors, self.max_bond_dim)
        check_gauge(self.gauge, in_factors, out_factors, bond_dims)
        return in_factors, out_factors, bond_dims

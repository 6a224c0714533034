"""The shape of an MPO matrix as a user describes it, before the sizes of a layer are known.

Legend: n cores; core k is (d_{k-1}, i_k, o_k, d_k) with bond dimensions d, input factors i and output factors o.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from recbole_mpo.layers.mpo.decompose import check_gauge
from recbole_mpo.layers.mpo.factors import choose_factors, resolve_bond_dims


@dataclass(frozen=True)
class MPOShape:
    """Shape of the cores into which a dense weight is decomposed; one shape serves all layers of a model.

    Lists become tuples, so that equal shapes are equal and hashable.

    Args:
        num_cores: number of cores, n.
        in_factors: n factors of the input size; chosen for each size when left out.
        out_factors: n factors of the output size; chosen for each size when left out.
        max_bond_dim: largest dimension of every bond, or one per bond; when left out, the decomposition is exact,
            eq. (2).
        gauge: ``central`` (all cores but the central one are orthogonal), ``symmetric`` (the roots of the singular
            values are on both sides of each bond), or ``identity`` (one core holds the weight bit for bit; full bonds
            only).
        pad: whether to zero-pad a weight up to the products of the factors.
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
        """Return ``shape``, or a new shape made of keywords; the default one if there are none.

        Args:
            shape: the shape, or None.
            keywords: fields of an ``MPOShape``.

        Raises:
            TypeError: both are given, a keyword is unknown, or ``shape`` is not an ``MPOShape``.
        """
        if shape is None:
            return cls(**keywords)
        if not isinstance(shape, cls):
            raise TypeError(f"shape must be an MPOShape, got {type(shape).__name__}")
        if keywords:
            raise TypeError(f"{', '.join(keywords)} belong in the MPOShape when shape= is given")
        return shape

    def resolve(self, in_features: int, out_features: int) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """Return the input factors [n], output factors [n] and bond dimensions [n - 1] of a layer with these sizes.

        Raises:
            ValueError: factors, bonds or gauge do not fit the sizes or each other.
        """
        in_factors, out_factors = choose_factors(
            in_features, out_features, self.num_cores, self.in_factors, self.out_factors, pad=self.pad
        )
        bond_dims = resolve_bond_dims(in_factors, out_factors, self.max_bond_dim)
        check_gauge(self.gauge, in_factors, out_factors, bond_dims)
        return in_factors, out_factors, bond_dims

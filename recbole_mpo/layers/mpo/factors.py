"""Factor lists, bond dimensions and parameter counts of an MPO matrix: integers only, no tensors.

Legend: n cores; core k has shape (d_{k-1}, i_k, o_k, d_k); i_k, o_k input and output factors,
d_k bond dimensions with d_0 = d_n = 1; I = prod i_k rows, O = prod o_k columns.
"""

import math
import warnings
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import permutations, product

# The lists that reproduce the parameter counts of Table 6 (bonds 6, 72, 160, 8).
PRESETS = {"paper": {(768, 300): ((3, 4, 4, 4, 4), (2, 3, 5, 5, 2))}}

EXHAUSTIVE_UP_TO = 5
PAD_SPREAD = 3.0
LIGHT_MINIMUM_SHARE = 0.01


@cache
def balanced_factors(size: int, count: int) -> tuple[int, ...]:
    """Return ``count`` ascending factors of ``size`` with the least sum of log^2; factors of 1 are allowed.

    Raises:
        ValueError: ``size`` or ``count`` is below 1.
    """
    if size < 1 or count < 1:
        raise ValueError(f"cannot split size {size} into {count} factors: both must be at least 1")
    return min(_factorisations(size, count, 1), key=lambda f: (sum(math.log(x) ** 2 for x in f), f))


def _factorisations(size: int, count: int, smallest: int) -> Iterator[tuple[int, ...]]:
    if count == 1:
        yield (size,)
        return
    factor = smallest
    while factor**count <= size:
        if size % factor == 0:
            for rest in _factorisations(size // factor, count - 1, factor):
                yield (factor, *rest)
        factor += 1


def full_bond_dims(in_factors: Sequence[int], out_factors: Sequence[int]) -> tuple[int, ...]:
    """Return the n-1 bond dimensions at which the decomposition is exact, eq. (2)."""
    sizes = [i * o for i, o in zip(in_factors, out_factors, strict=True)]
    total, left, bonds = math.prod(sizes), 1, []
    for size in sizes[:-1]:
        left *= size
        bonds.append(min(left, total // left))
    return tuple(bonds)


def core_shapes(
    in_factors: Sequence[int], out_factors: Sequence[int], bond_dims: Sequence[int]
) -> list[tuple[int, int, int, int]]:
    """Return the shapes (d_{k-1}, i_k, o_k, d_k) of the n cores."""
    bonds = (1, *bond_dims, 1)
    return list(zip(bonds[:-1], in_factors, out_factors, bonds[1:], strict=True))


def parameter_counts(
    in_factors: Sequence[int], out_factors: Sequence[int], bond_dims: Sequence[int] | None = None
) -> tuple[int, ...]:
    """Return the number of entries of each core, eq. (3); their sum is eq. (4). Default bonds: eq. (2)."""
    bonds = full_bond_dims(in_factors, out_factors) if bond_dims is None else bond_dims
    return tuple(math.prod(shape) for shape in core_shapes(in_factors, out_factors, bonds))


def overparameterisation(
    in_factors: Sequence[int], out_factors: Sequence[int], expand: int = 0, bond: int = 1
) -> float:
    """Return rho, eq. (7): parameters at full bonds and of ``expand`` cores on ``bond``, per dense entry."""
    counts = sum(parameter_counts(in_factors, out_factors))
    inserted = expand * full_bond_dims(in_factors, out_factors)[bond - 1] ** 2 if expand else 0
    return (counts + inserted) / (math.prod(in_factors) * math.prod(out_factors))


def resolve_bond_dims(
    in_factors: Sequence[int], out_factors: Sequence[int], max_bond_dim: int | Sequence[int] | None = None
) -> tuple[int, ...]:
    """Return the n-1 bond dimensions.

    Args:
        in_factors: i_k of each core.
        out_factors: o_k of each core.
        max_bond_dim: an int limits every bond, a sequence gives each bond; when left out, the exact ones, eq. (2).

    Raises:
        ValueError: a bond is below 1, above eq. (2), or too large for its neighbours.
    """
    full = full_bond_dims(in_factors, out_factors)
    if max_bond_dim is None:
        return full
    if isinstance(max_bond_dim, int):
        if max_bond_dim < 1:
            raise ValueError(f"max_bond_dim must be at least 1, got {max_bond_dim}")
        return tuple(min(max_bond_dim, bond) for bond in full)
    bonds = tuple(max_bond_dim)
    if len(bonds) != len(full):
        raise ValueError(f"max_bond_dim has {len(bonds)} bonds, but {len(in_factors)} cores have {len(full)}")
    for k, (bond, limit) in enumerate(zip(bonds, full, strict=True), start=1):
        if not 1 <= bond <= limit:
            raise ValueError(f"bond {k} has dimension {bond}: eq. (2) allows 1 to {limit}")
    for k, (left, i, o, right) in enumerate(core_shapes(in_factors, out_factors, bonds)):
        if right > left * i * o or left > i * o * right:
            raise ValueError(f"bonds {left}, {right} of core {k} differ by more than its factors {i} x {o} allow")
    return bonds


def choose_factors(
    in_features: int,
    out_features: int,
    num_cores: int = 5,
    in_factors: Sequence[int] | None = None,
    out_factors: Sequence[int] | None = None,
    *,
    preset: str | None = "paper",
    pad: bool = False,
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return input and output factors: those given, else the preset's, else balanced ones.

    Balanced factors are ordered so that there are as few parameters as possible.

    Args:
        in_features: I.
        out_features: O.
        num_cores: n.
        in_factors: input factors of each core.
        out_factors: output factors of each core.
        preset: name of a table in ``PRESETS``, or None.
        pad: whether the products may be larger than the sizes.

    Raises:
        ValueError: the given factors do not fit.
    """
    for label, factors, size in (("in", in_factors, in_features), ("out", out_factors, out_features)):
        if factors is not None:
            _check_factors(label, factors, size, num_cores, pad)
    if in_factors is not None and out_factors is not None:
        return tuple(in_factors), tuple(out_factors)
    named = PRESETS[preset] if preset is not None else {}
    pair = named.get((in_features, out_features))
    if in_factors is None and out_factors is None and pair is not None and len(pair[0]) == num_cores:
        return pair
    return _lean_orders(
        _side(in_features, num_cores, pad) if in_factors is None else tuple(in_factors),
        _side(out_features, num_cores, pad) if out_factors is None else tuple(out_factors),
        in_factors is None,
        out_factors is None,
    )


def _check_factors(label: str, factors: Sequence[int], size: int, num_cores: int, pad: bool) -> None:
    named, total = f"{label}_factors {tuple(factors)}", math.prod(factors)
    if len(factors) != num_cores:
        raise ValueError(f"{named} has {len(factors)} entries, but num_cores is {num_cores}")
    if min(factors) < 1:
        raise ValueError(f"{named} must all be at least 1")
    if total < size or (total > size and not pad):
        hint = "" if total < size else " (pad=True allows a larger product)"
        raise ValueError(f"{named} multiply to {total}, but {label}_features is {size}{hint}")


def _side(size: int, num_cores: int, pad: bool) -> tuple[int, ...]:
    return balanced_factors(padded_size(size, num_cores) if pad else size, num_cores)


def padded_size(size: int, num_cores: int) -> int:
    """Return the smallest m >= size whose balanced factors stay below 3 * m^(1/n), for ``pad=True``."""
    padded = size
    while balanced_factors(padded, num_cores)[-1] > PAD_SPREAD * padded ** (1 / num_cores):
        padded += 1
    return padded


@cache
def _lean_orders(
    in_factors: tuple[int, ...], out_factors: tuple[int, ...], order_in: bool, order_out: bool
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the factors, each free side in the order with the fewest parameters, eq. (4).

    For few cores all orders are tried; for many, only those with the largest factor at the centre.
    """
    if len(in_factors) <= EXHAUSTIVE_UP_TO:
        in_orders = sorted(set(permutations(in_factors))) if order_in else [in_factors]
        out_orders = sorted(set(permutations(out_factors))) if order_out else [out_factors]
    else:
        # Left and right alternate, so that an outer core has a large factor on one side only.
        in_orders = [_centre_out(in_factors, left_first=True)] if order_in else [in_factors]
        out_orders = [_centre_out(out_factors, left_first=left) for left in (False, True)]
        out_orders = out_orders if order_out else [out_factors]
    return min(product(in_orders, out_orders), key=lambda pair: _order_cost(*pair))


def _order_cost(in_factors: tuple[int, ...], out_factors: tuple[int, ...]) -> tuple:
    counts = parameter_counts(in_factors, out_factors)
    # If counts are equal, prefer the larger central core, which is the one that ``freeze_central`` freezes.
    return sum(counts), -counts[len(counts) // 2], in_factors, out_factors


def _centre_out(factors: tuple[int, ...], left_first: bool) -> tuple[int, ...]:
    """Return the factors with the largest at the centre and the others by size on alternating sides."""
    descending = sorted(factors, reverse=True)
    centre = len(factors) // 2
    ordered = {centre: descending[0]}
    distance, rest = 1, descending[1:]
    while rest:
        sides = (centre - distance, centre + distance)
        for position in sides if left_first else sides[::-1]:
            if 0 <= position < len(factors):
                ordered[position] = rest.pop(0)
        distance += 1
    return tuple(ordered[position] for position in range(len(factors)))


def check_has_centre(num_cores: int) -> None:
    """Check that the number of cores is odd, so that one is the central core.

    Raises:
        ValueError: the number is even.
    """
    if num_cores % 2 == 0:
        raise ValueError(f"{num_cores} cores have no central core: num_cores must be odd")


def auxiliary_count(
    in_factors: Sequence[int], out_factors: Sequence[int], bond_dims: Sequence[int] | None = None
) -> int:
    """Return the number of entries that the light strategy trains: all cores but the central one."""
    counts = parameter_counts(in_factors, out_factors, bond_dims)
    return sum(counts) - counts[len(counts) // 2]


def light_share(in_factors: Sequence[int], out_factors: Sequence[int], bond_dims: Sequence[int]) -> float:
    """Return the number of entries of all cores but the central one, per entry of the dense matrix."""
    return auxiliary_count(in_factors, out_factors, bond_dims) / (math.prod(in_factors) * math.prod(out_factors))


def warn_if_light_is_empty(
    in_factors: Sequence[int], out_factors: Sequence[int], bond_dims: Sequence[int], stacklevel: int = 2
) -> None:
    """Warn if the cores beside the central one have less than 1 % of the entries of the dense matrix."""
    share = light_share(in_factors, out_factors, bond_dims)
    if share < LIGHT_MINIMUM_SHARE:
        warnings.warn(
            f"the auxiliary cores of {tuple(in_factors)} x {tuple(out_factors)} hold only {100 * share:.2f} "
            "% of the dense size: alone they can learn almost nothing; choose other factors or pad=True",
            stacklevel=stacklevel + 1,
        )

"""Describe the cores of an MPO layer in one line, as ``print(model)`` shows it.

Legend: core k is (r, i, o, s), r and s bond dimensions, i and o input and output factors.
"""

from collections.abc import Sequence

from torch import Tensor


def describe_cores(cores: Sequence[Tensor], expansion: Sequence[Tensor], bond: int, dense_size: int) -> str:
    """Return a line with the factors, bonds, number of parameters and trained cores.

    Args:
        cores: the cores.
        expansion: the expansion cores.
        bond: number of the bond with the expansion cores.
        dense_size: number of entries of the dense weight.
    """
    params = sum(core.numel() for core in (*cores, *expansion))
    phrases = [
        f"in_factors={_compact(core.shape[1] for core in cores)}",
        f"out_factors={_compact(core.shape[2] for core in cores)}",
        f"bond_dims={_compact(core.shape[3] for core in list(cores)[:-1])}",
        f"expansion={len(expansion)}@bond{bond}" if len(expansion) else "",
        f"params={params} ({100 * params / dense_size:.1f}% of dense)",
        f"trainable={_trainable(cores, expansion)}",
    ]
    return ", ".join(phrase for phrase in phrases if phrase)


def _trainable(cores: Sequence[Tensor], expansion: Sequence[Tensor]) -> str:
    """Return ``all``, ``none``, ``auxiliary`` (all but the central core) or ``some``."""
    central = len(cores) // 2
    auxiliary = [core.requires_grad for k, core in enumerate(cores) if k != central]
    auxiliary += [core.requires_grad for core in expansion]
    trained = [cores[central].requires_grad, *auxiliary]
    if all(trained) or not any(trained):
        return "all" if all(trained) else "none"
    return "auxiliary" if all(auxiliary) else "some"


def _compact(values) -> str:
    return f"({','.join(map(str, values))})"

"""How large an adapter is, beside its base and the whole checkpoint."""

from dataclasses import asdict, astuple, dataclass, field
from pathlib import Path

from torch import Tensor

from recbole_mpo.common.files import file_hash
from recbole_mpo.model.parameters import group_of
from recbole_mpo.release.adapter_parts import Parts

# Parts of the names of MPO cores, which stand apart from the rest of their group.
CORE_PARTS = (".cores.", ".expansion.")
# Group of what identifies items and texts.
ITEMS = "items and texts"


@dataclass
class GroupBytes:
    """Bytes of a group of tensors: of the whole checkpoint, and how the adapter comes by them."""

    whole: int = 0
    stored: int = 0
    from_base: int = 0
    rebuilt: int = 0


@dataclass
class AdapterReport:
    """Sizes of an adapter and what it was taken from.

    Attributes:
        files: bytes of the files of base, checkpoint and adapter; the checkpoint's has its optimizer's state.
        sha256: hash of the adapter's file.
        weights: bytes of the checkpoint's weights.
        groups: bytes by group of parameters.
        tensors: numbers of weights that are stored, from the base, and rebuilt.
        threads: number of threads with which the rebuilt ones follow from the base.
    """

    files: dict[str, int]
    sha256: str
    weights: int
    groups: dict[str, GroupBytes] = field(default_factory=dict)
    tensors: dict[str, int] = field(default_factory=dict)
    threads: int = 1

    @property
    def share(self) -> float:
        """Return bytes of the adapter's file divided by those of the checkpoint's weights."""
        return self.files["adapter"] / max(1, self.weights)

    def as_object(self) -> dict:
        """Return the report as plain data."""
        return {**asdict(self), "share_of_weights": self.share}

    def as_text(self) -> str:
        """Return the report as aligned text."""
        rows = [("bytes", "whole", "adapter", "from base", "rebuilt")]
        numbers = {name: astuple(group) for name, group in self.groups.items()}
        numbers["all"] = tuple(map(sum, zip(*numbers.values(), strict=True)))
        rows += [(name, *(f"{number:,}" for number in row)) for name, row in numbers.items()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        # The first column is of words, and the others are of numbers.
        lines = [[row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in rows]
        files = self.files
        sizes = (
            f"base {files['base']:,} bytes, checkpoint {files['checkpoint']:,} bytes (its weights {self.weights:,}), "
            f"adapter {files['adapter']:,} bytes: {self.share:.1%} of the weights"
        )
        return "\n".join([sizes, *("  " + "  ".join(cells) for cells in lines)])


def sizes_of(
    parts: Parts, weights: dict[str, Tensor], tensors: dict[str, Tensor], files: dict[str, str | Path]
) -> AdapterReport:
    """Return the sizes of an adapter.

    Args:
        parts: how it comes by the weights.
        weights: weights of the checkpoint.
        tensors: other tensors that it stores.
        files: the files of base, checkpoint and adapter.
    """
    report = AdapterReport(
        files={kind: Path(path).stat().st_size for kind, path in files.items()},
        sha256=file_hash(files["adapter"]),
        weights=sum(map(_bytes, weights.values())),
        tensors={"stored": len(parts.stored), "from_base": len(parts.from_base), "rebuilt": len(parts.rebuilt)},
        threads=parts.threads,
    )
    from_base, rebuilt = set(parts.from_base), set(parts.rebuilt)
    for name, weight in weights.items():
        is_core = any(part in name for part in CORE_PARTS)
        group = report.groups.setdefault(f"{group_of(name)} (cores)" if is_core else group_of(name), GroupBytes())
        group.whole += _bytes(weight)
        group.stored += _bytes(weight) * (name in parts.stored)
        group.from_base += _bytes(weight) * (name in from_base)
        group.rebuilt += _bytes(weight) * (name in rebuilt)
    of_items = sum(map(_bytes, tensors.values()))
    report.groups[ITEMS] = GroupBytes(whole=of_items, stored=of_items)
    return report


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()

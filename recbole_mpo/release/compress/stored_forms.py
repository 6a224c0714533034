"""How tensors are stored: in fewer bits, as codes of a codebook, or as the entries that are not zero.

A form holds the tensors that a file gets. The model computes with what they decode to, so that it scores the same
before it is written and after it is read.

Legend: O rows, I columns, G groups of a row, N items, S sub-vectors, K codes of a codebook, Z entries not zero.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

# What follows the name of a tensor whose entries that are not zero are stored alone.
SPARSE_PARTS = ("values", "columns", "ends", "shape")
SPARSE_MARK = ":sparse."


@dataclass(frozen=True)
class Form:
    """A tensor in the form in which it is stored.

    Attributes:
        kind: one of ``DECODERS``.
        parts: the stored tensors by part.
    """

    kind: str
    parts: dict[str, Tensor]

    def decode(self) -> Tensor:
        """Return the tensor in float32."""
        return DECODERS[self.kind](self.parts)


def half(tensor: Tensor) -> Form:
    """Return a tensor in 16 bits (float16), whose largest number is 65,504."""
    return Form("half", {"values": tensor.to(torch.float16)})


def int8_rows(tensor_OI: Tensor) -> Form:
    """Return a matrix as whole numbers from -127 to 127 and one scale per row, its largest entry / 127."""
    scales_O1 = tensor_OI.abs().amax(dim=1, keepdim=True) / 127
    # A row of zeros has no scale.
    codes_OI = (tensor_OI / torch.where(scales_O1 > 0, scales_O1, 1.0)).round().to(torch.int8)
    return Form("int8", {"codes": codes_OI, "scales": scales_O1})


def int4(codes_OI: Tensor, scales_OG: Tensor) -> Form:
    """Return whole numbers from -8 to 7, two in a byte, with a scale per group of columns.

    Args:
        codes_OI: the numbers.
        scales_OG: the scales.
    """
    rows, columns = codes_OI.shape
    flat = (codes_OI.flatten().to(torch.int16) + 8).to(torch.uint8)
    flat = torch.nn.functional.pad(flat, (0, len(flat) % 2))
    shape = torch.tensor([rows, columns], dtype=torch.int32)
    return Form("int4", {"pairs": flat[::2] * 16 + flat[1::2], "scales": scales_OG, "shape": shape})


def _decode_half(parts: dict[str, Tensor]) -> Tensor:
    return parts["values"].float()


def _decode_int8(parts: dict[str, Tensor]) -> Tensor:
    return parts["codes"].float() * parts["scales"]


def _decode_int4(parts: dict[str, Tensor]) -> Tensor:
    rows, columns = parts["shape"].tolist()
    pairs, scales_OG = parts["pairs"], parts["scales"]
    codes = torch.stack([pairs // 16, pairs % 16], dim=1).flatten()[: rows * columns]
    codes_OGi = (codes.float() - 8).view(rows, scales_OG.shape[1], -1)
    return (codes_OGi * scales_OG.unsqueeze(2)).flatten(1)


def _decode_product(parts: dict[str, Tensor]) -> Tensor:
    codes_NS, centres_KD, ends_S = parts["codes"].long(), parts["centres"], parts["ends"].tolist()
    begins = [0, *ends_S[:-1]]
    pieces = [
        centres_KD[:, begin:end].index_select(0, codes_NS[:, number])
        for number, (begin, end) in enumerate(zip(begins, ends_S, strict=True))
    ]
    return torch.cat(pieces, dim=1)


DECODERS = {"half": _decode_half, "int8": _decode_int8, "int4": _decode_int4, "product": _decode_product}


def pack(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors by name in which those matrices are sparse that are smaller so.

    Columns are stored in the fewest bytes that hold them, so that entries of 4 bytes are stored sparse from about a
    third of zeros on (2 bytes per column), not from two thirds as with columns of 8 bytes.
    """
    packed = {}
    for name, tensor in tensors.items():
        sparse = _sparse(tensor) if tensor.dim() == 2 else None
        if sparse is None or _bytes(sparse) >= _bytes([tensor]):
            packed[name] = tensor.contiguous()
        else:
            packed |= {f"{name}{SPARSE_MARK}{part}": t for part, t in zip(SPARSE_PARTS, sparse, strict=True)}
    return packed


def unpack(packed: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors that :func:`pack` was given."""
    tensors = {name: tensor for name, tensor in packed.items() if SPARSE_MARK not in name}
    for name in {name.partition(SPARSE_MARK)[0] for name in packed.keys() - tensors.keys()}:
        values_Z, columns_Z, ends_O, shape = (packed[f"{name}{SPARSE_MARK}{part}"] for part in SPARSE_PARTS)
        dense = torch.zeros(shape.tolist(), dtype=values_Z.dtype)
        rows_Z = torch.arange(len(ends_O)).repeat_interleave(ends_O.long().diff(prepend=torch.zeros(1).long()))
        dense[rows_Z, columns_Z.long()] = values_Z
        tensors[name] = dense
    return tensors


def _sparse(tensor_OI: Tensor) -> list[Tensor]:
    rows_Z, columns_Z = tensor_OI.nonzero(as_tuple=True)
    ends_O = torch.bincount(rows_Z, minlength=len(tensor_OI)).cumsum(0).to(torch.int32)
    width = tensor_OI.shape[1]
    kind = torch.uint8 if width <= 256 else torch.int16 if width <= 32_768 else torch.int32
    shape = torch.tensor(tensor_OI.shape, dtype=torch.int32)
    return [tensor_OI[rows_Z, columns_Z], columns_Z.to(kind), ends_O, shape]


def _bytes(tensors: list[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

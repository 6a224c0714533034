"""A feature matrix as a safetensors file that is written and read block by block, so that memory need not hold it.

Shapes: N rows, F feature.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recbole_mpo.common.errors import FeatureError
from recbole_mpo.text.feature_files import HEADER_LENGTH, MATRIX_KEY, begin_hash, place_of_tensor

# Rows that are in memory at once: 25 MB of 768 features.
ROWS_AT_A_TIME = 1 << 13
# Names of types in the header.
_TYPES = {"float32": "F32", "float64": "F64", "float16": "F16", "int64": "I64", "int32": "I32", "uint8": "U8"}
# What offsets of tensors are multiples of.
_ALIGNED = 8


@dataclass(frozen=True)
class RowSource:
    """A float32 matrix whose rows are computed or read when they are asked for.

    Attributes:
        shape: [N, F].
        read: a function from the numbers of the first row and of the row after the last to these rows.
    """

    shape: tuple[int, int]
    read: Callable[[int, int], np.ndarray]

    @classmethod
    def of(cls, matrix_NF: np.ndarray) -> "RowSource":
        """Return the rows of a matrix in memory."""
        return cls(matrix_NF.shape, lambda begin, end: matrix_NF[begin:end])


def write_matrix(path: str | Path, matrix: RowSource, others: dict[str, np.ndarray]) -> str:
    """Write a matrix as the tensor ``features``, and other arrays after it; return the matrix's ``feature_hash``.

    Args:
        path: the file, which is replaced.
        matrix: the matrix; never more than some thousand rows are in memory.
        others: further arrays by name.

    Raises:
        OSError: the file cannot be written.
    """
    shape = (int(matrix.shape[0]), int(matrix.shape[1]))
    digest = begin_hash(np.dtype(np.float32), shape)
    arrays = {name: np.ascontiguousarray(array) for name, array in others.items()}
    with open(path, "wb") as file:
        file.write(_header(shape, arrays))
        for begin in range(0, shape[0], ROWS_AT_A_TIME):
            rows = np.ascontiguousarray(matrix.read(begin, min(begin + ROWS_AT_A_TIME, shape[0])), dtype=np.float32)
            digest.update(rows.data.cast("B") if rows.size else b"")
            file.write(rows.tobytes())
        for array in arrays.values():
            file.write(array.tobytes())
    return digest.hexdigest()


def _header(shape: tuple[int, int], arrays: dict[str, np.ndarray]) -> bytes:
    kinds = [(MATRIX_KEY, "F32", shape, 4 * shape[0] * shape[1])]
    kinds += [(name, _TYPES[array.dtype.name], array.shape, array.nbytes) for name, array in arrays.items()]
    entries, end = {}, 0
    for name, kind, sizes, length in kinds:
        entries[name] = {"dtype": kind, "shape": list(sizes), "data_offsets": [end, end + length]}
        end += length
    text = json.dumps(entries).encode()
    text = text.ljust(-(-len(text) // _ALIGNED) * _ALIGNED)
    return HEADER_LENGTH.pack(len(text)) + text


def map_matrix(path: Path) -> np.ndarray:
    """Return the tensor ``features`` of a safetensors file [N, F], mapped from the disk, read-only.

    Raises:
        FeatureError: the file has no such tensor of float32, or is damaged.
    """
    first, shape = _place(path)
    if not shape[0] * shape[1]:
        return np.zeros(shape, dtype=np.float32)
    return np.memmap(path, dtype=np.float32, mode="r", offset=first, shape=shape)


def hash_matrix(path: Path) -> str:
    """Return the ``feature_hash`` of the tensor ``features`` of a safetensors file, read in parts.

    Raises:
        FeatureError: the file has no such tensor of float32, or is damaged.
    """
    first, shape = _place(path)
    digest, left = begin_hash(np.dtype(np.float32), shape), 4 * shape[0] * shape[1]
    with open(path, "rb") as file:
        file.seek(first)
        while part := file.read(min(left, 1 << 24)):
            digest.update(part)
            left -= len(part)
    return digest.hexdigest()


def _place(path: Path) -> tuple[int, tuple[int, int]]:
    """Return the byte at which the features of a file begin, and their shape."""
    try:
        first, entry = place_of_tensor(path, MATRIX_KEY)
        begin, end = entry["data_offsets"]
        rows, columns = entry["shape"]
        is_whole = end - begin == 4 * rows * columns and first + end - begin <= path.stat().st_size
        if entry["dtype"] != "F32" or not is_whole or first % 4:
            raise ValueError("its features are no whole float32 matrix")
        return first, (rows, columns)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FeatureError(f"{path}: not a readable safetensors file ({error})") from error

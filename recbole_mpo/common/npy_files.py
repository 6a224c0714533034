"""Writes a ``.npy`` file block by block, so that memory need not hold the array."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np


@contextmanager
def appending_npy(path: Path, dtype: type, shape: tuple[int, ...]) -> Iterator[Callable[[np.ndarray], None]]:
    """Yield a function that writes the array's next rows; together they must have its shape.

    The file is not mapped into memory: what is written to a mapped file takes its space later, and a full disk then
    ends the process, without an error.

    Args:
        path: the file, which is replaced.
        dtype, shape: those of the whole array.

    Raises:
        OSError: the file cannot be written.
    """
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        yield lambda rows: file.write(np.ascontiguousarray(rows, dtype).tobytes())

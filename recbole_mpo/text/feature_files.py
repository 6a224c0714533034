"""Reads feature matrices from ``.npy``, ``.safetensors`` and raw float32 files, and hashes matrices.

Shapes: N items, F feature.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from recbole_mpo.common.errors import FeatureError

MATRIX_KEY = "features"
# Suffixes of files that are not a raw matrix, so that none is read as one by accident.
_FOREIGN_SUFFIXES = {
    *(".npz", ".pt", ".pth", ".pkl", ".pickle"),
    *(".csv", ".tsv", ".txt", ".text", ".json", ".parquet"),
}


def read_feature_file(
    path: str | Path, n_rows: int, dimension: int | None = None, tokens: Sequence[str] | None = None
) -> np.ndarray:
    """Read a feature matrix made elsewhere, float32 [N, F]; row r belongs to line r of the text file.

    The file may be ``.npy`` (float16, 32 or 64) or ``.safetensors`` (one matrix, or the one named ``features``). Any
    other file is raw little-endian float32 in row order, as UniSRec writes it (``.feat1CLS``).

    Args:
        path: the file.
        n_rows: N.
        dimension: F; by default read from the file or computed from its size.
        tokens: [N] item tokens, to name items in messages.

    Raises:
        FeatureError: the file is missing, unreadable or pickled, the number of rows or columns is wrong, or numbers are
            not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise FeatureError(f"feature file {path} does not exist")
    if path.suffix == ".npy":
        matrix = _read_npy(path)
    elif path.suffix == ".safetensors":
        matrix = read_safetensors(path)
    elif path.suffix in _FOREIGN_SUFFIXES:
        raise FeatureError(f"{path}: {path.suffix} is not supported; give .npy, .safetensors or raw float32")
    else:
        matrix = _read_raw(path, n_rows, dimension)
    return _checked_matrix(matrix, path, n_rows, dimension, tokens)


def feature_hash(table: np.ndarray) -> str:
    """Return the sha256 of a matrix's dtype, shape and bytes (in row order)."""
    table = np.ascontiguousarray(table)
    digest = hashlib.sha256(f"{table.dtype.str}{table.shape}".encode())
    digest.update(table.data.cast("B") if table.size else b"")
    return digest.hexdigest()


def _read_npy(path: Path) -> np.ndarray:
    try:
        matrix = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise FeatureError(
            f"{path}: not a plain .npy matrix ({str(error).splitlines()[0]}); store a float32 array with "
            "numpy.save (pickled objects are refused because loading them runs code)"
        ) from error
    if not isinstance(matrix, np.ndarray) or not np.issubdtype(matrix.dtype, np.floating):
        content = matrix.dtype if isinstance(matrix, np.ndarray) else "an archive"
        raise FeatureError(f"{path}: holds {content}; a feature matrix must be float16, float32 or float64")
    return matrix


def read_safetensors(path: Path) -> np.ndarray:
    """Read the only matrix of a safetensors file, or the one named ``features``, as float32.

    Raises:
        FeatureError: there is no such matrix, or the file is damaged.
    """
    try:
        # Through torch, because NumPy has no bfloat16.
        with safe_open(path, framework="pt") as file:
            keys = list(file.keys())
            if MATRIX_KEY not in keys and len(keys) != 1:
                raise FeatureError(
                    f"{path}: holds {len(keys)} tensors ({', '.join(keys[:5])}), none named {MATRIX_KEY!r}; rename one"
                )
            matrix = file.get_tensor(MATRIX_KEY if MATRIX_KEY in keys else keys[0])
    except (SafetensorError, OSError) as error:
        raise FeatureError(f"{path}: not a readable safetensors file ({error})") from error
    if not matrix.is_floating_point():
        raise FeatureError(f"{path}: holds {matrix.dtype}; a feature matrix must have a floating-point type")
    return matrix.float().numpy()


def _read_raw(path: Path, n_rows: int, dimension: int | None) -> np.ndarray:
    size = path.stat().st_size
    unit = 4 * (n_rows if dimension is None else dimension)
    if size == 0 or size % unit:
        expected = f"with {n_rows} rows" if dimension is None else f"of dimension {dimension}"
        raise FeatureError(
            f"{path}: {size} bytes are not a float32 matrix {expected}; row r must be the r-th line of .text"
        )
    return np.fromfile(path, dtype="<f4").reshape(-1, size // unit if dimension is None else dimension)


def _checked_matrix(
    matrix: np.ndarray, path: Path, n_rows: int, dimension: int | None, tokens: Sequence[str] | None
) -> np.ndarray:
    """Return the matrix as float32 [N, F].

    Raises:
        FeatureError: the shape is wrong, or numbers are not finite.
    """
    if matrix.ndim != 2:
        raise FeatureError(f"{path}: shape {matrix.shape}; a feature matrix must have two axes, items and features")
    if len(matrix) != n_rows:
        raise FeatureError(
            f"{path}: {len(matrix)} rows for {n_rows} items; row r must be the r-th line of the .text file"
        )
    if matrix.shape[1] == 0 or dimension not in (None, matrix.shape[1]):
        raise FeatureError(f"{path}: dimension {matrix.shape[1]}, expected {dimension or 'at least 1'}")
    with np.errstate(over="ignore"):  # a float64 too large for float32 becomes inf and is reported below
        matrix = np.ascontiguousarray(matrix, dtype=np.float32)
    bad_rows = np.flatnonzero(~np.isfinite(matrix).all(axis=1))
    if bad_rows.size:
        item = "" if tokens is None else f" (item {tokens[bad_rows[0]]!r})"
        raise FeatureError(f"{path}: {bad_rows.size} rows hold NaN or inf, the first is row {bad_rows[0]}{item}")
    return matrix

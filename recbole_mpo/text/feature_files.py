"""Reads feature matrices from ``.npy``, ``.safetensors`` and raw float32 files, and hashes matrices.

Shapes: N items, F feature.
"""

import hashlib
import json
import struct
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from recbole_mpo.common.errors import FeatureError

MATRIX_KEY = "features"
# The length of a safetensors file's header, with which it begins.
HEADER_LENGTH = struct.Struct("<Q")
# Suffixes of files that are not a raw matrix, so that none is read as one by accident.
_FOREIGN_SUFFIXES = {
    *(".npz", ".pt", ".pth", ".pkl", ".pickle"),
    *(".csv", ".tsv", ".txt", ".text", ".json", ".parquet"),
}


# Of a raw file so many rows are looked at. Features of language models are below 1000, and the standard deviation of
# the binary logarithm of their size is about 1.6; for other types read as float32 it is 12 and more.
SAMPLED_ROWS, LARGEST_VALUE, LARGEST_SPREAD = 4096, 1e6, 8.0
# Types of numbers in safetensors files that can be mapped into memory.
MAPPED_TYPES = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}
# Rows of a table in half precision that are sketched at a time.
SKETCHED_ROWS = 1 << 16


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


def map_feature_file(path: Path, n_rows: int, dimension: int | None = None) -> np.ndarray:
    """Return the matrix of a ``.npy`` or ``.safetensors`` file, mapped into memory; its numbers are not looked at.

    Args:
        path: the file.
        n_rows: how many rows it must have.
        dimension: how many columns; by default as many as it has.

    Raises:
        FeatureError: the file is not readable, is of another kind or has another shape.
    """
    if path.suffix == ".npy":
        matrix = _mapped_npy(path)
    elif path.suffix == ".safetensors":
        matrix = _mapped_safetensors(path)
    else:
        raise FeatureError(f"{path}: a file of this size must be .npy or .safetensors; store it with numpy.save")
    _check_shape(matrix, path, n_rows, dimension)
    return matrix


def _mapped_safetensors(path: Path) -> np.ndarray:
    # The library checks the header, and copies what it gives: the place of the numbers is read here.
    with _opened(path) as file:
        key = _matrix_key(file, path)
    begin, entry = place_of_tensor(path, key)
    if entry["dtype"] not in MAPPED_TYPES:
        raise FeatureError(f"{path}: holds {entry['dtype']}; a file of this size must hold {', '.join(MAPPED_TYPES)}")
    return np.memmap(path, MAPPED_TYPES[entry["dtype"]], "r", begin, tuple(entry["shape"]))


def place_of_tensor(path: Path, key: str) -> tuple[int, dict]:
    """Return the byte at which a tensor of a safetensors file begins, and its entry in the header.

    Raises:
        FeatureError: the header cannot be read or lacks the tensor.
    """
    try:
        with open(path, "rb") as file:
            (length,) = HEADER_LENGTH.unpack(file.read(HEADER_LENGTH.size))
            if length > path.stat().st_size:
                raise ValueError("its header is longer than the file")
            entry = json.loads(file.read(length))[key]
        return HEADER_LENGTH.size + length + entry["data_offsets"][0], entry
    except (OSError, ValueError, KeyError, TypeError, struct.error, RecursionError) as error:
        raise FeatureError(f"{path}: not a readable safetensors file ({error})") from error


def feature_hash(table: np.ndarray) -> str:
    """Return the sha256 of a matrix's dtype, shape and bytes (in row order)."""
    table = np.ascontiguousarray(table)
    digest = begin_hash(table.dtype, table.shape)
    digest.update(table.data.cast("B") if table.size else b"")
    return digest.hexdigest()


def begin_hash(dtype: np.dtype, shape: tuple[int, ...]):
    """Return what becomes :func:`feature_hash` when it is updated with a matrix's bytes."""
    return hashlib.sha256(f"{dtype.str}{shape}".encode())


def feature_sketch(table_NF: np.ndarray) -> np.ndarray:
    """Return two numbers per row, float32 [N, 2], that change if the row changes by more than rounding.

    They are the products with two directions that are the same everywhere, so that features encoded on another device
    can be compared with those of a checkpoint, which has no room for all of them.
    """
    columns = table_NF.shape[1]
    # The stream of RandomState never changes, unlike that of newer generators.
    directions = np.random.RandomState(columns).standard_normal((columns, 2)) / np.sqrt(columns)
    directions = directions.astype(np.float32)
    # In parts where a product would make a table of single precision that may not fit in memory.
    step = len(table_NF) if table_NF.dtype == np.float32 else SKETCHED_ROWS
    parts = [table_NF[begin : begin + step] @ directions for begin in range(0, len(table_NF), max(step, 1))]
    return np.concatenate([np.empty((0, 2), np.float32), *parts])


def _read_npy(path: Path) -> np.ndarray:
    return np.array(_mapped_npy(path))


def _mapped_npy(path: Path) -> np.ndarray:
    try:
        # Mapped first, so that a header that promises more than the file has does not reserve memory.
        matrix = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # damaged bytes make the reader of headers fail in many ways
        problem = (str(error).splitlines() or [type(error).__name__])[0]
        raise FeatureError(
            f"{path}: not a plain .npy matrix ({problem}); store a float32 array with "
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
    with _opened(path) as file:
        matrix = file.get_tensor(_matrix_key(file, path))
    if not matrix.is_floating_point():
        raise FeatureError(f"{path}: holds {matrix.dtype}; a feature matrix must have a floating-point type")
    return matrix.float().numpy()


@contextmanager
def _opened(path: Path):
    try:
        # Through torch, because NumPy has no bfloat16.
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise FeatureError(f"{path}: not a readable safetensors file ({error})") from error


def _matrix_key(file, path: Path) -> str:
    keys = list(file.keys())
    if MATRIX_KEY not in keys and len(keys) != 1:
        raise FeatureError(
            f"{path}: holds {len(keys)} tensors ({', '.join(keys[:5])}), none named {MATRIX_KEY!r}; rename one"
        )
    return MATRIX_KEY if MATRIX_KEY in keys else keys[0]


def _read_raw(path: Path, n_rows: int, dimension: int | None) -> np.ndarray:
    """Return a raw matrix; refuse a file whose size or numbers are not those of float32.

    Raises:
        FeatureError: the size does not fit, or the numbers are another type's.
    """
    size = path.stat().st_size
    unit = 4 * (n_rows if dimension is None else dimension)
    if size == 0 or size % unit:
        expected = f"with {n_rows} rows" if dimension is None else f"of dimension {dimension}"
        raise FeatureError(
            f"{path}: {size} bytes are not a float32 matrix {expected}; row r must be the r-th line of .text"
        )
    if dimension is not None and 2 * size in (unit * n_rows, 4 * unit * n_rows):
        kind = "float16" if size < unit * n_rows else "float64"
        raise FeatureError(
            f"{path}: {size} bytes are {n_rows} rows of {dimension} {kind} numbers, and a raw file holds float32; "
            "store it with numpy.save as .npy"
        )
    matrix = np.fromfile(path, dtype="<f4").reshape(-1, size // unit if dimension is None else dimension)
    _refuse_other_types(matrix, path)
    return matrix


def _refuse_other_types(matrix: np.ndarray, path: Path):
    """Refuse numbers that are float64, float16 or text read as float32: their magnitudes are spread far too widely."""
    values = np.abs(matrix[:: max(1, len(matrix) // SAMPLED_ROWS)])
    values = values[np.isfinite(values) & (values > 0)]
    if not len(values):
        return
    spread = np.log2(values.astype(np.float64)).std()
    if values.max() > LARGEST_VALUE or spread > LARGEST_SPREAD:
        raise FeatureError(
            f"{path}: its numbers lie between {values.min():.1e} and {values.max():.1e}, so it is float64, float16 or "
            "text rather than raw float32; store it with numpy.save as .npy, which says what it holds"
        )


def _checked_matrix(
    matrix: np.ndarray, path: Path, n_rows: int, dimension: int | None, tokens: Sequence[str] | None
) -> np.ndarray:
    """Return the matrix as float32 [N, F].

    Raises:
        FeatureError: the shape is wrong, or numbers are not finite.
    """
    _check_shape(matrix, path, n_rows, dimension)
    with np.errstate(over="ignore"):  # a float64 too large for float32 becomes inf and is reported below
        matrix = np.ascontiguousarray(matrix, dtype=np.float32)
    bad_rows = np.flatnonzero(~np.isfinite(matrix).all(axis=1))
    if bad_rows.size:
        item = "" if tokens is None else f" (item {tokens[bad_rows[0]]!r})"
        raise FeatureError(f"{path}: {bad_rows.size} rows hold NaN or inf, the first is row {bad_rows[0]}{item}")
    return matrix


def _check_shape(matrix: np.ndarray, path: Path, n_rows: int, dimension: int | None):
    if matrix.ndim != 2:
        raise FeatureError(f"{path}: shape {matrix.shape}; a feature matrix must have two axes, items and features")
    if len(matrix) != n_rows:
        raise FeatureError(
            f"{path}: {len(matrix)} rows for {n_rows} items; row r must be the r-th line of the .text file"
        )
    if matrix.shape[1] == 0 or dimension not in (None, matrix.shape[1]):
        raise FeatureError(f"{path}: dimension {matrix.shape[1]}, expected {dimension or 'at least 1'}")

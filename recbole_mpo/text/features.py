"""Feature matrices: encoding with a cache, reading files, aligning rows with internal item ids.

N items, F feature dimension.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from tqdm import tqdm

from recbole_mpo import __version__
from recbole_mpo.errors import DataError, FeatureError
from recbole_mpo.text.encoders import TextEncoder
from recbole_mpo.text.itemtext import ItemText, is_missing

logger = logging.getLogger(__name__)

CHUNK_SIZE = 512  # texts encoded between two writes of the partial store
MATRIX_KEY = "features"
_HEADER_BYTES = 256
# Files that are surely not a raw matrix, so that they are not read as one by accident.
_FOREIGN_SUFFIXES = {
    ".npz",
    ".pt",
    ".pth",
    ".pkl",
    ".pickle",
    ".csv",
    ".tsv",
    ".txt",
    ".text",
    ".json",
    ".parquet",
}


@dataclass(frozen=True)
class AlignmentReport:
    """How items and features met; every number counts items, PAD excluded."""

    items: int
    """Items of the data set (candidates)."""
    with_text: int
    """Items with a feature row that is not all zero."""
    missing_text: int
    """Items listed in the text file whose row is all zero: their text holds no letter or digit."""
    absent_from_text_file: int
    """Items the text file does not list."""
    text_only: int
    """Items of the text file that never occur in the data set."""
    duplicate_texts: int | None = None
    """Items whose text another item has too (they score equal); None where no texts were given."""


def encode_items(
    item_text: ItemText,
    encoder: TextEncoder,
    cache_dir: str | Path,
    dataset_name: str,
    show_progress: bool = True,
) -> np.ndarray:
    """Feature matrix of the items, float32 [N, F] in file order; zero rows where the text is missing.

    Kept in `<cache_dir>/<dataset_name>/<encoder.name>.safetensors` with a manifest `<encoder.name>.json`;
    another text or encoder fingerprint encodes anew, and so does a damaged file, with a warning. Equal texts
    are encoded once and get equal rows, bit for bit. An interrupted encoding continues after its last whole
    chunk.

    Raises DataError where no item has text or the cache cannot be written, FeatureError where the encoder
    returns unusable vectors.
    """
    # The fingerprint as JSON gives it back, so that it compares equal with a stored one.
    fingerprint = json.loads(json.dumps(encoder.fingerprint()))
    identity = {"encoder": fingerprint, "text_sha256": text_hash(item_text), "rows": len(item_text)}
    folder = Path(cache_dir) / dataset_name
    cached = _load_cached(folder, encoder.name, identity)
    if cached is not None:
        return cached
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()  # better now than after an hour of encoding
    except OSError as error:
        raise DataError(
            f"{folder}: cannot keep item features there ({error}); set another cache_dir"
        ) from error

    # Distinct texts in order of first appearance: rounding differs between batches, so a text encoded twice
    # would break the exact tie of its items.
    row_of_text: dict[str, int] = {}
    rows = [
        -1 if is_missing(text) else row_of_text.setdefault(text, len(row_of_text)) for text in item_text.texts
    ]
    if not row_of_text:
        raise DataError(
            f"{item_text.source}: no item has a text with a letter or digit, so nothing can be encoded"
        )
    vectors_UF = _encode_distinct(list(row_of_text), encoder, folder, identity, show_progress)
    rows_N = np.asarray(rows)
    features_NF = vectors_UF[rows_N]
    features_NF[rows_N < 0] = 0.0
    _save_cached(folder, encoder.name, identity, features_NF)
    return features_NF


def text_hash(item_text: ItemText) -> str:
    """sha256 over tokens and texts, in order."""
    return hashlib.sha256(json.dumps([item_text.tokens, item_text.texts]).encode()).hexdigest()


def read_feature_file(
    path: str | Path, n_rows: int, dimension: int | None = None, tokens: Sequence[str] | None = None
) -> np.ndarray:
    """Read a feature matrix made elsewhere, float32 [n_rows, F]; row r belongs to line r of the text file.

    `.npy` (float16, 32 or 64), `.safetensors` (one matrix, or the one called `features`); any other file is
    raw little-endian float32 in row order, as UniSRec writes it (`.feat1CLS`), whose F is `dimension` or
    follows from the file's size. `tokens` names items in messages.

    Raises FeatureError for a missing, unreadable or pickled file, a wrong number of rows or columns, and
    numbers that are not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise FeatureError(f"{path}: no such feature file")
    if path.suffix == ".npy":
        matrix = _read_npy(path)
    elif path.suffix == ".safetensors":
        matrix = _read_safetensors(path)
    elif path.suffix in _FOREIGN_SUFFIXES:
        raise FeatureError(f"{path}: {path.suffix} is not read; give .npy, .safetensors or raw float32")
    else:
        matrix = _read_raw(path, n_rows, dimension)
    return _checked_matrix(matrix, path, n_rows, dimension, tokens)


def align_features(
    features: np.ndarray,
    feature_tokens: Sequence[str],
    item_tokens: Sequence[str],
    texts: Sequence[str] | None = None,
) -> tuple[np.ndarray, AlignmentReport]:
    """Gather feature rows by token into internal order: float32 [len(item_tokens), F], and what was found.

    `features` [N, F] has the row of `feature_tokens[r]` at r. `item_tokens` is RecBole's
    `dataset.field2id_token[iid]`: internal ids follow the order of appearance in the interactions, and index
    0 is PAD, whose row is zero. Items without features get zero rows. `texts` [N] only serves to count
    duplicates.

    Raises FeatureError where features and tokens differ in number, or a token occurs twice.
    """
    if len(features) != len(feature_tokens):
        raise FeatureError(f"{len(features)} feature rows for {len(feature_tokens)} tokens; each needs one")
    index = pd.Index(_as_objects(feature_tokens))
    if not index.is_unique:
        raise FeatureError(f"item {index[index.duplicated()][0]!r} occurs twice among the feature rows")
    rows = index.get_indexer(_as_objects(item_tokens)[1:])
    listed = rows >= 0
    table = np.zeros((len(item_tokens), features.shape[1]), dtype=np.float32)
    table[1:][listed] = features[rows[listed]]
    with_text = int(present_rows(table).sum())
    report = AlignmentReport(
        items=len(rows),
        with_text=with_text,
        missing_text=int(listed.sum()) - with_text,
        absent_from_text_file=int((~listed).sum()),
        text_only=len(index) - int(listed.sum()),
        duplicate_texts=None if texts is None else _count_duplicates(texts, rows[listed]),
    )
    return table, report


def present_rows(table: np.ndarray) -> np.ndarray:
    """Mask [rows] of the rows that hold a feature vector; PAD and items without text are all zero."""
    return table.any(axis=1)


def feature_hash(table: np.ndarray) -> str:
    """sha256 over dtype, shape and bytes (row order)."""
    table = np.ascontiguousarray(table)
    digest = hashlib.sha256(f"{table.dtype.str}{table.shape}".encode())
    digest.update(table.data.cast("B") if table.size else b"")
    return digest.hexdigest()


def center_features(table: np.ndarray, present_mask: np.ndarray) -> np.ndarray:
    """A copy of the table [rows, F] with the mean of the present rows subtracted from them.

    Language-model features share one dominant direction; other rows (PAD, missing text) are left as they are.
    """
    centered = table.copy()
    if present_mask.any():
        centered[present_mask] -= table[present_mask].mean(axis=0, dtype=np.float64).astype(table.dtype)
    return centered


def _encode_distinct(
    texts: list[str], encoder: TextEncoder, folder: Path, identity: dict[str, Any], show_progress: bool
) -> np.ndarray:
    """Vectors of distinct texts, float32 [texts, F], with a progress bar."""
    bar = partial(
        tqdm,
        total=len(texts),
        desc=f"Encoding items ({encoder.name})",
        unit="item",
        disable=not show_progress,
    )
    if encoder.needs_whole_corpus:
        with bar() as progress:
            vectors = _encode_checked(encoder, texts)
            progress.update(len(texts))
        return vectors
    with _PartialStore(folder, encoder.name, identity) as store:
        parts = store.read(len(texts))
        done = sum(map(len, parts))
        with bar(initial=done) as progress:
            for start in range(done, len(texts), CHUNK_SIZE):
                parts.append(_encode_checked(encoder, texts[start : start + CHUNK_SIZE]))
                store.write(start, parts[-1])
                progress.update(len(parts[-1]))
    return np.concatenate(parts)


def _encode_checked(encoder: TextEncoder, texts: list[str]) -> np.ndarray:
    vectors = np.asarray(encoder.encode(texts), dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) != len(texts):
        raise FeatureError(f"encoder {encoder.name} returned shape {vectors.shape} for {len(texts)} texts")
    if not np.isfinite(vectors).all():
        raise FeatureError(f"encoder {encoder.name} returned numbers that are not finite")
    return vectors


class _PartialStore:
    """Vectors of an encoding under way, in a file that survives a kill: a header, then float32 rows.

    The file's name and header carry a hash of all that decides the rows, so another text or encoder never
    picks them up. Chunks go to fixed offsets and the file is never shortened once it has rows: two processes
    that encode the same texts at once write the same bytes to the same places.
    """

    def __init__(self, folder: Path, name: str, identity: dict[str, Any]):
        # The chunk size belongs to it, because rounding depends on which texts share a batch.
        key = json.dumps([identity, CHUNK_SIZE], sort_keys=True)
        self.key = hashlib.sha256(key.encode()).hexdigest()
        self.path = folder / f"{name}.{self.key[:16]}.partial"

    def __enter__(self) -> _PartialStore:
        self.file: BinaryIO = os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644), "r+b")
        return self

    def __exit__(self, *exception) -> None:
        self.file.close()

    def read(self, n_texts: int) -> list[np.ndarray]:
        """The rows of finished chunks as one array in a list; an empty list where there are none."""
        header = self.file.read(_HEADER_BYTES)
        dimension = self._dimension(header)
        if dimension is None:
            if header:
                self.file.truncate(0)
            return []
        body = self.file.read()
        rows = min(len(body) // (4 * dimension), n_texts)
        if rows < n_texts:  # the last chunk may have been cut short by the kill
            rows -= rows % CHUNK_SIZE
        if rows == 0:
            return []
        return [np.frombuffer(body, dtype=np.float32, count=rows * dimension).reshape(rows, dimension)]

    def write(self, start: int, vectors: np.ndarray) -> None:
        """Put the rows of texts `start`, `start + 1`, … and wait until the disk has them."""
        if start == 0:
            header = json.dumps({"key": self.key, "dimension": vectors.shape[1]}).encode()
            self.file.seek(0)
            self.file.write(header.ljust(_HEADER_BYTES))
        self.file.seek(_HEADER_BYTES + start * vectors[0].nbytes)
        self.file.write(np.ascontiguousarray(vectors).data)
        self.file.flush()
        os.fsync(self.file.fileno())

    def _dimension(self, header: bytes) -> int | None:
        try:
            stored = json.loads(header)
            return (
                int(stored["dimension"])
                if stored["key"] == self.key and len(header) == _HEADER_BYTES
                else None
            )
        except (ValueError, KeyError, TypeError):
            return None


def _load_cached(folder: Path, name: str, identity: dict[str, Any]) -> np.ndarray | None:
    """The stored features, or None where they are absent, damaged, or made from something else."""
    manifest_path, matrix_path = folder / f"{name}.json", folder / f"{name}.safetensors"
    if not manifest_path.exists() and not matrix_path.exists():
        return None
    try:
        manifest = json.loads(manifest_path.read_text(encoding="utf-8"))
        changed = [key for key, value in identity.items() if manifest[key] != value]
        if changed:
            logger.info("%s was made from another %s; encoding anew", matrix_path, " and ".join(changed))
            return None
        features = _read_safetensors(matrix_path)
        if feature_hash(features) != manifest["features_sha256"]:
            raise FeatureError("the numbers are not those of the manifest")
        return features
    except (OSError, ValueError, KeyError, TypeError, FeatureError) as error:
        logger.warning(
            "the cached features %s are damaged (%s: %s); encoding anew",
            matrix_path,
            type(error).__name__,
            error,
        )
        return None


def _save_cached(folder: Path, name: str, identity: dict[str, Any], features: np.ndarray) -> None:
    """Write matrix and manifest, then drop what interrupted encodings of this encoder left behind."""
    features = np.ascontiguousarray(features)
    manifest = {
        **identity,
        "dimension": features.shape[1],
        "features_sha256": feature_hash(features),
        "created_by": f"recbole_mpo {__version__}",
    }
    with _replacing(folder / f"{name}.safetensors") as temporary:
        save_file({MATRIX_KEY: features}, temporary)
    with _replacing(folder / f"{name}.json") as temporary:
        temporary.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    for leftover in folder.glob(f"{name}.{'[0-9a-f]' * 16}.partial"):
        leftover.unlink(missing_ok=True)


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place in one step; readers never see half a file."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.touch()
        mode = temporary.stat().st_mode
        yield temporary
        os.chmod(temporary, mode)  # safetensors writes files that only their owner may read
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _read_npy(path: Path) -> np.ndarray:
    try:
        matrix = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise FeatureError(
            f"{path}: not a plain .npy matrix ({str(error).splitlines()[0]}); store a float32 array with "
            "numpy.save (pickled objects are refused because loading them runs code)"
        ) from error
    if not isinstance(matrix, np.ndarray) or not np.issubdtype(matrix.dtype, np.floating):
        found = matrix.dtype if isinstance(matrix, np.ndarray) else "an archive"
        raise FeatureError(f"{path}: holds {found}; a feature matrix is float16, float32 or float64")
    return matrix


def _read_safetensors(path: Path) -> np.ndarray:
    try:
        # Through torch, because NumPy has no bfloat16.
        with safe_open(path, framework="pt") as file:
            keys = list(file.keys())
            if MATRIX_KEY not in keys and len(keys) != 1:
                raise FeatureError(
                    f"{path}: holds {len(keys)} tensors ({', '.join(keys[:5])}), none called {MATRIX_KEY!r}"
                )
            matrix = file.get_tensor(MATRIX_KEY if MATRIX_KEY in keys else keys[0])
    except (SafetensorError, OSError) as error:
        raise FeatureError(f"{path}: not a readable safetensors file ({error})") from error
    if not matrix.is_floating_point():
        raise FeatureError(f"{path}: holds {matrix.dtype}; a feature matrix is of a floating-point type")
    return matrix.float().numpy()


def _read_raw(path: Path, n_rows: int, dimension: int | None) -> np.ndarray:
    size = path.stat().st_size
    unit = 4 * (n_rows if dimension is None else dimension)
    if size == 0 or size % unit:
        expected = f"with {n_rows} rows" if dimension is None else f"of dimension {dimension}"
        raise FeatureError(
            f"{path}: {size} bytes are no float32 matrix {expected}; row r must be the r-th line of .text"
        )
    return np.fromfile(path, dtype="<f4").reshape(-1, size // unit if dimension is None else dimension)


def _checked_matrix(
    matrix: np.ndarray, path: Path, n_rows: int, dimension: int | None, tokens: Sequence[str] | None
) -> np.ndarray:
    """The matrix as float32 [n_rows, F]; FeatureError where its shape or its numbers do not serve."""
    if matrix.ndim != 2:
        raise FeatureError(f"{path}: shape {matrix.shape}; a feature matrix has two axes, items and features")
    if len(matrix) != n_rows:
        raise FeatureError(
            f"{path}: {len(matrix)} rows for {n_rows} items; row r must be the r-th line of the .text file"
        )
    if matrix.shape[1] == 0 or dimension not in (None, matrix.shape[1]):
        raise FeatureError(f"{path}: dimension {matrix.shape[1]}, expected {dimension or 'at least 1'}")
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes inf and is reported below
        matrix = np.ascontiguousarray(matrix, dtype=np.float32)
    bad_rows = np.flatnonzero(~np.isfinite(matrix).all(axis=1))
    if bad_rows.size:
        item = "" if tokens is None else f" (item {tokens[bad_rows[0]]!r})"
        raise FeatureError(
            f"{path}: {bad_rows.size} rows hold NaN or inf, the first is row {bad_rows[0]}{item}"
        )
    return matrix


def _count_duplicates(texts: Sequence[str], rows: np.ndarray) -> int:
    said = pd.Series([texts[row] for row in rows if not is_missing(texts[row])], dtype=object)
    return int(said.duplicated(keep=False).sum())


def _as_objects(tokens: Sequence[str]) -> np.ndarray:
    # RecBole holds tokens as fixed-width strings; pandas compares Python strings.
    return np.asarray(tokens, dtype=object)

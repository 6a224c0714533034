"""Feature tables larger than memory: written once to the cache, centred and scaled, and mapped into memory from there.

What is not read of such a table takes no memory, and what was read can be let go of. The numbers are those that
recbole_mpo.text.item_features gives; of a file in half precision the table is in half precision too.

Shapes: N items by internal id (row 0 is PAD), T rows of the file, F feature.
"""

import hashlib
import itertools
import json
import logging
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np

from recbole_mpo.common.errors import FeatureError
from recbole_mpo.common.files import replacing_path, write_json
from recbole_mpo.common.npy_files import appending_npy
from recbole_mpo.text.alignment import AlignmentReport
from recbole_mpo.text.cache import DAMAGED, hash_arrays
from recbole_mpo.text.feature_files import begin_hash, map_feature_file
from recbole_mpo.text.file_rows import FileRows, rows_of_items
from recbole_mpo.text.fitted_text import FittedBlock, FittedText
from recbole_mpo.text.item_features import ItemFeatures, check_coverage, feature_path, load_item_features, text_path
from recbole_mpo.text.item_text import ItemText
from recbole_mpo.text.kept_arrays import load_arrays, save_arrays
from recbole_mpo.text.making_features import stored_in
from recbole_mpo.text.standardising import ROWS_AT_A_TIME, Standardising, present_rows

logger = logging.getLogger(__name__)

# Size of a feature file from which on its table is mapped.
LARGE_BYTES = 1 << 31
# Changes with what is written, so that the file of an older version is not used.
VERSION = 2


class Float32Rows:
    """A matrix in a file [T, F], read in single precision a few rows at a time.

    Args:
        matrix: the matrix, mapped into memory.
        path: its file, for messages.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, matrix: np.ndarray, path: Path):
        self.matrix, self.path, self.shape = matrix, path, matrix.shape

    def __getitem__(self, rows) -> np.ndarray:
        """Return some rows as an array of their own.

        Raises:
            FeatureError: a number is not finite.
        """
        block = np.array(self.matrix[rows], dtype=np.float32)
        bad = ~np.isfinite(block).all(axis=1)
        if bad.any():
            row = int(np.arange(len(self.matrix))[rows][bad][0])
            raise FeatureError(f"{self.path}: holds NaN or inf, the first of them in row {row}")
        return block

    def any(self, axis: int) -> np.ndarray:
        """Return which rows [T] are not zero; ``axis`` is 1."""
        begins = range(0, len(self.matrix), ROWS_AT_A_TIME)
        return np.concatenate([self[begin : begin + ROWS_AT_A_TIME].any(axis=axis) for begin in begins])


def load_or_map(config, item_tokens, fitted: FittedText | None = None) -> ItemFeatures:
    """Return what recbole_mpo.text.item_features.load_item_features does; from a large file, with a mapped table.

    Items that only have text are then left out, and texts are not compared.

    Args:
        config: settings of the run.
        item_tokens: tokens of the items [N] by internal id, PAD first.
        fitted: what the features are to be made with; by default it is fitted to the rows of the file.

    Raises:
        DataError: the text file is malformed, or the cache cannot be written.
        FeatureError: the file does not match the items, or no item has a row, or ``fitted`` is of other features.
    """
    if not config["feature_file"] or feature_path(config).stat().st_size < LARGE_BYTES:
        return load_item_features(config, item_tokens, fitted)
    file, text = feature_path(config), text_path(config)
    found = rows_of_items(text, file, item_tokens)
    rows = Float32Rows(map_feature_file(file, found.count, config["feature_size"]), file)
    folder = Path(config["cache_dir"]) / config["dataset"]
    fitted = fitted or _read_or_fit(folder, rows, config["feature_center"], config["feature_scale"])
    identity = {
        **_identity(file),
        "rows": hash_arrays({"rows": found.rows}),
        "fitted": hash_arrays(fitted.arrays()),
    }
    path = folder / f"mapped-{_hash(identity)[:16]}.npy"
    with stored_in(folder):
        facts = _stored(path, identity) or _write(path, identity, rows, found, _standardising(fitted))
    # Changes would stay private to the process, so that torch may take the array as one that can be written to.
    table = np.load(path, mmap_mode="c", allow_pickle=False)
    report = AlignmentReport(**facts["report"])
    check_coverage(report, found.source, found.first, item_tokens)
    nobody = np.empty(0, np.int64), np.empty((0, table.shape[1]), np.float32)
    return ItemFeatures(table, facts["hash"], report, file.name, ItemText([], [], text), *nobody, fitted)


def _standardising(fitted: FittedText) -> Standardising:
    if len(fitted.blocks) != 1:
        raise FeatureError(f"features of {len(fitted.blocks)} encoders were fitted, but feature_file is one")
    return fitted.blocks[0].standardising


def _read_or_fit(folder: Path, rows: Float32Rows, centers: bool, scales: bool) -> FittedText:
    """Return what is fitted to all rows of the file, which are read three times if that is not in the cache."""
    identity = {**_identity(rows.path), "centers": centers, "scales": scales}
    path = folder / f"fitted-{_hash(identity)[:16]}.safetensors"
    arrays = load_arrays(path, identity)
    if arrays is None:
        fitted = FittedText((FittedBlock(Standardising.fit(rows, centers, scales)),))
        # Without any number there is nothing to keep.
        arrays = fitted.arrays()
        if arrays:
            save_arrays(path, identity, arrays)
    return FittedText.of(arrays)


def _identity(file: Path) -> dict:
    """Return by what a file is recognised, since reading all of it takes long: the system's number and times of it."""
    status = file.stat()
    times = [status.st_mtime_ns, status.st_ctime_ns]
    return {"version": VERSION, "file": [file.name, status.st_ino, status.st_size, *times]}


def _hash(identity: dict) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _stored(path: Path, identity: dict) -> dict | None:
    """Return hash and report of a table that is in the cache; None if it is not, or was written to since."""
    try:
        facts = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        is_unchanged = facts["table"] == _size_and_time(path) and facts["identity"] == identity
        return facts if is_unchanged else None
    except DAMAGED:
        return None


def _size_and_time(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _write(path: Path, identity: dict, rows: Float32Rows, found: FileRows, numbers: Standardising) -> dict:
    """Write the table, and beside it its hash and report, which are returned.

    Raises:
        DataError: they cannot be written.
    """
    logger.info("%s is written to %s, from which it is mapped into memory", rows.path, path)
    kind = np.float16 if rows.matrix.dtype == np.float16 else np.float32
    shape, with_text = (1 + len(found.rows), rows.shape[1]), 0
    digest = begin_hash(np.dtype(kind), shape)
    with replacing_path(path) as temporary, appending_npy(temporary, kind, shape) as append:
        for block in itertools.chain([np.zeros((1, shape[1]), np.float32)], _blocks(rows, found, numbers)):
            with_text += int(present_rows(block).sum())
            block = block.astype(kind)
            append(block)
            digest.update(block.data.cast("B"))
    listed = int((found.rows >= 0).sum())
    report = AlignmentReport(
        items=len(found.rows),
        with_text=with_text,
        missing_text=listed - with_text,
        absent_from_text_file=len(found.rows) - listed,
        text_only=found.count - listed,
    )
    table = {"table": _size_and_time(path), "hash": digest.hexdigest()}
    facts = {"identity": identity, **table, "report": asdict(report)}
    write_json(path.with_suffix(".json"), facts)
    return facts


def _blocks(rows: Float32Rows, found: FileRows, numbers: Standardising) -> Iterator[np.ndarray]:
    """Yield the vectors of all items but PAD, some thousand at a time, centred and scaled."""
    for begin in range(0, len(found.rows), ROWS_AT_A_TIME):
        wanted = found.rows[begin : begin + ROWS_AT_A_TIME]
        block = np.zeros((len(wanted), rows.shape[1]), np.float32)
        block[wanted >= 0] = rows[wanted[wanted >= 0]]
        numbers.apply(block)
        yield block

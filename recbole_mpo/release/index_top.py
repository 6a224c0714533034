"""Good candidates of queries by an index: a graph of neighbours that is walked instead of scoring all (HNSW).

Shapes: B queries, C candidates (row 0 is PAD), D vector, K results.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from recbole_mpo.common.errors import DataError, DependencyError
from recbole_mpo.common.files import file_hash, replacing_path, write_json
from recbole_mpo.release.exact_top import Best, BlockedTopK

FORMAT = 1
# Neighbours per candidate, and how many candidates are kept in mind while building and while searching.
CONNECTIVITY, EXPANSION_ADD, EXPANSION_SEARCH = 32, 128, 256


class IndexTopK:
    """Good candidates of queries by an index; some of the best may be missed.

    The index is usearch's graph of neighbours (HNSW; Malkov and Yashunin, 2018). What is found gets its exact score, so
    only which candidates are found is approximate. A query whose history leaves out m candidates asks the index for
    K + m. With ``among`` the answer is exact: an index cannot be walked over a few.

    Args:
        vectors: the candidates [C, D]; row 0 is PAD and is no candidate. They are taken to the processor.
        path: file of the index. If it exists it is read, otherwise written, beside ``<path>.json``, which says what it
            is; None to build it in memory.
        expansion: how many candidates a search keeps in mind; more find more and take longer.

    Raises:
        DataError: the index was built from other vectors, or is damaged; or a vector is not finite.
        DependencyError: the package usearch is missing.
    """

    def __init__(self, vectors: Tensor, path: str | Path | None = None, expansion: int = EXPANSION_SEARCH):
        self.exact = BlockedTopK(vectors.cpu())
        self.vectors = self.exact.vectors.contiguous()
        self.index = _new_index(self.vectors.shape[1], expansion)
        if path is not None and Path(path).exists():
            self._read(Path(path))
            return
        # PAD is in no index. Keys are rows.
        self.index.add(np.arange(1, len(self.vectors)), self.vectors[1:].numpy(), threads=torch.get_num_threads())
        if path is not None:
            self._write(Path(path))

    def search(self, queries: Tensor, topk: int, excluded: Iterable[Tensor] = (), among: Tensor | None = None) -> Best:
        """Return good candidates of each query; arguments, result and errors as of ``BlockedTopK.search``."""
        queries, excluded = queries.detach().to(self.vectors), list(excluded)
        most = max((len(rows) for rows in excluded), default=0)
        wanted = min(topk + most, len(self.vectors) - 1)
        if among is not None or not len(queries) or wanted < 1:
            return self.exact.search(queries, topk, excluded, among)
        found = self.index.search(queries.numpy(), wanted, threads=torch.get_num_threads())
        keys = torch.from_numpy(found.keys.astype(np.int64)).view(len(queries), -1)
        parts = []
        for row, query in enumerate(queries.split(1)):
            rows = keys[row].sort().values
            parts.append(self._best(query, rows, topk, excluded[row : row + 1]))
        return Best(torch.cat([part.rows for part in parts]), torch.cat([part.scores for part in parts]))

    def _best(self, query: Tensor, rows: Tensor, topk: int, excluded: list[Tensor]) -> Best:
        """Return the best of some rows, in rising order, for one query [1, D]."""
        count = min(topk, len(self.vectors))
        # Row 0 of the few is PAD, as of all.
        rows = torch.cat([rows.new_zeros(1), rows])
        left_out = [torch.isin(rows, each).nonzero()[:, 0] for each in excluded]
        best = BlockedTopK(self.vectors.index_select(0, rows)).search(query, count, left_out)
        missing = count - best.rows.shape[1]
        return Best(
            torch.nn.functional.pad(rows[best.rows], (0, missing)),
            torch.nn.functional.pad(best.scores, (0, missing), value=-torch.inf),
        )

    def _read(self, path: Path):
        """Read the index of a file.

        Raises:
            DataError: it is of other vectors, or damaged.
        """
        about = Path(f"{path}.json")
        try:
            said = json.loads(about.read_text(encoding="utf-8"))
        except (OSError, ValueError) as problem:
            raise DataError(f"index {path}: {about} cannot be read ({problem}); delete both files") from problem
        if not isinstance(said, dict) or said.get("format") != FORMAT:
            raise DataError(f"{about} does not describe an index of format {FORMAT}; delete it and {path}")
        if said.get("vectors") != vectors_hash(self.vectors):
            raise DataError(f"index {path} was built from other item vectors; delete it to build it again")
        # The reader of the index trusts its file, so that only what was written here is read.
        if said.get("index") != file_hash(path):
            raise DataError(f"index {path} is not the file that {about} describes; delete both files")
        self.index.load(str(path))

    def _write(self, path: Path):
        hashes = {"vectors": vectors_hash(self.vectors)}
        with replacing_path(path) as temporary:
            self.index.save(str(temporary))
            hashes["index"] = file_hash(temporary)
        write_json(f"{path}.json", {"format": FORMAT, **hashes})


def vectors_hash(vectors: Tensor) -> str:
    """Return the sha256 of vectors [C, D] and their shape in hexadecimal."""
    digest = hashlib.sha256(f"{tuple(vectors.shape)}".encode())
    for part in vectors.split(65_536):
        digest.update(part.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _new_index(size: int, expansion: int):
    try:
        from usearch.index import Index
    except ImportError as problem:
        raise DependencyError(
            "an index needs the package usearch: pip install recbole-mpo[index] (or use float32, which needs no more)"
        ) from problem
    return Index(
        ndim=size,
        metric="ip",
        dtype="f32",
        connectivity=CONNECTIVITY,
        expansion_add=EXPANSION_ADD,
        expansion_search=expansion,
    )

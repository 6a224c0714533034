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
from torch.nn.functional import pad

from recbole_mpo.common.claims import claimed
from recbole_mpo.common.errors import DataError, DependencyError
from recbole_mpo.common.files import file_hash, replacing_path, write_json
from recbole_mpo.release.exact_top import Best, BlockedTopK, exact_scores

FORMAT = 1
# Neighbours per candidate, and how many candidates are kept in mind while building and while searching.
CONNECTIVITY, EXPANSION_ADD, EXPANSION_SEARCH = 16, 64, 256
# To ask an index for more than this takes about as long as to score all.
MOST_WANTED = 2000


class IndexTopK:
    """Good candidates of queries by an index; some of the best may be missed.

    The index is usearch's graph of neighbours (HNSW; Malkov and Yashunin, 2018) over the vectors in 8 bits with one
    scale. What is found gets its exact score, so only which candidates are found is approximate. A query for which m
    candidates are left out asks the index for K + m; where that is more than ``MOST_WANTED``, or the index finds fewer,
    all are scored.

    Args:
        vectors: the candidates [C, D]; row 0 is PAD and is never returned. They are taken to the processor.
        path: file of the index. If it exists it is mapped, otherwise written, beside ``<path>.json``, which says what
            it is; None to build it in memory. Processes wait for the one that builds, by the lock ``<path>.lock``.
        expansion: how many candidates a search keeps in mind; more find more and take longer.

    Raises:
        DataError: the index was built from other vectors, or is damaged; or a vector is not finite.
        DependencyError: the package usearch is missing.
    """

    def __init__(self, vectors: Tensor, path: str | Path | None = None, expansion: int = EXPANSION_SEARCH):
        self.exact = BlockedTopK(vectors.cpu())
        self.vectors = self.exact.vectors.contiguous()
        self.index = _new_index(self.vectors.shape[1], expansion)
        if path is None:
            self._build()
        elif Path(path).exists():
            self._read(Path(path))
        else:
            with claimed(f"{path}.lock", waits=True):
                self._read_or_build(Path(path))

    def _read_or_build(self, path: Path):
        # Another process may have written it before this one had the lock.
        if path.exists():
            self._read(path)
        else:
            self._build()
            self._write(path)

    def _build(self):
        # PAD is in no index. Keys are rows.
        keys, codes = np.arange(1, len(self.vectors)), _codes(self.vectors[1:], self.vectors.abs().max())
        self.index.add(keys, codes, threads=torch.get_num_threads())

    def search(
        self, queries: Tensor, topk: int, excluded: Iterable[Tensor] = (), left_out: Tensor | None = None
    ) -> Best:
        """Return good candidates of each query; arguments, result and errors as of ``BlockedTopK.search``."""
        queries, excluded = queries.detach().to(self.vectors), list(excluded)
        if not queries.isfinite().all():
            raise DataError("a query is not finite; the model has diverged")
        everywhere = torch.zeros(0, dtype=torch.long) if left_out is None else left_out.cpu()
        most = max((len(rows) for rows in excluded), default=0) + len(everywhere)
        wanted = min(topk + most, len(self.vectors) - 1)
        if not len(queries) or not 0 < wanted <= MOST_WANTED:
            return self.exact.search(queries, topk, excluded, left_out)
        threads = min(len(queries), torch.get_num_threads())
        # The order of the scores of one query depends on no scale.
        found = self.index.search(_codes(queries, queries.abs().amax(dim=1, keepdim=True)), wanted, threads=threads)
        # A single query's answer has another form. Only the keys that a query's count covers mean something.
        keys = [one.keys.astype(np.int64) for one in ([found] if len(queries) == 1 else found)]
        lists = [torch.cat([rows.cpu(), everywhere]) for rows in excluded] or [everywhere] * len(queries)
        parts = [self._best(*one, min(topk, len(self.vectors))) for one in zip(queries, keys, lists, strict=True)]
        best = Best(torch.stack([part.rows for part in parts]), torch.stack([part.scores for part in parts]))
        # The graph does not lead everywhere: of equal vectors, or of groups far from others, many are not found.
        lacking = [query for query, found_keys in enumerate(keys) if len(found_keys) < wanted]
        if lacking:
            exact = self.exact.search(queries[lacking], topk, [lists[query] for query in lacking])
            best.rows[lacking], best.scores[lacking] = exact.rows, exact.scores
        return best

    def _best(self, query_D: Tensor, keys: np.ndarray, excluded: Tensor, count: int) -> Best:
        """Return the best of what the index found for one query, [K] each."""
        rows = torch.from_numpy(keys)
        rows = rows[~torch.isin(rows, excluded)].sort().values
        scores = exact_scores(query_D, self.vectors.index_select(0, rows))
        order = scores.argsort(descending=True, stable=True)[:count]
        missing = (0, count - len(order))
        return Best(pad(rows[order], missing), pad(scores[order], missing, value=-torch.inf))

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
        # Not copied into memory: pages are read as searches need them.
        self.index.view(str(path))

    def _write(self, path: Path):
        hashes = {"vectors": vectors_hash(self.vectors)}
        with replacing_path(path) as temporary:
            self.index.save(str(temporary))
            hashes["index"] = file_hash(temporary)
            # First, so that where there is an index there is always its description.
            write_json(f"{path}.json", {"format": FORMAT, **hashes})


def vectors_hash(vectors: Tensor) -> str:
    """Return the sha256 of vectors [C, D] and their shape in hexadecimal."""
    digest = hashlib.sha256(f"{tuple(vectors.shape)}".encode())
    for part in vectors.split(65_536):
        digest.update(part.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _codes(vectors: Tensor, largest: Tensor) -> np.ndarray:
    """Return vectors as 8-bit numbers, of which 127 stands for ``largest`` [] or [C, 1]."""
    steps = torch.where(largest > 0, largest, 1.0).expand(len(vectors), 1) / 127
    codes = np.empty(vectors.shape, dtype=np.int8)
    for begin in range(0, len(vectors), 65_536):
        part = slice(begin, begin + 65_536)
        codes[part] = (vectors[part] / steps[part]).round_().clamp_(-127, 127).numpy()
    return codes


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
        dtype="i8",
        connectivity=CONNECTIVITY,
        expansion_add=EXPANSION_ADD,
        expansion_search=expansion,
    )

"""The best candidates of queries, found with vectors of 8-bit numbers, and the same as in float32.

Shapes: B queries, C candidates (row 0 is PAD), D vector, c candidates of a block.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from recbole_mpo.common.errors import DependencyError
from recbole_mpo.release.exact_top import BLOCK, LARGEST, SMALLEST, Block, BlockedTopK, lengths_of, upwards

# More queries read each vector for several products, where float32 is as fast.
MOST_QUERIES = 8
# Blocks per thread that are computed before they are asked for.
AHEAD = 2
# A vector whose largest entry is smaller counts as zero; its length is the error.
ZERO = 2.0**-100


class Int8TopK(BlockedTopK):
    """The best candidates by products of 8-bit numbers, whose bounds say which get an exact score.

    Each candidate is written as ``x = s c + e``: c whole numbers from -127 to 127, ``s = max|x| / 127``, e the rest,
    whose length |e| is computed in float64 and kept; a query likewise as ``q = s_q c_q + e_q``. With ``x' = s c`` and
    ``q' = s_q c_q``::

        q x - q' x' = q (x - x') + (q - q') x' = q e + e_q x'
        |q x - q' x'| <= |q| |e| + |e_q| |x'|                     (Cauchy-Schwarz)

    ``c_q c`` is computed in whole numbers, without error. To turn it into ``q' x'`` in float32 takes a conversion and
    two products, each with a relative error of at most ``u = 2^-24`` (or ``2^-126`` for one too small for float32).
    Rounding at most doubles an entry, so ``|q' x'| <= 4 |q| |x|``, and this error is below ``13 u |q| |x|``. The exact
    score is q x to ``2 u |q| |x|``. Sums of bounds are themselves rounded, to 4 u of the largest term. All of this is
    below ``2^-18 |q| |x|``, so the bound is::

        |q| (|e| + 2^-18 |x|) + |e_q| |x'| (1 + 2^-18) + D 2^-126 (4 + |q| + max |x|)

    For vectors of length 1 with 300 normal entries the bound is about 0.016; scores spread by 0.06. Where it leaves too
    many candidates (many equal scores), a block is scored in float32. So is a batch of more than ``MOST_QUERIES``.

    Memory: D bytes per candidate and 12 for lengths, beside the float32 vectors.

    Args:
        vectors: the candidates [C, D]; row 0 is PAD and is never returned. They are taken to the processor.

    Raises:
        DataError: a vector is not finite.
        DependencyError: the package numkong is missing.
    """

    def __init__(self, vectors: Tensor):
        try:
            import numkong  # noqa: F401 - said at once, not at the first query
        except ImportError as problem:
            raise DependencyError(
                "int8 needs the package numkong: pip install recbole-mpo[index] (or use float32, which needs no more)"
            ) from problem
        super().__init__(vectors.cpu())
        self.codes = np.empty(self.vectors.shape, dtype=np.int8)
        self.scales, errors, coarse_lengths = torch.zeros(len(vectors)), self.lengths.clone(), self.lengths.clone()
        for begin in range(0, len(vectors), 2048):
            part = slice(begin, begin + 2048)
            codes, self.scales[part], errors[part], coarse_lengths[part] = _quantised(self.vectors[part])
            self.codes[part] = codes.numpy()
        self.errors = upwards(errors + 2.0**-18 * self.lengths)
        self.coarse_lengths = upwards(coarse_lengths * (1 + 2.0**-18))

    def grown(self, vectors: Tensor) -> "Int8TopK":
        """Return the same for these candidates and more after them, of which alone 8-bit vectors are made."""
        both, more = super().grown(vectors.cpu()), Int8TopK(vectors[len(self.vectors) :])
        both.codes = np.concatenate([self.codes, more.codes])
        both.scales = torch.cat([self.scales, more.scales])
        both.errors = torch.cat([self.errors, more.errors])
        both.coarse_lengths = torch.cat([self.coarse_lengths, more.coarse_lengths])
        return both

    def _blocks(self, queries: Tensor) -> Iterator[Block]:
        lengths = lengths_of(queries)
        if not 0 < len(queries) <= MOST_QUERIES or float(lengths.max()) * self.largest >= LARGEST:
            yield from super()._blocks(queries)
            return
        codes, scales, errors, _ = _quantised(queries)
        tiny = queries.shape[1] * SMALLEST * (4 + lengths + self.largest)
        asked = (codes.numpy(), *(values[:, None] for values in (scales, *map(upwards, (lengths, errors, tiny)))))
        begins = iter(range(0, len(self.codes), BLOCK // len(queries)))
        threads = torch.get_num_threads()
        with ThreadPoolExecutor(threads) as pool:
            # Blocks that wait to be looked at hold memory: only a few are computed ahead.
            ahead = deque(self._submit(pool, begin, asked) for begin in islice(begins, AHEAD * threads))
            while ahead:
                yield ahead.popleft().result()
                ahead.extend(self._submit(pool, begin, asked) for begin in islice(begins, 1))

    def _submit(self, pool: ThreadPoolExecutor, begin: int, asked: tuple) -> Future:
        return pool.submit(self._block, begin, BLOCK // len(asked[0]), *asked)

    def _block(self, begin: int, size: int, codes: np.ndarray, scales, lengths, errors, tiny) -> Block:
        part = slice(begin, begin + size)
        scores = _products(codes, self.codes[part]).mul_(scales).mul_(self.scales[part])
        bounds = (lengths * self.errors[part]).addcmul_(errors, self.coarse_lengths[part]).add_(tiny)
        return Block(begin, scores - bounds, bounds.add_(scores))


def _quantised(vectors: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return 8-bit vectors [C, D], their scales [C], and the lengths [C] of the errors and of what they stand for."""
    largest = vectors.abs().amax(dim=1)
    scales = torch.where(largest < ZERO, 0.0, largest / 127)
    codes = (vectors / torch.where(scales == 0, torch.inf, scales)[:, None]).round_().clamp_(-127, 127)
    # A product of a float32 and a whole number of 8 bits is exact in float64.
    coarse = codes.double() * scales.double()[:, None]
    errors = torch.linalg.vector_norm(vectors.double() - coarse, dim=1)
    return codes.to(torch.int8), scales, errors, torch.linalg.vector_norm(coarse, dim=1)


def _products(queries: np.ndarray, vectors: np.ndarray) -> Tensor:
    """Return the products [B, c] of 8-bit vectors, summed as whole numbers, as float32."""
    import numkong

    return torch.from_numpy(np.asarray(numkong.cdist(queries, vectors, "dot"))).float()

"""Milliseconds to the best ten of a million items for one history: all scores, float32, 8 bits, and an index.

    python benchmarks/serving.py [--items=1000000] [--hidden=300] [--timed=100] [--checked=1000]
                                 [--index_items=100000] [--kinds=uniform,clustered] [--folder=DIR] [--output=FILE]
                                 [--expansion=256]

Vectors of length one, generated in two ways: ``uniform`` in all directions, and ``clustered`` around 1,000 centres; the
queries are drawn as the items are. Each way runs in a process of its own. The ways to find the best take turns, query
by query, so that other work on the machine is shared by all. Before that the answers of float32 and 8 bits are compared
for ``checked`` queries. An index is built for ``index_items`` of the items, and its recall is that of the exact ten. It
is kept in ``folder``, where a later run finds it and needs not build it. ``expansion`` is how many candidates a search
of it keeps in mind. Without structure an index finds least; a million such vectors alone, which takes long to build::

    python benchmarks/serving.py --items=0 --kinds=uniform --index_items=1000000 --folder=DIR --expansion=1024
"""

import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from recbole_mpo.common.process import prepare_process

prepare_process()

import numpy as np  # noqa: E402 - the process is prepared first
import torch  # noqa: E402
from common import CPU, main, seconds  # noqa: E402
from torch.nn.functional import normalize  # noqa: E402

from recbole_mpo.common.machine import peak_memory_mb  # noqa: E402
from recbole_mpo.common.values import as_list  # noqa: E402
from recbole_mpo.release.index_top import EXPANSION_SEARCH, IndexTopK  # noqa: E402
from recbole_mpo.release.top_items import dense_best, top_items  # noqa: E402

KINDS_OF_DATA = ("uniform", "clustered")
TOPK, HISTORY, TEMPERATURE, CENTRES, SPREAD = 10, 20, 0.07, 1000, 0.7


def generate(kind: str, count: int, hidden: int) -> torch.Tensor:
    """Return vectors [count, hidden] of length one.

    Clustered ones are sums of one of the centres and a random direction of length ``SPREAD``: two of a cluster have a
    cosine of about .67.
    """
    random = torch.Generator().manual_seed(1)
    vectors = normalize(torch.randn(count, hidden, generator=random), dim=1)
    if kind == "clustered":
        centres = normalize(torch.randn(CENTRES, hidden, generator=random), dim=1)
        chosen = torch.randint(CENTRES, (count,), generator=random)
        for part, of in zip(vectors.split(65_536), chosen.split(65_536), strict=True):
            part.mul_(SPREAD).add_(centres[of])
            part.copy_(normalize(part, dim=1))
    return vectors


def summary(taken: list[float]) -> dict:
    """Return the median and the 95th percentile in milliseconds."""
    p50, p95 = np.percentile(np.array(taken) * 1e3, [50, 95])
    return {"p50_ms": float(p50), "p95_ms": float(p95), "calls": len(taken)}


def time_in_turns(ways: dict, count: int) -> dict:
    """Return the summary of each way, called with the numbers 0 to ``count``, in turns; the first is not counted."""
    taken = {name: [] for name in ways}
    for number in range(count + 1):
        for name, call in ways.items():
            taken[name].append(seconds(lambda call=call, number=number: call(number)))
    return {name: summary(values[1:]) for name, values in taken.items()}


def exact(kind: str, items: int, hidden: int, timed: int, checked: int) -> dict:
    """Time all scores, float32 and 8 bits, and count the queries with equal answers; in this process."""
    vectors = generate(kind, items + max(timed + 1, checked), hidden)
    vectors, queries = vectors[:items], vectors[items:] / TEMPERATURE
    left_out = torch.randint(1, items, (len(queries), HISTORY), generator=torch.Generator().manual_seed(2))
    float32, built = top_items(vectors), []
    preparing = seconds(lambda: built.append(top_items(vectors, "int8")))
    (int8,) = built
    equal = 0
    for begin in range(0, checked, 32):
        some = slice(begin, min(begin + 32, checked))
        expected = float32.search(queries[some], TOPK, list(left_out[some]))
        for number in range(some.start, some.stop):
            best = int8.search(queries[number : number + 1], TOPK, [left_out[number]])
            row = number - begin
            same_rows = torch.equal(best.rows[0], expected.rows[row])
            equal += same_rows and torch.equal(best.scores[0], expected.scores[row])
    table, asked = vectors.numpy(), queries.numpy()
    ways = {
        "product_of_numpy": lambda number: table @ asked[number],
        "all_scores": lambda number: dense_best(queries[number : number + 1] @ vectors.t(), TOPK, [left_out[number]]),
        "float32": lambda number: float32.search(queries[number : number + 1], TOPK, [left_out[number]]),
        "int8": lambda number: int8.search(queries[number : number + 1], TOPK, [left_out[number]]),
    }
    found = time_in_turns(ways, timed)
    found |= {"int8_preparing_seconds": preparing, "checked": checked, "equal": equal}
    found |= {f"{name}_over_int8": found[name]["p50_ms"] / found["int8"]["p50_ms"] for name in ways if name != "int8"}
    return found | {"peak_mb": peak_memory_mb(CPU)}


def index(kind: str, items: int, hidden: int, timed: int, folder: str | None, expansion: int) -> dict:
    """Build an index, time it, and measure its recall; in this process."""
    vectors = generate(kind, items + max(timed, 500) + 1, hidden)
    vectors, queries = vectors[:items], vectors[items:] / TEMPERATURE
    left_out = torch.randint(1, items, (len(queries), HISTORY), generator=torch.Generator().manual_seed(2))
    before, built = peak_memory_mb(CPU), []
    path = folder and Path(folder) / f"{kind}-{items}-{hidden}.index"
    is_kept = path is not None and path.is_file()
    taken = seconds(lambda: built.append(IndexTopK(vectors, path, expansion)))
    (top,) = built
    expected = top.exact.search(queries, TOPK, list(left_out)).rows.tolist()
    found = [top.search(queries[row : row + 1], TOPK, [left_out[row]]).rows[0].tolist() for row in range(len(queries))]
    shared = [len(set(ours) & set(best)) / TOPK for ours, best in zip(found, expected, strict=True)]
    ways = {"index": lambda number: top.search(queries[number : number + 1], TOPK, [left_out[number]])}
    return {
        "items": items,
        "expansion": expansion,
        **time_in_turns(ways, timed)["index"],
        "recall@10": float(np.mean(shared)),
        "queries": len(shared),
        "build_seconds": None if is_kept else taken,
        "index_mb": top.index.memory_usage / 1e6,
        "peak_mb": peak_memory_mb(CPU),
        "peak_mb_before": before,
    }


def measure(
    items: int = 1_000_000,
    hidden: int = 300,
    timed: int = 100,
    checked: int = 1000,
    index_items: int = 100_000,
    kinds: str | list = KINDS_OF_DATA,
    folder: str | None = None,
    expansion: int = EXPANSION_SEARCH,
) -> dict:
    """Every way to find the best for every kind of data, each kind in a fresh process."""
    results = {"items": items, "hidden": hidden, "topk": TOPK, "exact": {}, "index": {}}
    for kind in as_list(kinds):
        tasks = (("exact", exact, items, (checked,)), ("index", index, index_items, (folder, expansion)))
        for name, task, count, last in tasks:
            if not count:
                continue
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                result = pool.submit(task, kind, count, hidden, timed, *last).result()
            results[name][kind] = result
            print(kind, name, result, flush=True)
    return results


if __name__ == "__main__":
    sys.exit(main(measure, sys.argv[1:]))

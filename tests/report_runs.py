"""Groups of runs with ranks, as reports are made from: quick, without any training."""

import copy
from dataclasses import replace

import numpy as np

from recbole_mpo.common.rank_gains import rank_gains
from recbole_mpo.quick_start.record import write_ranks, write_record
from recbole_mpo.study.run_groups import RunGroup

METRICS = {"hit@10": ("hit", 10), "hit@50": ("hit", 50), "ndcg@10": ("ndcg", 10), "ndcg@50": ("ndcg", 50)}
USERS = 120
RECORD = {
    "status": "completed",
    "model": "MPORec",
    "label": "MPORec",
    "dataset": "tiny",
    "seed": 1,
    "item_input": "text",
    "data": {
        "files": {"tiny.inter": "aa", "tiny.text": "bb"},
        "users": USERS,
        "item_num": 31,
        "targets": {"train": 281, "valid": USERS, "test": USERS},
        "test_pairs": "dd",
    },
    "params": {"total": 6525864, "trainable": 2109304},
    "seconds": {"total": 30.0, "per_epoch": 2.5, "evaluate": 0.1},
    "best_epoch": 3,
    "epochs_run": 5,
    "hit_epoch_limit": False,
    "peak_memory_mb": 512.5,
    "started": "2026-11-26T11:22:52+00:00",
    "config": {
        "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "group_by": "user", "mode": "full"},
        "MAX_ITEM_LIST_LENGTH": 50,
        "valid_metric": "NDCG@10",
    },
    "features": {"source": "minilm", "dimension": 384, "hash": "c0ffee" * 10},
    "packages": {"torch": "2.13.0+cpu", "numpy": "2.4.6"},
    "device": {"type": "cpu", "name": "AMD EPYC", "threads": 2, "python": "3.11.7"},
    "git": {"commit": "5a441be4c72dc15d97aa", "dirty": False},
}


def make_record(**changes) -> dict:
    """Return a record with changes, ``a__b`` standing for a nested key."""
    record = {**copy.deepcopy(RECORD), "valid": {}, "test": {}}
    for name, value in changes.items():
        place = record
        *outer, last = name.split("__")
        for key in outer:
            place = place[key]
        place[last] = value
    return record


def make_run(folder, ranks, **changes):
    """Write a record with the metrics of some ranks, and the ranks beside it; return the record and its file."""
    ranks = np.asarray(ranks, np.int32)
    metrics = {name: float(rank_gains(ranks, *parts).mean()) for name, parts in METRICS.items()}
    history = [{"epoch": epoch, "valid": {"ndcg@10": 0.01 * (epoch + 1)}} for epoch in range(5)]
    record = make_record(**{"test": metrics, "valid": metrics, "history": history, **changes})
    path = folder / "record.json"
    write_record(record, path)
    users = np.arange(len(ranks), dtype=np.int32)
    columns = {"user": users, "rank": ranks, "history_length": users % 12 + 1, "popularity": users % 7}
    write_ranks({"test": columns}, folder / "ranks.npz")
    return record, path


def random_ranks(seed, best=1.0):
    """Return ranks of 30 items, the higher ``best`` the better."""
    draws = np.random.default_rng(seed).random(USERS)
    return np.floor(30 * draws**best).astype(np.int32) + 1


def make_groups(folder) -> list[RunGroup]:
    """Return four groups: two seeds, three seeds of which one is failed, a model without training, and a failed run."""
    failed = make_record(status="failed", seed=3, error="OSError: no space")
    return [
        RunGroup(
            "UniSRec",
            tuple(
                make_run(folder / f"u{seed}", random_ranks(seed), seed=seed, model="UniSRec", params__trainable=1900000)
                for seed in (1, 2)
            ),
        ),
        RunGroup(
            "MPORec",
            (
                make_run(folder / "m1", random_ranks(11, 2), seed=1, best_epoch=4, hit_epoch_limit=True),
                make_run(folder / "m2", random_ranks(12, 2), seed=2),
                (failed, folder / "m3" / "record.json"),
            ),
        ),
        RunGroup("Pop", (make_run(folder / "p", random_ranks(21, 0.8), **POP),)),
        RunGroup(
            "LoRA", ((make_record(status="failed", data={}, error="ConfigError: rank is -1"), folder / "l.json"),)
        ),
    ]


POP = {"item_input": "none", "reads": ["interactions"], "features": None, "epochs_run": 1, "best_epoch": 0}
POP |= {"params": {"total": 0, "trainable": 0}, "model": "Pop", "history": [], "seconds__total": 1.5}


def with_difference(results, place, metric, **changes):
    """Return results whose row at a place has another difference in a metric."""
    row = results.rows[place]
    score = row.scores[metric]
    score = replace(score, difference=replace(score.difference, **changes))
    row = replace(row, scores={**row.scores, metric: score})
    return replace(results, rows=(*results.rows[:place], row, *results.rows[place + 1 :]))

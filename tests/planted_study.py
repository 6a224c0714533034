"""Records of a scaling study whose figures follow a planted law: quick, without any training."""

import hashlib
from functools import cache
from pathlib import Path

import numpy as np
import yaml
from report_runs import USERS, make_record, make_run

from recbole_mpo.common.properties import property_root
from recbole_mpo.common.rank_gains import MISSED
from recbole_mpo.quick_start.configure import make_config
from recbole_mpo.quick_start.record import write_record
from recbole_mpo.study.run_process import RUNS
from recbole_mpo.study.scaling.plan import Plan
from recbole_mpo.study.scaling.transfer_cells import SCRATCH

ROWS = 720_000
# Loss and metric without end of size and data, amplitudes at a million, and exponents.
LOSS = {"E": 6.0, "A": 0.6, "a": 0.5, "B": 0.5, "b": 0.4}
METRIC = {"E": 0.08, "A": 0.01, "a": 0.5, "B": 0.015, "b": 0.4}


def content_of(name: str = "scaling_cpu") -> dict:
    """Return the content of a packaged plan."""
    content = yaml.safe_load((property_root() / "experiment" / f"{name}.yaml").read_text(encoding="utf-8"))
    return {key: value for key, value in content.items() if key != "command"}


def sizes_of(cell) -> tuple[int, int, int]:
    """Return parameters, training rows and operations of a run."""
    width, depth = cell.value("hidden_size"), cell.value("n_layers")
    size = 3100 * width + depth * 6 * width * width
    rows = 34_000 if cell.way else round(ROWS * cell.value("train_users"))
    return size, rows, 6 * size * rows * 12


def law(planted: dict, size: float, rows: float, sign: int) -> float:
    """Return what a planted law gives."""
    ways = planted["A"] * (size / 1e6) ** -planted["a"] + planted["B"] * (rows / 1e5) ** -planted["b"]
    return planted["E"] + sign * ways


@cache
def _complete(model: str) -> dict:
    return make_config(model, "any", (), {})[1].plain()


def write_run(cell, folder: Path, noise: float = 0.0, **changes) -> Path:
    """Write the record of a run, with ranks, and return its file."""
    seed = int(hashlib.sha256(cell.title.encode()).hexdigest()[:8], 16)
    draw = np.random.default_rng(seed)
    size, rows, flops = sizes_of(cell)
    loss = law(LOSS, size, rows, 1) * (1 + noise * draw.standard_normal())
    metric = law(METRIC, size, rows, -1) * (1 + noise * draw.standard_normal())
    scale = {"train_users": rows // 6, "train_rows": rows, "train_tokens": rows, "non_embedding": size}
    scale |= {"steps_per_epoch": 10, "steps": 120, "examples_seen": rows * 12, "flops_6nd": flops, "flops": flops}
    settings = {key: value for key, value in cell.row.settings.items() if key != "pretrained"}
    own = {"model": cell.row.model, "label": cell.row.name, "dataset": cell.dataset, "seed": cell.seed}
    name = cell.row.name.replace(" ", "_").replace(",", "").replace("%", "p") + f"-{cell.dataset}-{cell.seed}"
    hits = 30 if cell.way == SCRATCH else 50
    ranks = draw.permutation(np.where(np.arange(USERS) < hits, 1 + np.arange(USERS) % 8, MISSED))
    record, path = make_run(folder / RUNS / name, ranks, **own, scale=scale, best_epoch=11, epochs_run=12)
    record["config"] = {**_complete(cell.row.model), **settings}
    record["run_id"] = path.parent.name
    record["data"] = {**record["data"], "item_num": 1_000_001}
    figures = {**record["test"], "loss": loss}
    # The planted metric has no ranks, so that only runs of the other dataset keep theirs beside the record.
    if not cell.way:
        figures["ndcg@10"] = metric
        (path.parent / "ranks.npz").unlink()
    record["valid"] = record["test"] = figures
    for key, value in changes.items():
        record[key] = value
    write_record(record, path)
    return path


def write_study(plan: Plan, folder: Path, noise: float = 0.01, wanted=lambda cell: True, **changes) -> list[Path]:
    """Write the records of the runs of a plan that are wanted; return their files."""
    return [write_run(cell, folder, noise, **changes) for cell in plan.cells if wanted(cell)]


__all__ = ["content_of", "make_record", "write_run", "write_study"]

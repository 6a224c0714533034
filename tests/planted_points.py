"""Points that follow a planted law with noise, and SRT's released runs."""

import csv
from pathlib import Path

import numpy as np

from recbole_mpo.study.scaling.fitting import Points

TRUTH = {"E": 4.0, "exponent (N)": 0.35, "exponent (D)": 0.3}
SRT = Path(__file__).resolve().parent / "study" / "scaling" / "srt_runs.csv"


def planted(seed: int, noise: float = 0.01, sizes: int = 8, runs: int = 1, form: str = "power") -> Points:
    """Return points of a grid of sizes x sizes cells over three decades of N and D, each with several runs."""
    draw = np.random.default_rng(seed)
    axis = np.geomspace(1e4, 1e7, sizes)
    N, D = (np.repeat(one.ravel(), runs) for one in np.meshgrid(axis, axis))
    if form == "power":
        values = TRUTH["E"] + 2 * (N / 1e5) ** -TRUTH["exponent (N)"] + 2 * (D / 1e5) ** -TRUTH["exponent (D)"]
    else:
        values = 12 - 0.35 * np.log(N / 1e4) - 0.25 * np.log(D / 1e4)
    values = values * (1 + noise * draw.standard_normal(len(values)))
    predictors = {"N": N, "D": D, "C": 6 * N * D, "width": N / 3000, "depth": np.full(len(N), 2.0)}
    return Points(predictors, values, np.repeat(np.arange(sizes * sizes), runs))


def srt_points() -> Points:
    """Return the best valid NDCG@5 of SRT's 119 released runs, with all parameters, interactions and compute."""
    rows = list(csv.DictReader(SRT.read_text(encoding="utf-8").splitlines()))
    column = {key: np.array([float(row[key]) for row in rows]) for key in rows[0] if key != "dataset"}
    D = column["n_inters"]
    # Their count is of multiply-adds of one forward pass of a batch of 128.
    compute = column["total_flops"] * D / 128 * column["epochs"]
    predictors = {"N": column["model_total_params"], "D": D, "C": compute}
    predictors |= {"width": column["hidden_size"], "depth": column["n_layers"]}
    return Points(predictors, column["best_valid_ndcg@5"], np.arange(len(rows)))

"""A largest model that is worse than a smaller one: by chance, or beyond what seeds differ."""

import numpy as np

from recbole_mpo.study.scaling.fitting import Points
from recbole_mpo.study.scaling.turns import turns


def runs(losses: dict, seeds=3, spread=0.01):
    """Return runs of two sizes of the data and the given sizes of the model, which differ by their seeds."""
    rows = [
        (size, data, loss + spread * (seed - 1), cell)
        for cell, ((size, data), loss) in enumerate(losses.items())
        for seed in range(seeds)
    ]
    size, data, values, cells = (np.array(column) for column in zip(*rows, strict=True))
    return Points({"N": size.astype(float), "D": data.astype(float)}, values, cells)


LOSSES = {(10, 1): 9.0, (20, 1): 8.5, (40, 1): 8.6, (10, 2): 8.0, (20, 2): 7.5, (40, 2): 7.4}


def test_a_turn_beyond_the_seeds_is_told_from_one_within_them():
    assert turns(runs(LOSSES), rises=False) == {"sizes": 2, "worse": 1, "beyond seeds": 1}
    assert turns(runs(LOSSES, spread=0.2), rises=False) == {"sizes": 2, "worse": 1, "beyond seeds": 0}


def test_one_best_run_does_not_decide():
    some = runs({(20, 1): 8.6, (40, 1): 8.5})
    some.values_n[0] = 8.45
    assert turns(some, rises=False)["worse"] == 0


def test_with_one_seed_nobody_knows_how_far_seeds_differ():
    assert turns(runs(LOSSES, seeds=1), rises=False) == {"sizes": 2, "worse": 1, "beyond seeds": None}


def test_of_a_metric_more_is_better():
    rising = {key: -value for key, value in LOSSES.items()}
    assert turns(runs(rising), rises=True) == turns(runs(LOSSES), rises=False)

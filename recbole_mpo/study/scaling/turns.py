"""At which sizes of the data the largest model is worse than a smaller one, which no law of the study can say."""

import numpy as np
from scipy import stats

from recbole_mpo.study.scaling.fitting import Points
from recbole_mpo.study.scaling.outcomes import DATA, SIZE


def turns(runs: Points, rises: bool, level: float = 0.95) -> dict[str, int | None]:
    """Return at how many sizes of the data the largest model is not the best.

    Args:
        runs: single runs, those of one cell with different seeds.
        rises: whether larger values are better.
        level: the level of Student's test, whose variance is that of seeds within all cells.

    Returns:
        ``sizes``, how many sizes of the data there are; ``worse``, at how many of them the mean of another cell is
        better; ``beyond seeds``, at how many by more than seeds differ, None where no cell has two runs.
    """
    cells, number_n, counts = np.unique(runs.cells_n, return_inverse=True, return_counts=True)
    means = runs.of_cells()
    freedom = len(runs) - len(cells)
    squares = float(np.square(runs.values_n - means.values_n[number_n]).sum())
    values = means.values_n if rises else -means.values_n
    worse = beyond = 0
    data = means.predictors[DATA]
    for one in np.unique(data):
        here = np.flatnonzero(data == one)
        sizes = means.predictors[SIZE][here]
        best = here[values[here].argmax()]
        largest = here[sizes == sizes.max()]
        largest = largest[values[largest].argmax()]
        worse += bool(values[best] > values[largest])
        if freedom:
            error = np.sqrt(squares / freedom * (1 / counts[best] + 1 / counts[largest]))
            limit = stats.t.ppf((1 + level) / 2, freedom) * error
            beyond += bool(values[best] - values[largest] > limit)
    return {"sizes": len(np.unique(data)), "worse": worse, "beyond seeds": beyond if freedom else None}

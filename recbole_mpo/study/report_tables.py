"""The tables of a report, from the rows of its groups."""

from recbole_mpo.study.protocol import eval_history
from recbole_mpo.study.published_figures import published_by_others, published_of, ranks_all_users
from recbole_mpo.study.report_parts import Shown, Table, count, number, words
from recbole_mpo.study.report_rows import GroupRow, Results, Score
from recbole_mpo.study.statistics import GroupDifference

SMALLEST_P = 1e-4
# Bytes of a number in single precision.
FLOAT_BYTES = 4


def result_table(results: Results) -> Table:
    """Return the test metrics of each group."""
    metrics = results.metrics
    columns = (
        "model",
        "inputs",
        "seeds",
        f"valid {results.main}",
        *(f"test {metric}" for metric in metrics),
        "best epoch",
    )
    rows = []
    for row in results.rows:
        main = row.scores[results.main]
        cells = [Shown(row.label), Shown(row.inputs), words(row.seeds), _spread(main.valid_mean, main.valid_sd)]
        cells += [_spread(row.scores[metric].mean, row.scores[metric].sd) for metric in metrics]
        rows.append((*cells, _best_epochs(row)))
    notes = ["Mean ± standard deviation over the seeds (n − 1)."]
    if len({row.inputs for row in results.rows}) > 1:
        notes.append("The rows differ in what their models know (inputs).")
    if any(limit is not None for row in results.rows for limit in row.epoch_limits):
        notes.append("“44 of 50” in best epoch: the limit of 50 epochs ended the training, more might improve it.")
    return _table("Results", columns, rows, results, notes, ("model", "inputs", "seeds", "best epoch"))


def difference_table(results: Results, metric: str) -> Table:
    """Return the differences of all groups to the reference in one metric."""
    found = [row.scores[metric].difference for row in results.rows]
    seeds = any(one is not None and one.seeds_low is not None for one in found)
    wilcoxon = any(one is not None and one.p_wilcoxon is not None for one in found)
    reference = results.rows[results.reference].scores[metric].mean
    columns = ["model", "difference", "in %", "95 % interval, users"]
    columns += ["95 % interval, seeds too"] if seeds else []
    columns += ["p (Holm)", "p (t)", "p (random signs)", *(["p (Wilcoxon)"] if wilcoxon else [])]
    columns += ["effect size", "wins / ties / losses"]
    rows = []
    for row, one in zip(results.rows, found, strict=True):
        cells = _difference_cells(one, reference, seeds, wilcoxon) if one else [Shown("")] * (len(columns) - 1)
        rows.append((Shown(row.label), *cells))
    title = f"Difference to {results.reference_name}: test {metric}"
    caveat = "Wilcoxon's test finds differences too often with thousands of users (arXiv 2305.02461)."
    return _table(title, tuple(columns), rows, results, [caveat] if wilcoxon else [])


def _difference_cells(one: GroupDifference, reference: float | None, seeds: bool, wilcoxon: bool) -> list[Shown]:
    percent = 100 * one.mean / reference if reference else None
    cells = [number(one.mean, "+.4f"), number(percent, "+.1f"), _interval(one.low, one.high)]
    cells += [_interval(one.seeds_low, one.seeds_high)] if seeds else []
    cells += [_p_value(one.p_holm), _p_value(one.p_value), _p_value(one.p_randomisation)]
    cells += [_p_value(one.p_wilcoxon)] if wilcoxon else []
    users = Shown(f"{one.wins:,} / {one.ties:,} / {one.losses:,}", one.wins - one.losses)
    return [*cells, number(one.effect_size, "+.3f"), users]


def cost_table(results: Results) -> Table:
    """Return parameters, seconds and memory of each group."""
    columns = ("model", "total parameters", "trainable", "trainable %", "trained MB", "checkpoint MB")
    columns += ("s/epoch", "s to best", "total s", "peak MB", "best epoch")
    rows = []
    for row in results.rows:
        share = 100 * row.trainable / row.total if row.total and row.trainable is not None else None
        cells = [Shown(row.label), count(row.total), count(row.trainable), number(share, ".1f")]
        trained = None if row.trainable is None else row.trainable * FLOAT_BYTES / 1e6
        cells += [number(trained, ",.1f"), number(row.checkpoint_mb, ",.1f"), number(row.seconds_per_epoch, ".1f")]
        cells += [number(seconds, ",.0f") for seconds in (row.seconds_to_best, row.seconds)]
        cells += [number(row.peak_mb, ",.0f")]
        rows.append((*cells, _best_epochs(row)))
    notes = [
        "Means over the completed runs. Epochs are counted from 0. Trained MB: the trained parameters in single "
        "precision, what an adapter would hold. A checkpoint has the state of the optimizer too."
    ]
    return _table("Parameters, time and memory", columns, rows, results, notes, ("model", "best epoch"))


def beside_table(results: Results) -> Table | None:
    """Return the test metrics beside accuracy, such as coverage; None if the records hold none."""
    names = tuple(dict.fromkeys(name for row in results.rows for name in row.beside))
    if not names:
        return None
    rows = [(Shown(row.label), *(number(row.beside.get(name)) for name in names)) for row in results.rows]
    notes = ["Means over the completed runs, on test: what is recommended, right or wrong."]
    return _table("Beside accuracy", ("model", *names), rows, results, notes)


def published_tables(results: Results) -> list[Table]:
    """Return what others publish for the dataset, and how each source differs from these runs; empty if nobody does."""
    records = [record for group in results.groups for record, _ in group.runs]
    found = [one for one in map(published_of, records) if one is not None]
    first = records[0]
    others = published_by_others(first["dataset"], eval_history(first)) if ranks_all_users(first) else []
    metrics = [metric for metric in results.metrics if any(metric in one.figures for one in others)]
    rows = [
        (
            Shown(one.method),
            Shown(one.inputs or ""),
            *(number(one.figures.get(metric)) for metric in metrics),
            Shown(one.source),
        )
        for one in others
    ]
    tables = _beside_ours(results)
    if rows and metrics:
        columns = ("method", "inputs", *(f"test {metric}" for metric in metrics), "source")
        tables.append(Table("Published by others", columns, tuple(rows), words=("method", "inputs", "source")))
    differs = {one.source: "; ".join(one.differs) for one in [*found, *others]}
    if differs:
        differing = tuple((Shown(source), Shown(text)) for source, text in differs.items())
        title = "How published figures differ from these runs"
        tables.append(Table(title, ("source", "differs"), differing, words=("source", "differs")))
    return tables


def _beside_ours(results: Results) -> list[Table]:
    """Return a table with the paper's figures beside those of the same models, if there are any."""
    metrics = [metric for metric in results.metrics if any(row.scores[metric].published for row in results.rows)]
    rows = [row for row in results.rows if any(row.scores[metric].published for metric in metrics)]
    columns = ["model", *(f"{who} {metric}" for metric in metrics for who in ("test", "published"))]
    cells = [[Shown(row.label), *(cell for metric in metrics for cell in _both(row.scores[metric]))] for row in rows]
    table = Table("Beside the figures of the MPORec paper", tuple(columns), tuple(map(tuple, cells)))
    return [table] if rows else []


def _both(score: Score) -> tuple[Shown, Shown]:
    return _spread(score.mean, score.sd), number(score.published)


def unfinished_table(results: Results) -> Table | None:
    """Return the runs without test metrics and what their records say; None without any."""
    rows = [
        (Shown(row.name), words([run.seed]), Shown(run.status), Shown(run.reason))
        for row in results.rows
        for run in row.unfinished
    ]
    columns = ("model", "seed", "status", "reason")
    return Table("Runs that are not completed", columns, tuple(rows), words=columns) if rows else None


def _table(title: str, columns, rows, results: Results, notes=(), left=("model",)) -> Table:
    return Table(title, tuple(columns), tuple(map(tuple, rows)), left, tuple(notes), results.reference)


def _spread(mean: float | None, sd: float | None) -> Shown:
    if mean is None or sd is None:
        return number(mean)
    return Shown(f"{mean:.4f} ± {sd:.4f}", mean)


def _interval(low: float | None, high: float | None) -> Shown:
    return Shown("") if low is None or high is None else Shown(f"{low:+.4f} to {high:+.4f}", low)


def _p_value(value: float) -> Shown:
    return (
        Shown(f"< {SMALLEST_P:.4f}", value) if value < SMALLEST_P else number(value, ".2g" if value < 0.01 else ".3f")
    )


def _best_epochs(row: GroupRow) -> Shown:
    pairs = [pair for pair in zip(row.best_epochs, row.epoch_limits, strict=True) if pair[0] is not None]
    return words([best if limit is None else f"{best} of {limit}" for best, limit in pairs])

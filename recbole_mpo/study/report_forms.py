"""A report as Markdown, as CSV and as a LaTeX table, from the same rows and parts."""

from collections.abc import Collection, Sequence
from dataclasses import asdict

from recbole_mpo.common.terminal import one_line
from recbole_mpo.study.forms import as_csv, as_markdown, unrounded
from recbole_mpo.study.report_parts import Part, Picture, Section, Table
from recbole_mpo.study.report_rows import LEVEL, GroupRow, Results, Score

_TEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_TEX |= {sign: f"\\{sign}" for sign in "&%$#_{}"}


def as_report_markdown(title: str, parts: Sequence[Part], drawn: Collection[str]) -> str:
    """Return a report as Markdown.

    Args:
        title: its heading.
        parts: what stands below, in order.
        drawn: names of the pictures that have an SVG file.
    """
    return "\n".join([f"# {_plain(title)}\n", *(_part(part, drawn) for part in parts)])


def _part(part: Part, drawn: Collection[str]) -> str:
    if isinstance(part, Section):
        return f"## {_plain(part.title)}\n\n{part.text.strip()}\n"
    lines = [f"## {_plain(part.title)}\n"]
    if isinstance(part, Picture):
        lines += [f"![{_plain(part.title)}](figures/{part.name}.svg)\n"] if part.name in drawn else []
        lines += [f"Data: [figures/{part.name}.csv](figures/{part.name}.csv)\n"]
    table = part if isinstance(part, Table) else part.table
    lines += [_markdown_table(table)] if table else []
    return "\n".join([*lines, *(f"{_plain(note)}\n" for note in part.notes)])


def _markdown_table(table: Table) -> str:
    rows = [{name: cell.text for name, cell in zip(table.columns, row, strict=True)} for row in table.rows]
    return as_markdown(rows, table.words)


def _plain(text: str) -> str:
    return one_line(text).replace("<", "&lt;")


def as_long_csv(results: Results) -> str:
    """Return one row per group and metric, unrounded; lists have semicolons between their values."""
    beside = tuple(dict.fromkeys(name for row in results.rows for name in row.beside))
    scores = [(row, metric, score) for row in results.rows for metric, score in row.scores.items()]
    return as_csv([_csv_row(row, metric, score, beside) for row, metric, score in scores])


def _csv_row(row: GroupRow, metric: str, score: Score, beside: tuple[str, ...]) -> dict[str, str]:
    # The columns are those of a difference whether there is one or not.
    names = ("mean", "low", "high", "seeds_low", "seeds_high", "p_value", "p_randomisation", "p_holm", "p_wilcoxon")
    names += ("effect_size", "wins", "ties", "losses", "users")
    found = asdict(score.difference) if score.difference else {}
    return unrounded(
        {
            "model": row.name,
            "inputs": row.inputs,
            "metric": metric,
            "seeds": _joined(row.seeds),
            "unfinished": _joined(f"{run.seed}: {run.status}" for run in row.unfinished),
            **{f"test {name}": vars(score)[name] for name in ("mean", "sd")},
            **{f"valid {name}": vars(score)[f"valid_{name}"] for name in ("mean", "sd")},
            **{f"difference {name}": found.get(name) for name in names},
            "published": score.published,
            "total parameters": row.total,
            "trainable parameters": row.trainable,
            "seconds per epoch": row.seconds_per_epoch,
            "seconds to best": row.seconds_to_best,
            "seconds": row.seconds,
            "peak MB": row.peak_mb,
            "checkpoint MB": row.checkpoint_mb,
            "best epochs": _joined(row.best_epochs),
            "epoch limits hit": _joined(row.epoch_limits),
            **{f"test {name}": row.beside.get(name) for name in beside},
        }
    )


def _joined(values) -> str:
    return ";".join("" if value is None else str(value) for value in values)


def as_tex(title: str, results: Results) -> str:
    """Return the results as a LaTeX table with the rules of booktabs."""
    metrics = results.metrics
    best = {metric: max((row.scores[metric].mean or 0.0 for row in results.rows), default=0.0) for metric in metrics}
    headings = ["model", "inputs", "seeds", *metrics, "trainable", "s/epoch", "peak MB"]
    lines = [" & ".join(_tex_cells(row, best, results)) + r" \\" for row in results.rows]
    reference = _tex(results.reference_name)
    caption = (
        f"{_tex(title)}. Test metrics, mean $\\pm$ standard deviation over seeds; bold: the best of a column; "
        f"$^*$: differs from {reference} (paired t-test over users, Holm, $p < {LEVEL}$)."
    )
    return "\n".join(
        [
            r"% needs \usepackage{booktabs}",
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{caption}}}",
            rf"\begin{{tabular}}{{ll{'r' * (len(headings) - 2)}}}",
            r"\toprule",
            " & ".join(map(_tex, headings)) + r" \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _tex_cells(row: GroupRow, best: dict[str, float], results: Results) -> list[str]:
    scores = [_tex_score(row.scores[metric], best[metric]) for metric in results.metrics]
    costs = [(row.trainable, ",.0f"), (row.seconds_per_epoch, ".1f"), (row.peak_mb, ",.0f")]
    shown = ["" if value is None else format(value, form) for value, form in costs]
    return [_tex(row.label), _tex(row.inputs), str(len(row.seeds)), *scores, *shown]


def _tex_score(score: Score, best: float) -> str:
    if score.mean is None:
        return ""
    mean = f"\\textbf{{{score.mean:.4f}}}" if score.mean == best else f"{score.mean:.4f}"
    star = "$^*$" if score.difference is not None and score.difference.p_holm < LEVEL else ""
    return mean + star + ("" if score.sd is None else f" $\\pm$ {score.sd:.4f}")


def _tex(text: str) -> str:
    return "".join(_TEX.get(sign, sign) for sign in one_line(text))

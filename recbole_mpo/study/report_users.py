"""The figures of a report about users: who gains, and whom one model serves and another does not.

Shapes: G groups of runs, S runs of one of them, R users.
"""

import numpy as np

from recbole_mpo.study.groups import GROUPINGS, Group, group_users
from recbole_mpo.study.reference import UserRanks
from recbole_mpo.study.report_parts import Picture, Shown, Table, number
from recbole_mpo.study.report_plots import axis, colour, dash, layout, marker, name_of
from recbole_mpo.study.report_rows import Results
from recbole_mpo.study.run_groups import RunGroup

HIT = "hit@10"
TITLES = {
    "popularity": "by how often the target occurs in training",
    "history_length": "by the length of the history",
}


def user_pictures(results: Results) -> list[Picture]:
    """Return the main metric by popularity of the target and by length of the history.

    A grouping is left out where ranks do not hold its column, as those of older runs, or no run is completed.

    Raises:
        RecordError: ranks are damaged, of other users, or put a user into another group.
    """
    groups = [group for group in results.groups if group.completed]
    ranks = [UserRanks.beside(*run) for group in groups for run in group.completed]
    columns = set.intersection(*(set(one.columns) for one in ranks)) if ranks else set()
    return [_user_picture(results, groups, by) for by in TITLES if GROUPINGS[by].column in columns]


def _user_picture(results: Results, groups: list[RunGroup], by: str) -> Picture:
    runs = [run for group in groups for run in group.completed]
    parts = group_users(runs, by, list(results.metrics))
    heading = GROUPINGS[by].heading
    owners = [place for place, group in enumerate(groups) for _ in group.completed]
    means = [_group_means(part, owners, results.metrics) for part in parts]
    rows = [
        {
            "model": group.name,
            heading: part.name,
            "users": part.users,
            **{f"test {name}": value for name, value in found.items()},
        }
        for part, found_of in zip(parts, means, strict=True)
        for group, found in zip(groups, found_of, strict=True)
    ]
    metric = results.main
    names = [f"{part.name}<br>({part.users:,} users)" for part in parts]
    places = {group.name: place for place, group in enumerate(results.groups)}
    traces = [
        _user_line(places[group.name], group.name, names, [found[place][metric] for found in means])
        for place, group in enumerate(groups)
    ]
    settings = layout(440, xaxis=axis(heading, type="category"), yaxis=axis(f"test {metric}", rangemode="tozero"))
    title = f"Test {metric} {TITLES[by]}"
    table = _user_table(title, results, groups, parts, means)
    return Picture(f"by_{by}", title, tuple(rows), {"data": traces, "layout": settings}, table.notes, table)


def _group_means(part: Group, owners: list[int], metrics) -> list[dict[str, float]]:
    """Return the mean of each metric over the runs of each group, for one part of the users."""
    return [
        {
            metric: float(
                np.mean([means[metric] for means, one in zip(part.means, owners, strict=True) if one == owner])
            )
            for metric in metrics
        }
        for owner in dict.fromkeys(owners)
    ]


def _user_line(place: int, name: str, x: list[str], y: list[float]) -> dict:
    line = {"color": colour(place), "dash": dash(place), "width": 1.5}
    hover = f"{name_of(name)}<br>%{{x}}: %{{y:.4f}}<extra></extra>"
    shown = {"name": name_of(name), "line": line, "marker": marker(place, 8), "hovertemplate": hover}
    return {"type": "scatter", "mode": "lines+markers", "x": x, "y": y, **shown}


def _user_table(title: str, results: Results, groups, parts: list[Group], means: list) -> Table:
    columns = ("model", *(f"{part.name} ({part.users:,} users)" for part in parts))
    rows = [
        (Shown(group.name), *(number(found[place][results.main]) for found in means))
        for place, group in enumerate(groups)
    ]
    notes = ("Means over seeds. Figures of few users vary by chance.",)
    names = [group.name for group in groups]
    reference = results.reference_name
    return Table(
        title, columns, tuple(rows), notes=notes, marked=names.index(reference) if reference in names else None
    )


def overlap_picture(results: Results) -> Picture | None:
    """Return how many users one model serves within the first ten and another does not; None with fewer than two.

    A group of several seeds counts the mean over pairs of a run of one and a run of the other; on the diagonal stand
    pairs of different seeds of the same group, which say what chance alone does.

    Raises:
        RecordError: ranks are damaged or of other users.
    """
    groups = [group for group in results.groups if group.completed]
    if len(groups) < 2:
        return None
    names = [group.name for group in groups]
    hits_GSR = [np.stack([UserRanks.beside(*run).gains(HIT) for run in group.completed]) for group in groups]
    shares = [[missed_share(hits_SR, other_SR, hits_SR is other_SR) for other_SR in hits_GSR] for hits_SR in hits_GSR]
    rows = [
        {"hit by": names[i], "missed by": names[j], "share of users": share}
        for i, line in enumerate(shares)
        for j, share in enumerate(line)
        if share is not None
    ]
    cells = [[Shown("") if share is None else number(100 * share, ".2f") for share in line] for line in shares]
    table = Table(
        f"Hits of one model that another misses ({HIT})",
        ("hit by ↓, missed by →", *names),
        tuple((Shown(name), *line) for name, line in zip(names, cells, strict=True)),
        words=("hit by ↓, missed by →",),
        notes=(
            "Percent of the users whose target the model of the row ranks within the first ten and that of the column "
            "does not. On the diagonal: between two seeds of the same model.",
        ),
    )
    return Picture("overlap", table.title, tuple(rows), _heat_map(names, shares), table.notes, table)


def missed_share(hits_SR: np.ndarray, other_SR: np.ndarray, is_same: bool) -> float | None:
    """Return the share of users that a run of one group hits and a run of the other misses, over all pairs of runs.

    Args:
        hits_SR: 1 where a run hits a user, 0 where it does not.
        other_SR: the same of the other group, which may have another number of runs.
        is_same: whether both are one group, of which no run is paired with itself.

    Returns:
        The share; None for a group of one run with itself.
    """
    if not is_same:
        return float((hits_SR.mean(0) * (1 - other_SR.mean(0))).mean())
    seeds = len(hits_SR)
    if seeds == 1:
        return None
    # A run misses nothing that it hits, so that pairs with itself add nothing to the sum over all pairs.
    return float((hits_SR.mean(0) * (1 - hits_SR.mean(0))).mean() * seeds / (seeds - 1))


def _heat_map(names: list[str], shares: list[list[float | None]]) -> dict:
    shown = [name_of(name) for name in names]
    percent = [[None if share is None else 100 * share for share in line] for line in shares]
    texts = [["" if share is None else f"{100 * share:.1f}" for share in line] for line in shares]
    hover = "hit by %{y}, missed by %{x}: %{z:.2f} % of users<extra></extra>"
    scale = {"colorscale": [[0, "#F7FBFF"], [1, "#4A90C4"]], "colorbar": {"title": {"text": "% of users"}}}
    trace = {"type": "heatmap", "x": shown, "y": shown, "z": percent, "text": texts, "texttemplate": "%{text}"}
    settings = layout(
        140 + 34 * len(names),
        xaxis=axis("missed by", type="category", showgrid=False),
        yaxis=axis("hit by", type="category", autorange="reversed", showgrid=False),
    )
    return {"data": [{**trace, "hovertemplate": hover, "hoverongaps": False, **scale}], "layout": settings}

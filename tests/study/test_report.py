"""Whole reports: their files, that all show the same numbers, and what is refused."""

import csv
import re
from dataclasses import replace

import pytest
from report_runs import make_groups, make_record, make_run, random_ranks

from recbole_mpo.common.errors import DataError, DependencyError, RecordError
from recbole_mpo.quick_start.record import read_record
from recbole_mpo.study import report
from recbole_mpo.study.report import Section, write_report
from recbole_mpo.study.run_groups import RunGroup

FIGURES = ("differences", "quality_parameters", "quality_seconds", "quality_memory", "training", "by_popularity")
FIGURES += ("by_history_length", "overlap")
METRICS = ("hit@10", "hit@50", "ndcg@10", "ndcg@50")


def no_images(plots):
    raise DependencyError("kaleido is not installed (pip install 'recbole-mpo[report]')")


@pytest.fixture
def draws(monkeypatch):
    """Has figures drawn, as one that names its number, or not drawn."""

    def set_drawing(drawn):
        images = [f"<svg>{place}</svg>".encode() for place in range(len(FIGURES))]
        monkeypatch.setattr(report, "draw_svgs", (lambda plots: images[: len(plots)]) if drawn else no_images)

    set_drawing(False)
    return set_drawing


@pytest.fixture
def groups(tmp_path):
    return make_groups(tmp_path / "runs")


def read(folder, name="report.md"):
    return (folder / name).read_text(encoding="utf-8")


def rows_of(markdown, title):
    """Rows of the table below a heading, as dictionaries."""
    lines = [line for line in markdown.split(f"## {title}\n")[1].split("\n## ")[0].splitlines() if line[:1] == "|"]
    table = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [dict(zip(table[0], row, strict=True)) for row in table[2:]]


def test_files_and_a_line_where_nothing_can_be_drawn(groups, tmp_path, draws, capsys):
    files = write_report(groups, tmp_path / "out", "Ten", 0, sections=[Section("Claims", "- one")])
    names = ["report.html", *(f"figures/{name}.csv" for name in FIGURES), "report.md", "report.csv", "report.tex"]
    assert files == [tmp_path / "out" / name for name in names]
    found = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert sorted(found) == sorted(files), "and nothing else, such as parts of files"
    assert capsys.readouterr().out == (
        "The report has no SVG figures: kaleido is not installed (pip install 'recbole-mpo[report]')\n"
    )
    text = read(tmp_path / "out")
    assert text.startswith("# Ten\n\n## Data and protocol\n") and text.endswith("## Claims\n\n- one\n")
    assert "![" not in text and "figures/overlap.csv" in text


def test_all_forms_show_the_same_numbers(groups, tmp_path, draws):
    write_report(groups, tmp_path, "Ten", 0)
    table = rows_of(read(tmp_path), "Results")
    page, tex = read(tmp_path, "report.html"), read(tmp_path, "report.tex")
    with (tmp_path / "report.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["metric"] for row in rows[:4]] == list(METRICS) and len(rows) == 16
    for place, row in enumerate(rows):
        metric, shown = row["metric"], table[place // 4][f"test {row['metric']}"]
        if not row["test mean"]:
            assert shown == ""
            continue
        mean, spread = float(row["test mean"]), f" ± {float(row['test sd']):.4f}" if row["test sd"] else ""
        assert shown == f"{mean:.4f}{spread}"
        assert f'data-order="{mean!r}">{shown}</td>' in page and f"{mean:.4f}" in tex
        differences = rows_of(read(tmp_path), f"Difference to UniSRec: test {metric}")[place // 4]
        mean = row["difference mean"]
        assert differences["difference"] == (f"{float(mean):+.4f}" if mean else "")
    with (tmp_path / "figures" / "differences.csv").open(encoding="utf-8", newline="") as file:
        drawn = {(row["model"], row["metric"]): row["difference"] for row in csv.DictReader(file)}
    assert drawn == {(row["model"], row["metric"]): row["difference mean"] for row in rows if row["difference mean"]}


def test_the_same_runs_give_the_same_files(groups, tmp_path, draws):
    first, second = (write_report(groups, tmp_path / name, "Ten", 0) for name in ("a", "b"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


class TestFigures:
    def test_drawn_ones_are_shown(self, groups, tmp_path, draws):
        draws(True)
        files = write_report(groups, tmp_path, "Ten", 0)
        assert (tmp_path / "figures" / "overlap.svg").read_bytes() == b"<svg>7</svg>"
        assert {tmp_path / "figures" / f"{name}.svg" for name in FIGURES} <= set(files)
        assert re.findall(r"!\[.*\]\(figures/(.*)\.svg\)", read(tmp_path)) == list(FIGURES)

    def test_former_ones_stay_as_long_as_their_data_are_the_same(self, groups, tmp_path, draws):
        draws(True)
        write_report(groups, tmp_path, "Ten", 0)
        draws(False)
        write_report(groups, tmp_path, "Ten", 0)
        assert len(list(tmp_path.glob("figures/*.svg"))) == 8 and "overlap.svg" in read(tmp_path)
        write_report([*groups[:2], RunGroup("Pop", ())], tmp_path, "Ten", 0)
        assert {path.stem for path in tmp_path.glob("figures/*.svg")} == {"training"}, "Pop has no training"
        assert re.findall(r"figures/(.*)\.svg", read(tmp_path)) == ["training"]

    def test_those_that_are_not_drawn_any_more_are_removed(self, groups, tmp_path, draws):
        draws(True)
        write_report(groups, tmp_path, "Ten", 0)
        (tmp_path / "figures" / "notes.txt").write_text("mine")
        write_report(groups[2:], tmp_path, "Ten", 0)
        names = {path.name for path in (tmp_path / "figures").iterdir()}
        assert not {"training.csv", "overlap.svg", "differences.csv"} & names and "notes.txt" in names


class TestUnfinished:
    def test_failed_runs_and_groups_without_runs_are_shown(self, groups, tmp_path, draws):
        write_report([*groups, RunGroup("PeterRec", ())], tmp_path, "Ten", 0)
        text = read(tmp_path)
        assert [row["model"] for row in rows_of(text, "Results")] == [
            *("UniSRec", "MPORec [1 of 3 failed]", "Pop", "LoRA [failed]", "PeterRec [not run]")
        ]
        assert "OSError: no space" in text and "ConfigError: rank is -1" in text
        assert "PeterRec" in read(tmp_path, "report.csv")

    def test_a_reference_that_failed_leaves_no_differences(self, groups, tmp_path, draws):
        write_report(groups, tmp_path, "Ten", 3)
        assert "## Difference" not in read(tmp_path) and len(rows_of(read(tmp_path), "Results")) == 4

    def test_nothing_completed_is_a_report_without_numbers(self, groups, tmp_path, draws, capsys):
        write_report(groups[3:], tmp_path, "Ten", 0)
        assert capsys.readouterr().out == "", "there is nothing to draw"
        assert rows_of(read(tmp_path), "Results")[0]["model"] == "LoRA [failed]"
        assert not list(tmp_path.glob("figures/*"))


class TestRefused:
    @pytest.mark.parametrize(
        ("changes", "part"),
        [
            ({"dataset": "other"}, "the dataset: 'tiny' in"),
            ({"data__item_num": 40}, "the number of candidate items: 31 in"),
            ({"data__files": {"tiny.inter": "cc"}}, "the interaction files"),
            ({"config__eval_history": "masked"}, "eval_history: 'kept' in"),
            ({"config__MAX_ITEM_LIST_LENGTH": 20}, "the longest history: 50 in"),
        ],
    )
    def test_runs_of_another_protocol(self, groups, tmp_path, draws, changes, part):
        other = RunGroup("other", (make_run(tmp_path / "other", random_ranks(1), **changes),))
        with pytest.raises(RecordError, match=f"differ in {part}.*cannot stand in one report"):
            write_report([*groups, other], tmp_path / "out", "Ten", 0)
        assert not (tmp_path / "out").exists()

    def test_runs_of_other_inputs_are_not(self, groups, tmp_path, draws):
        other = RunGroup("SASRecCE", (make_run(tmp_path / "other", random_ranks(1), item_input="id"),))
        write_report([*groups, other], tmp_path / "out", "Ten", 0)
        assert rows_of(read(tmp_path / "out"), "Results")[-1]["inputs"] == "id"

    def test_names_that_are_given_twice(self, groups, tmp_path):
        with pytest.raises(RecordError, match="two groups of runs are named Pop"):
            write_report([*groups, replace(groups[2])], tmp_path, "Ten", 0)

    @pytest.mark.parametrize("nothing", [[], [RunGroup("a", ())]])
    def test_no_run_at_all(self, tmp_path, nothing):
        with pytest.raises(RecordError, match="a report needs at least one run"):
            write_report(nothing, tmp_path, "Ten", 0)

    def test_a_page_of_somebody_else_leaves_all_files_as_they_were(self, groups, tmp_path, draws):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "report.html").write_text("mine")
        with pytest.raises(DataError, match="was not written by this package"):
            write_report(groups, tmp_path / "out", "Ten", 0)
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["report.html"]

    def test_ranks_that_are_missing(self, groups, tmp_path, draws):
        (tmp_path / "runs" / "p" / "ranks.npz").unlink()
        with pytest.raises(RecordError, match="ranks .* do not exist"):
            write_report(groups, tmp_path / "out", "Ten", 0)


@pytest.mark.parametrize(
    "name", ["a|b", "two\nlines", "<b>bold</b>", "=1+1", "\x1b[31mred", "\ud800", "a & b %", "</script>"]
)
def test_no_name_breaks_a_line_or_becomes_code(groups, tmp_path, draws, name):
    odd = RunGroup(name, (make_run(tmp_path / "odd", random_ranks(5)),))
    failed = make_record(status="failed", error=f"Error: {name}")
    write_report([odd, *groups[:1], RunGroup(f"{name}!", ((failed, tmp_path / "f.json"),))], tmp_path / "out", name, 0)
    for path in (tmp_path / "out").rglob("*.*"):
        assert "\x1b" not in path.read_bytes().decode("utf-8"), path
    text = read(tmp_path / "out")
    assert len(rows_of(text.replace("\\|", "/"), "Results")) == 3 and "<b>" not in text
    assert "<b>bold" not in read(tmp_path / "out", "report.html").replace("<b>bold</b> is", "")
    with (tmp_path / "out" / "report.csv").open(encoding="utf-8", newline="") as file:
        assert not any(value.startswith("=") for row in csv.DictReader(file) for value in row.values())


def test_records_of_real_runs(tmp_path, draws, request):
    """Three seeds of a model against one of another, from the records of the repository."""
    results = request.config.rootpath / "results"
    runs = {
        "UniSRec": ["scientific/UniSRec"],
        "MPORec + evidence": [f"evidence/MPORec{seed}" for seed in ("", "-2021", "-2022")],
    }
    groups = [
        RunGroup(name, tuple((read_record(results / one), results / one / "record.json") for one in folders))
        for name, folders in runs.items()
    ]
    write_report(groups, tmp_path, "Scientific", 0)
    first, second = rows_of(read(tmp_path), "Results")
    assert first["test ndcg@10"] == f"{groups[0].runs[0][0]['test']['ndcg@10']:.4f}"
    assert second["seeds"] == "2020, 2021, 2022" and "±" in second["test ndcg@10"]
    assert "8,442 users, 4,385 items" in read(tmp_path) and "MISSRec" in read(tmp_path)

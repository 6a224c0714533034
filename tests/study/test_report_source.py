"""A report written again: from its records alone, wherever the folders have gone together, and what is refused."""

import json
import shutil

import pytest
from report_runs import make_groups

from recbole_mpo.cli.main import main
from recbole_mpo.common.errors import DependencyError, RecordError
from recbole_mpo.quick_start.record import write_record
from recbole_mpo.study import report
from recbole_mpo.study.report import Section, write_report
from recbole_mpo.study.report_source import SOURCE, ReportSource


@pytest.fixture(autouse=True)
def nothing_drawn(monkeypatch):
    def no_images(plots):
        raise DependencyError("kaleido is not installed")

    monkeypatch.setattr(report, "draw_svgs", no_images)


@pytest.fixture
def written(tmp_path):
    """A folder with a report, what it is made of and, beside it, the runs."""
    groups, folder = make_groups(tmp_path / "all" / "runs"), tmp_path / "all" / "table"
    for record, path in (run for group in groups for run in group.runs):
        write_record(record, path)
    sections = [Section("Not run", "- one")]
    write_report(groups, folder, "Ten", 0, sections=sections)
    ReportSource.of(groups, folder, "Ten", groups[0].name, sections).write(folder)
    return folder


def texts(folder):
    return {
        path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.suffix in (".md", ".csv", ".tex")
    }


def test_is_the_same_after_a_move(written, tmp_path):
    before = texts(written)
    shutil.move(tmp_path / "all", tmp_path / "elsewhere")
    folder = tmp_path / "elsewhere" / "table"
    for path in (*folder.glob("report.*"), *folder.glob("figures/*")):
        path.unlink()
    files = ReportSource.read(folder).write_report(folder)
    assert texts(folder) == before and folder / "report.html" in files
    assert str(tmp_path) not in (folder / SOURCE).read_text()


def test_adds_wilcoxons_test_when_asked(written):
    ReportSource.read(written).write_report(written, wilcoxon=True)
    assert "Wilcoxon" in (written / "report.md").read_text()


def change(folder, **changes):
    content = json.loads((folder / SOURCE).read_text()) | changes
    (folder / SOURCE).write_text(json.dumps(content))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"reference": "other"}, "runs.json is damaged: reference: 'other' is not one of the rows"),
        ({"rows": {}}, "runs.json is damaged: rows: "),
        ({"rows": {"A": "record.json"}}, "runs.json is damaged: rows.A: "),
        ({"sections": [["only a title"]]}, "runs.json is damaged: sections.0: "),
        ({"colour": "red"}, "runs.json is damaged: colour: "),
    ],
)
def test_a_damaged_file_is_named_with_its_field(written, changes, message):
    change(written, **changes)
    with pytest.raises(RecordError, match=message.replace(".", r"\.")):
        ReportSource.read(written)


def test_a_file_that_is_not_json_or_not_there_is_named(written):
    (written / SOURCE).write_text("{")
    with pytest.raises(RecordError, match="runs.json is not valid JSON"):
        ReportSource.read(written)
    (written / SOURCE).unlink()
    with pytest.raises(RecordError, match="give the folder of a report that `compare` wrote"):
        ReportSource.read(written)


def test_odd_names_are_kept(written):
    source = ReportSource.read(written)
    odd = source.model_copy(update={"title": "half a \ud800 character", "rows": {"é \ud800": [], **source.rows}})
    odd.write(written)
    assert ReportSource.read(written) == odd
    assert written / "report.md" in odd.write_report(written)


@pytest.mark.parametrize("name", ["x" * 300, "a\0b"])
def test_what_can_be_no_file_is_refused_with_its_row(written, name):
    change(written, rows={"ten": [name]}, reference="ten")
    with pytest.raises(RecordError, match=r"runs.json: rows: ten: |is not valid JSON: embedded null byte"):
        ReportSource.read(written).write_report(written)


def test_another_file_of_that_name_stays(written):
    source = ReportSource.read(written)
    (written / SOURCE).write_text('{"mine": 1}')
    with pytest.raises(RecordError, match="move it away first, it would be replaced"):
        source.write(written)
    assert (written / SOURCE).read_text() == '{"mine": 1}'


def test_the_command_writes_all_it_can_and_names_the_rest(written, capsys):
    (written / "report.html").unlink()
    assert main(["report", str(written.parent), str(written)]) == 1
    out = capsys.readouterr().out
    assert f"no report in {written.parent}: " in out and f"report: {written / 'report.html'}" in out
    assert (written / "report.html").is_file()


def test_a_record_that_is_gone_is_named_and_the_report_stays(written):
    before = texts(written)
    first = next(path for paths in ReportSource.read(written).rows.values() for path in paths)
    (written / first).unlink()
    with pytest.raises(RecordError, match="cannot be read"):
        ReportSource.read(written).write_report(written)
    assert texts(written) == before

"""The report in all its forms says the same, and is known again."""

import csv
import io
import json

import pytest
from release.compress.report_rows import HEADER, ROWS

from recbole_mpo.common.errors import DataError
from recbole_mpo.release.compress.variant_report import (
    as_csv,
    is_own_report,
    label,
    markdown,
    markdown_table,
    table,
    write_report,
)


def test_the_table_is_relative_to_the_uncompressed_model():
    head, body = table(ROWS)
    cells = dict(zip(head, body[1], strict=True))
    assert cells["variant"] == label(ROWS[1]) == "svd:0.5, trained 5 epochs"
    assert cells["checkpoint"] == "0.00 MB (0.50)" and cells["same top 10"] == "97.5%"
    assert cells["difference"] == "+0.0100 [+0.0000, +0.0200]"
    assert cells["ms (256)"] == "1.0"


def test_what_has_no_times_has_empty_cells():
    rows = [{key: value for key, value in row.items() if key not in ("latency_ms", "load_seconds")} for row in ROWS]
    head, body = table(rows)
    assert dict(zip(head, body[1], strict=True))["ms (1)"] == ""
    assert next(csv.DictReader(io.StringIO(as_csv(rows))))["load_seconds"] == ""


def test_a_ratio_that_chose_a_strength_is_named():
    assert label({**ROWS[1], "ratio": 0.75}) == "svd:0.5 (to 0.75), trained 5 epochs"


def test_a_dataset_without_a_test_part_shows_valid():
    rows = [{key: value for key, value in row.items() if key != "test"} for row in ROWS]
    assert "NDCG@10 test" not in markdown_table(rows) and "NDCG@10 valid" in markdown_table(rows)


def test_csv_has_all_figures_unrounded_and_no_formulas():
    rows = list(csv.DictReader(io.StringIO(as_csv(ROWS))))
    assert [row["name"] for row in rows] == ["uncompressed", "svd:0.5", "'=prune:0.5"]
    assert float(rows[1]["test.ndcg@10"]) == 0.06 and float(rows[1]["difference.test.ndcg@10.low"]) == 0.06 - 0.06
    assert rows[0]["largest_layer_error"] == "0.5" and rows[0]["latency_ms.batch_1.p95"] == "9.9"


def test_all_forms_are_written(tmp_path):
    assert not is_own_report(tmp_path)
    write_report(tmp_path, [], {})
    assert is_own_report(tmp_path) and [path.name for path in tmp_path.iterdir()] == ["report.json"]
    write_report(tmp_path, ROWS, HEADER)
    assert json.loads((tmp_path / "report.json").read_text())["rows"] == ROWS
    assert (tmp_path / "report.md").read_text() == markdown(ROWS, HEADER)
    page = (tmp_path / "report.html").read_text()
    assert "Compressed MPORec on tiny" in page and "<svg" in page and page.count("<tr>") == 4
    write_report(tmp_path, ROWS, HEADER)


@pytest.mark.parametrize("content", ["{", "[]", '{"written_by": "me"}'])
def test_another_report_is_not_known(tmp_path, content):
    (tmp_path / "report.json").write_text(content)
    assert not is_own_report(tmp_path)


def test_another_page_is_not_replaced(tmp_path):
    (tmp_path / "report.html").write_text("mine")
    with pytest.raises(DataError, match="was not written by this package"):
        write_report(tmp_path, ROWS, HEADER)

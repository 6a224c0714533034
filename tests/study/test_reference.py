"""Ranks beside records: checked against the record, and paired by user."""

import csv
import io

import numpy as np
import pytest

from recbole_mpo.common.errors import RecordError
from recbole_mpo.common.paired import paired_difference
from recbole_mpo.quick_start.record import write_ranks
from recbole_mpo.study.reference import UserRanks, difference_columns
from recbole_mpo.study.table import make_table


def cells(markdown):
    """Rows of a Markdown table as dictionaries."""
    lines = [[cell.strip() for cell in line.strip("|\n").split(" | ")] for line in markdown.splitlines()]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[2:]]


@pytest.fixture
def ranked(tmp_path):
    """Writes ranks in a folder; returns (record, folder), the record with their hit@1."""

    def make(name, ranks, users=None):
        users = np.arange(1, len(ranks) + 1) if users is None else np.array(users)
        columns = {"user": users.astype(np.int32), "rank": np.array(ranks, np.int32)}
        (tmp_path / name).mkdir()
        write_ranks({"test": columns}, tmp_path / name / "ranks.npz")
        return {"test": {"hit@1": float(np.mean(np.array(ranks) == 1))}}, tmp_path / name

    return make


def test_gains_stand_in_the_order_of_users(ranked):
    ranks = UserRanks.beside(*ranked("a", [1, 2, 1, 4], users=[9, 3, 7, 1]))
    assert ranks.users.tolist() == [1, 3, 7, 9] and ranks.ranks.tolist() == [4, 2, 1, 1]
    assert ranks.gains("mrr@2").tolist() == [0.0, 0.5, 1.0, 1.0]


def test_the_reference_has_no_differences_and_others_have_all(ranked):
    runs = [ranked("a", [1, 2, 3]), ranked("b", [1, 1, 3])]
    columns = difference_columns(runs, 0, ["hit@1", "mrr@3"])
    assert columns[0] == {} and list(columns[1]) == ["hit@1", "mrr@3"]
    assert columns[1]["hit@1"].mean == pytest.approx(1 / 3) and columns[1]["hit@1"].count == 3


def test_rounding_is_allowed_and_no_more(ranked):
    record, folder = ranked("a", [1, 2, 1])
    UserRanks.beside({"test": {"hit@1": record["test"]["hit@1"] + 1e-12}}, folder)
    with pytest.raises(RecordError, match="not of the same run"):
        UserRanks.beside({"test": {"hit@1": record["test"]["hit@1"] + 1e-6}}, folder)


def test_every_metric_of_the_record_is_compared_not_the_chosen_alone(ranked):
    record, folder = ranked("a", [1, 2, 1])
    with pytest.raises(RecordError, match="give a test ndcg@5"):
        UserRanks.beside({"test": {**record["test"], "ndcg@5": 0.5}}, folder)


def test_one_user_is_too_few(ranked):
    runs = [ranked("a", [1]), ranked("b", [2])]
    with pytest.raises(RecordError, match="needs at least two"):
        difference_columns(runs, 0, ["hit@1"])


class TestTable:
    """Ranks of five users; the metrics follow from them by hand."""

    RANKS = {"first": [1, 2, 20, 60, 3], "second": [1, 9, 8, 60, 3]}

    @pytest.fixture
    def ranked(self, write):
        """Writes a record with the ranks of one run beside it; returns its folder."""

        def make(name, users=(3, 1, 2, 5, 4), **changes):
            ranks = np.array(self.RANKS[name], np.int32)
            metrics = {"hit@10": float((ranks <= 10).mean()), "mrr@10": float(((ranks <= 10) / ranks).mean())}
            folder = write(label=name, **{"test": metrics, **changes}).parent
            # Written in another order, to be matched by id.
            order = np.argsort(users)[:: -1 if name == "second" else 1]
            columns = {"user": np.array(users, np.int32)[order], "rank": ranks[order]}
            write_ranks({"test": columns}, folder / "ranks.npz")
            return folder

        return make

    def test_differences_are_of_the_same_users(self, ranked):
        first, second = ranked("first"), ranked("second")
        table = make_table([first, second], "csv", ["hit@10", "mrr@10"], reference=first)
        rows = list(csv.DictReader(io.StringIO(table)))
        assert [row["model"] for row in rows] == ["first", "second"]
        assert [rows[0][f"hit@10 {name}"] for name in ("difference", "from", "to", "p")] == [""] * 4
        expected = paired_difference([1, 1, 1, 0, 1], [1, 1, 0, 0, 1])
        found = [float(rows[1][f"hit@10 {name}"]) for name in ("difference", "from", "to", "p")]
        assert found == [expected.mean, expected.low, expected.high, expected.p_value]
        assert float(rows[1]["mrr@10 difference"]) == pytest.approx((1 / 8 + 1 / 9 - 1 / 2) / 5, abs=1e-12)
        assert float(rows[1]["test hit@10"]) == 0.8

    def test_a_reversed_reference_reverses_the_sign(self, ranked):
        paths = [ranked("first"), ranked("second")]
        ways = [cells(make_table(paths, metrics=["hit@10"], reference=path)) for path in paths]
        assert [row["hit@10 difference"] for row in ways[0]] == ["", "+0.2000"]
        assert [row["hit@10 difference"] for row in ways[1]] == ["-0.2000", ""]
        assert ways[0][1]["hit@10 p"] == ways[1][0]["hit@10 p"] == "0.37"

    def test_the_reference_need_not_be_among_the_records_and_may_be_given_by_its_file(self, ranked):
        first, second = ranked("first"), ranked("second")
        for paths in ([second], [first, second], [first / "record.json", second]):
            table = make_table(paths, metrics=["hit@10"], reference=first / "record.json")
            assert [row["model"] for row in cells(table)] == ["first", "second"]

    def test_any_cut_off_follows_from_ranks(self, ranked):
        first, second = ranked("first"), ranked("second")
        row = cells(make_table([second], metrics=["NDCG@20"], reference=first))[1]
        assert row["ndcg@20 difference"] != "" and row["test ndcg@20"] == ""

    def test_a_failed_run_has_blanks(self, ranked, write):
        first = ranked("first")
        failed = write(status="failed", valid={}, test={})
        rows = cells(make_table([first, failed], metrics=["hit@10"], reference=first))
        assert rows[1]["model"].endswith("[failed]") and rows[1]["hit@10 p"] == ""

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"users": (3, 1, 2, 5, 6)}, r"users of .* and .* differ \(1 only in the first, 1 only in the second\)"),
            ({"users": (3, 1, 2, 5, 5)}, "user 5 has several test targets"),
            ({"test": {"hit@10": 0.8000001, "mrr@10": 0.3}}, r"a test hit@10 of 0.8, .* has 0.8000001: they are not"),
            ({"test": {"gauc": 0.5}}, "has no test metrics with which its ranks can be compared"),
            ({"data__files": {"tiny.inter": "other"}}, "in the interaction files: .* their users cannot be paired"),
            ({"config__eval_args": {"mode": "full"}}, "differ in the split"),
        ],
    )
    def test_what_cannot_be_paired_is_an_error_mixed_or_not(self, ranked, changes, message):
        first, second = ranked("first"), ranked("second", **changes)
        with pytest.raises(RecordError, match=message):
            make_table([first, second], metrics=["hit@10"], mix=True, reference=first)
        with pytest.raises(RecordError):
            make_table([first, second], metrics=["hit@10"], reference=first)

    def test_other_inputs_of_the_model_may_be_mixed(self, ranked):
        first, second = ranked("first"), ranked("second", item_input="id")
        assert len(cells(make_table([first, second], metrics=["hit@10"], mix=True, reference=first))) == 2

    def test_missing_ranks_and_metrics_without_ranks_are_named(self, ranked, write):
        first = ranked("first")
        without = write(label="without")
        with pytest.raises(RecordError, match=f"ranks {without.parent / 'ranks.npz'} do not exist: runs with"):
            make_table([first, without], metrics=["hit@10"], reference=first)
        with pytest.raises(RecordError, match="the metric gauc does not follow from ranks"):
            make_table([first, ranked("second")], metrics=["gauc"], reference=first)
        with pytest.raises(RecordError, match="record no.json cannot be read"):
            make_table([first], reference="no.json")

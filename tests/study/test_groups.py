"""Metrics of groups of test users, against figures worked by hand; and what cannot be grouped."""

import csv
import io

import numpy as np
import pytest

from recbole_mpo.common.errors import ConfigError, RecordError
from recbole_mpo.common.paired import paired_difference
from recbole_mpo.common.rank_gains import MISSED
from recbole_mpo.quick_start.record import write_ranks
from recbole_mpo.study.groups import GROUPINGS, LEAST_TESTED, Grouping, group_users
from recbole_mpo.study.reference import UserRanks
from recbole_mpo.study.table import make_table

# Five users: two with 4 items before the target, one with 5, two with 25; the target of the fourth is unseen.
RANKS = np.array([1, 2, 20, MISSED, 3], np.int32)
LENGTHS = np.array([4, 4, 5, 25, 25], np.int32)
POPULARITY = np.array([1, 9, 50, 0, 70], np.int32)
USERS = np.array([3, 1, 2, 5, 4], np.int32)


def cells(markdown):
    """Rows of a Markdown table as dictionaries."""
    lines = [[cell.strip() for cell in line.strip("|\n").split(" | ")] for line in markdown.splitlines()]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[2:]]


@pytest.fixture
def run(write):
    """Writes a record with ranks beside it, the five users' by default; returns the run's folder.

    ``left_out`` is a column that the ranks lack; keywords beyond the columns are changes of the record.
    """

    def make(rank=RANKS, history_length=LENGTHS, popularity=POPULARITY, user=USERS, left_out=None, **changes):
        columns = {"user": user, "rank": rank, "history_length": history_length, "popularity": popularity}
        columns.pop(left_out, None)
        changes = {"test": {"hit@10": float((np.asarray(rank) <= 10).mean())}, **changes}
        folder = write(**changes).parent
        write_ranks({"test": {name: np.asarray(column) for name, column in columns.items()}}, folder / "ranks.npz")
        return folder

    return make


def grouped(*folders, by="history_length", metrics=("hit@10",), reference=None):
    """The groups of runs whose records hold test metrics, or ``{}`` where the folder is None."""
    runs = [({"test": {"hit@10": _mean(folder)} if folder else {}}, folder or "gone") for folder in folders]
    return group_users(runs, by, list(metrics), reference)


def _mean(folder):
    with np.load(folder / "ranks.npz") as file:
        return float((file["test_rank"] <= 10).mean())


class TestGrouping:
    def test_groups_are_named_in_words(self):
        assert GROUPINGS["history_length"].names == ["0", "1 to 4", "5 to 6", "7 to 9", "10 to 19", "20 and more"]
        assert GROUPINGS["popularity"].names == ["0", "1 to 4", "5 to 9", "10 to 49", "50 and more"]

    @pytest.mark.parametrize("grouping", GROUPINGS.values(), ids=list(GROUPINGS))
    def test_each_value_belongs_to_the_group_that_names_it(self, grouping):
        values = np.arange(60)
        ranks = UserRanks("ranks.npz", {grouping.column: values})
        names = np.array(grouping.names)[grouping.places(ranks)]
        for value, name in zip(values, names, strict=True):
            first, _, last = name.partition(" to ")
            is_last = name.endswith(" and more")
            begin, end = (int(name.split()[0]), 10**9) if is_last else (int(first), int(last or first))
            assert begin <= value <= end, (value, name)

    @pytest.mark.parametrize("kind", [np.uint8, np.int8, np.int64, np.uint64])
    def test_every_width_of_numbers_is_read(self, kind):
        values = np.array([0, 4, np.iinfo(kind).max], kind)
        ranks = UserRanks("ranks.npz", {"popularity": values})
        assert GROUPINGS["popularity"].places(ranks).tolist() == [0, 1, 4]

    def test_a_value_below_the_first_group_is_refused(self):
        ranks = UserRanks("ranks.npz", {"age": np.array([3, 2])})
        with pytest.raises(RecordError, match=r"ranks ranks.npz: test_age holds a value below 3"):
            Grouping("age", "age", (3, 5)).places(ranks)


class TestFigures:
    def test_means_are_of_the_groups_users_and_empty_groups_are_left_out(self, run):
        groups = grouped(run(), metrics=["hit@10", "mrr@10", "ndcg@50"])
        assert [(group.name, group.users) for group in groups] == [("1 to 4", 2), ("5 to 6", 1), ("20 and more", 2)]
        ndcg = [(1 + 1 / np.log2(3)) / 2, 1 / np.log2(21), 1 / np.log2(4) / 2]
        expected = zip((1.0, 0.0, 0.5), (0.75, 0.0, 1 / 6), ndcg, strict=True)
        for group, (hit, mrr, gain) in zip(groups, expected, strict=True):
            assert group.means == [pytest.approx({"hit@10": hit, "mrr@10": mrr, "ndcg@50": gain})]
            assert group.differences == [{}]

    def test_popularity_of_the_target_groups_too(self, run):
        groups = grouped(run(), by="popularity")
        assert [(group.name, group.users, group.means[0]["hit@10"]) for group in groups] == [
            ("0", 1, 0.0), ("1 to 4", 1, 1.0), ("5 to 9", 1, 1.0), ("50 and more", 2, 0.5),
        ]  # fmt: skip

    @pytest.mark.parametrize("by", GROUPINGS)
    def test_groups_add_up_to_the_mean_over_all_users(self, run, by):
        random = np.random.default_rng(3)
        rank, length, popularity = (random.integers(least, 80, 300, dtype=np.int32) for least in (1, 0, 0))
        folder = run(rank, length, popularity, np.arange(300))
        groups = grouped(folder, by=by)
        assert sum(group.users for group in groups) == 300 and len(groups) >= 5
        total = sum(group.users * group.means[0]["hit@10"] for group in groups)
        assert total / 300 == pytest.approx(_mean(folder), abs=1e-12)

    def test_runs_are_matched_by_user_whatever_the_order_of_the_rows(self, run):
        order = [4, 0, 3, 1, 2]
        turned = run(RANKS[order], LENGTHS[order], POPULARITY[order], USERS[order])
        for group in grouped(run(), turned):
            assert group.means[0] == group.means[1]

    def test_a_run_without_test_metrics_has_none(self, run):
        assert [group.means[1] for group in grouped(run(), None)] == [{}] * 3


class TestDifferences:
    @pytest.fixture
    def two(self, run):
        """Two runs of one large group, of 30 users, and a small one, of 29."""
        length = np.repeat([4, 5], [LEAST_TESTED, LEAST_TESTED - 1])
        users = np.arange(len(length))
        first, second = np.where(users % 3 == 0, 1, 12), np.where(users % 2 == 0, 1, 12)
        return [run(rank, length, np.ones_like(length), users, label=str(rank[2])) for rank in (first, second)]

    def test_a_group_of_thirty_is_tested_and_one_of_fewer_is_not(self, two):
        large, small = grouped(*two, reference=0)
        users = np.arange(30)
        assert large.differences == [{}, {"hit@10": paired_difference(users % 2 == 0, users % 3 == 0)}]
        # Of the users 0 to 29, 15 are even and 10 are multiples of 3.
        assert large.differences[1]["hit@10"].mean == pytest.approx(15 / 30 - 10 / 30)
        assert (small.users, small.differences) == (29, [{}, {}])
        # Of 30 to 58, 15 and 10 of 29.
        assert [means["hit@10"] for means in small.means] == pytest.approx([10 / 29, 15 / 29])

    def test_the_other_reference_reverses_the_sign(self, two):
        first, second = grouped(*two, reference=1)[0].differences
        assert first["hit@10"].mean == pytest.approx(-5 / 30) and second == {}

    def test_a_run_without_test_metrics_has_no_differences(self, two):
        assert grouped(*two, None, reference=0)[0].differences[2] == {}


class TestErrors:
    def test_unknown_grouping(self, run):
        with pytest.raises(ConfigError, match="by is 'age'; choose one of history_length, popularity"):
            grouped(run(), by="age")

    def test_no_test_metrics_at_all(self):
        with pytest.raises(RecordError, match="no record has test metrics, so there are no users"):
            grouped(None, None)

    @pytest.mark.parametrize("by", GROUPINGS)
    def test_ranks_without_the_column(self, run, by):
        for folders in ([run(left_out=by)], [run(), run(left_out=by)]):
            with pytest.raises(RecordError, match=rf"ranks {folders[-1] / 'ranks.npz'} lack test_{by}, so that"):
                grouped(*folders, by=by)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"user": [3, 1, 2, 5, 6]}, r"users of .* differ \(1 only in the first, 1 only in the second\)"),
            ({"user": [3, 1, 2, 5, 5]}, "user 5 has several test targets; groups and paired differences need one per"),
            ({"history_length": [4, 4, 5, 25, 26]}, r"differs for 1 of 5 users \(user 4: 26 and 25\), so that their"),
            ({"history_length": [4, 4, 5, 25.5, 25]}, "test_history_length is not a column of whole numbers"),
            ({"history_length": [4, 4, 5]}, "test_history_length is not a column of whole numbers"),
        ],
    )
    def test_groups_of_other_users(self, run, changes, message):
        with pytest.raises(RecordError, match=message):
            grouped(run(), run(**changes))

    def test_a_negative_value(self, run):
        with pytest.raises(RecordError, match="test_popularity holds a value below 0"):
            grouped(run(popularity=[1, -9, 50, 0, 70]), by="popularity")

    def test_a_metric_that_does_not_follow_from_ranks(self, run):
        with pytest.raises(RecordError, match="the metric gauc does not follow from ranks, as groups and paired"):
            grouped(run(), metrics=["gauc"])

    def test_ranks_of_another_record(self, run):
        folder = run()
        with pytest.raises(RecordError, match=r"give a test hit@10 of 0.6, but the record beside them has 0.5: they"):
            group_users([({"test": {"hit@10": 0.5}}, folder)], "popularity", ["hit@10"])


class TestTable:
    def test_the_runs_of_a_group_stand_one_below_another(self, run):
        paths = [run(label="first"), run([1, 11, 1, 1, 60], label="second", seed=8)]
        rows = cells(make_table(paths, metrics=["HIT@10"], by="history_length"))
        assert rows[0] == {
            "history length": "1 to 4", "users": "2", "model": "first", "seed": "7", "test hit@10": "1.0000"
        }  # fmt: skip
        assert [(row["history length"], row["model"], row["test hit@10"]) for row in rows[1:]] == [
            ("1 to 4", "second", "0.5000"),
            *(("5 to 6", "first", "0.0000"), ("5 to 6", "second", "1.0000")),
            *(("20 and more", "first", "0.5000"), ("20 and more", "second", "0.5000")),
        ]

    def test_the_default_metrics_are_the_tables(self, run):
        row = cells(make_table([run()], by="popularity"))[0]
        assert list(row)[4:] == ["test hit@10", "test hit@50", "test ndcg@10", "test ndcg@50"]
        assert "" not in row.values()

    def test_csv_is_unrounded_and_text_is_aligned(self, run):
        folder = run()
        rows = list(csv.DictReader(io.StringIO(make_table([folder], "csv", ["mrr@10"], by="history_length"))))
        assert [row["users"] for row in rows] == ["2", "1", "2"] and float(rows[2]["test mrr@10"]) == 1 / 6
        lines = make_table([folder], "text", ["mrr@10"], by="history_length").splitlines()
        assert lines[1].split() == ["length", "users", "model", "seed", "mrr@10"]
        assert len(lines) == 5 and len({len(line) for line in lines[1:]}) == 1

    def test_a_reference_adds_differences_where_there_are_users_enough(self, run):
        ranks, lengths = np.repeat([1, 12, 1], [20, 20, 9]), np.repeat([4, 4, 7], [20, 20, 9])
        first, second = (
            run(rank, lengths, lengths, np.arange(49), label=label)
            for rank, label in ((ranks, "first"), (np.ones_like(ranks), "second"))
        )
        rows = cells(make_table([second], metrics=["hit@10"], reference=first, by="history_length"))
        assert [row["model"] for row in rows] == ["first", "second"] * 2
        assert [row["hit@10 difference"] for row in rows] == ["", "+0.5000", "", ""]
        assert [bool(row["hit@10 p"] and row["hit@10 from"] and row["hit@10 to"]) for row in rows] == [
            *(False, True),
            *(False, False),
        ]

    def test_a_failed_run_has_blanks(self, run, write):
        failed = write(status="failed", valid={}, test={})
        rows = cells(make_table([run(), failed], metrics=["hit@10"], by="history_length"))
        assert [row["test hit@10"] for row in rows if row["model"].endswith("[failed]")] == [""] * 3
        with pytest.raises(RecordError, match="no record has test metrics"):
            make_table([failed], by="popularity")
        with pytest.raises(RecordError, match="ranks .* do not exist: runs with"):
            make_table([run()], reference=failed, by="popularity")

    def test_published_figures_are_not_of_groups(self, run):
        with pytest.raises(ConfigError, match="the published figures are of all users; leave out published or by"):
            make_table([run()], published=True, by="popularity")

    def test_other_data_are_refused_mixed_or_not_and_other_inputs_may_be_mixed(self, run):
        first, elsewhere, by_id = run(), run(dataset="other"), run(item_input="id")
        for mix in (False, True):
            with pytest.raises(RecordError, match="differ in the dataset: 'tiny' in"):
                make_table([first, elsewhere], mix=mix, by="popularity")
        with pytest.raises(RecordError, match="differ in item_input"):
            make_table([first, by_id], by="popularity")
        assert len(cells(make_table([first, by_id], mix=True, by="popularity"))) == 8

    def test_missing_ranks_are_named(self, run, write):
        without = write()
        with pytest.raises(RecordError, match=f"ranks {without.parent / 'ranks.npz'} do not exist: runs with"):
            make_table([run(), without], by="popularity")

    @pytest.mark.parametrize("form", ["markdown", "text", "csv"])
    def test_no_label_adds_a_line(self, run, form):
        table = make_table([run(label="a|b\n=c\x1b[31m")], form, by="history_length")
        assert "\x1b" not in table and len(table.splitlines()) == {"csv": 4}.get(form, 5)

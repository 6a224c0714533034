"""Figures about users, against counting run by run and user by user."""

import itertools

import numpy as np
import plotly.graph_objects as go
import pytest
from report_runs import make_groups, make_run, random_ranks

from recbole_mpo.quick_start.record import read_ranks, write_ranks
from recbole_mpo.study.report_rows import Results
from recbole_mpo.study.report_users import missed_share, overlap_picture, user_pictures
from recbole_mpo.study.run_groups import RunGroup

METRICS = ("hit@10", "ndcg@10")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return Results.of(make_groups(tmp_path_factory.mktemp("runs")), 0, METRICS, False)


def test_plotly_knows_every_setting(results):
    for picture in (*user_pictures(results), overlap_picture(results)):
        go.Figure(picture.plot)
        names = {key for row in picture.rows for key in row}
        assert all(set(row) == names for row in picture.rows)


class TestGroupsOfUsers:
    def test_means_are_over_runs_and_users_of_a_group(self, results):
        popularity, length = user_pictures(results)
        assert (popularity.name, length.name) == ("by_popularity", "by_history_length")
        (row,) = [row for row in length.rows if (row["model"], row["history length"]) == ("MPORec", "7 to 9")]
        users = np.arange(120)
        mask = (users % 12 + 1 >= 7) & (users % 12 + 1 <= 9)
        hits = [random_ranks(seed, 2)[mask] <= 10 for seed in (11, 12)]
        assert row["users"] == mask.sum() == 30 and row["test hit@10"] == pytest.approx(np.mean(hits))

    def test_the_table_shows_the_main_metric(self, results):
        table = user_pictures(results)[1].table
        assert table.columns[:2] == ("model", "1 to 4 (40 users)") and table.marked == 0
        assert [row[0].text for row in table.rows] == ["UniSRec", "MPORec", "Pop"]
        shown = [row["test ndcg@10"] for row in user_pictures(results)[1].rows if row["history length"] == "1 to 4"]
        assert [row[1].order for row in table.rows] == shown

    def test_groups_add_up_to_the_result(self, results):
        for picture in user_pictures(results):
            rows = [row for row in picture.rows if row["model"] == "UniSRec"]
            total = sum(row["users"] * row["test ndcg@10"] for row in rows) / 120
            assert total == pytest.approx(results.rows[0].scores["ndcg@10"].mean, abs=1e-12)

    def test_ranks_of_older_runs_without_the_column_have_no_figure(self, tmp_path):
        run = make_run(tmp_path, random_ranks(1))
        columns = read_ranks(tmp_path / "ranks.npz", "test")
        del columns["popularity"]
        write_ranks({"test": columns}, tmp_path / "ranks.npz")
        found = user_pictures(Results.of([RunGroup("a", (run,))], 0, METRICS, False))
        assert [picture.name for picture in found] == ["by_history_length"]


class TestOverlap:
    @pytest.mark.parametrize(("first", "second"), [(1, 1), (2, 3), (3, 1)])
    def test_the_share_is_that_of_all_pairs_of_runs(self, first, second):
        random = np.random.default_rng(first * 10 + second)
        hits, others = (random.integers(0, 2, (seeds, 50)).astype(float) for seeds in (first, second))
        pairs = [np.mean((one == 1) & (other == 0)) for one in hits for other in others]
        assert missed_share(hits, others, False) == pytest.approx(np.mean(pairs), abs=1e-12)

    @pytest.mark.parametrize("seeds", [2, 3, 5])
    def test_within_a_group_no_run_is_paired_with_itself(self, seeds):
        hits = np.random.default_rng(seeds).integers(0, 2, (seeds, 50)).astype(float)
        pairs = [np.mean((one == 1) & (other == 0)) for one, other in itertools.permutations(hits, 2)]
        assert missed_share(hits, hits, True) == pytest.approx(np.mean(pairs), abs=1e-12)

    def test_one_run_has_nothing_to_compare_with(self):
        assert missed_share(np.ones((1, 5)), np.ones((1, 5)), True) is None

    def test_the_matrix_has_the_hits_of_the_row_that_the_column_misses(self, results):
        picture = overlap_picture(results)
        hits = [np.mean([random_ranks(seed, best) <= 10 for seed in seeds], 0) for seeds, best in _RANKS]
        expected = np.mean(hits[1] * (1 - hits[2]))
        (row,) = [row for row in picture.rows if (row["hit by"], row["missed by"]) == ("MPORec", "Pop")]
        assert row["share of users"] == pytest.approx(expected) and picture.plot["data"][0]["z"][2][2] is None
        table = picture.table
        assert table.columns[1:] == ("UniSRec", "MPORec", "Pop")
        assert table.rows[1][3].text == f"{100 * expected:.2f}" and table.rows[2][3].text == ""

    def test_one_group_has_no_matrix(self, results):
        assert overlap_picture(Results.of(results.groups[2:], 0, METRICS, False)) is None


_RANKS = [((1, 2), 1), ((11, 12), 2), ((21,), 0.8)]

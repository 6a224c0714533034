"""What a prediction's file says: of which runs, and whether it was there before them."""

import json

import pytest

from recbole_mpo.common.errors import RecordError
from recbole_mpo.study.scaling.predicted_runs import predicted_titles, read_prediction, was_before

MADE = {"made": "2026-11-27T02:00:00+00:00", "records": {}, "records_hash": "ab"}


def test_a_run_is_predicted_for_all_metrics_or_not_at_all():
    first = {**MADE, "metrics": {"loss": {"a": {}, "b": {}}, "ndcg@10": {"a": {}}}}
    assert predicted_titles(first, ["loss", "ndcg@10"]) == {"a"} and predicted_titles(first, ["loss"]) == {"a", "b"}
    assert predicted_titles(first, ["mrr@10"]) == predicted_titles(None, ["loss"]) == set()
    later = {**MADE, "metrics": {"loss": {"c": {}}, "ndcg@10": {"c": {}}}}
    assert predicted_titles({**first, "added": [later]}, ["loss", "ndcg@10"]) == {"a", "c"}


def test_times_are_compared_whatever_their_zone():
    for started, is_before in (
        ("2026-11-27T02:00:00+00:00", True),
        ("2026-11-27T02:30:00+01:00", False),
        ("2026-11-27T01:59:59+00:00", False),
        (None, False),
    ):
        assert was_before(MADE, {"started": started}) is is_before


def test_a_damaged_file_is_named(tmp_path):
    assert read_prediction(tmp_path) is None
    whole = {**MADE, "metrics": {"loss": {}}}
    for content, why in (
        ({"metrics": {}}, "KeyError: 'records'"),
        ({**whole, "made": "yesterday"}, "ValueError"),
        ({**whole, "added": [{}]}, "KeyError: 'metrics'"),
    ):
        (tmp_path / "prediction.json").write_text(json.dumps(content))
        with pytest.raises(RecordError, match=rf"prediction\.json is damaged: {why}"):
            read_prediction(tmp_path)

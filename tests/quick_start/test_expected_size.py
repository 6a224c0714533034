"""Sizes of planned runs are those that their records have, or close."""

import pytest

from recbole_mpo.quick_start.expected_size import expected_size
from recbole_mpo.quick_start.planned_run import PlannedRun
from recbole_mpo.quick_start.recorded_run import run


@pytest.mark.parametrize(
    ("model", "more"), [("UniSRec", {}), ("UniSRec", {"train_users": 0.5, "loss": "sampled"}), ("MPORec", {})]
)
def test_it_is_close_to_the_record(tiny_settings, model, more):
    settings = {**tiny_settings, "count_flops": True, "text_encoder": "tfidf-svd", **more}
    record = run(model, "tiny", (), settings)
    size = record["features"]["dimension"]
    expected = expected_size(PlannedRun.of(model, "tiny", {**settings, "feature_size": size}))
    assert not expected.is_assumed
    assert expected.non_embedding == record["scale"]["non_embedding"]
    assert expected.trainable == record["params"]["trainable"]
    assert expected.train_rows == pytest.approx(record["scale"]["train_rows"], rel=0.1)
    assert 0.3 < expected.flops / record["scale"]["flops"] < 3


def test_columns_that_follow_from_the_texts_are_assumed(tiny_settings):
    for encoder, is_assumed in (("tfidf-svd", True), ("minilm", False)):
        settings = {**tiny_settings, "text_encoder": encoder, "feature_size": None}
        assert expected_size(PlannedRun.of("UniSRec", "tiny", settings)).is_assumed is is_assumed

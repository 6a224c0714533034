"""Parts of scores sum to them, and are the same for one history as for many."""

import pytest
from model_folders import EVIDENCE, HISTORIES, recommender_of

from recbole_mpo.common.errors import DataError
from recbole_mpo.release.candidates import Candidates
from recbole_mpo.release.new_items import NewText


@pytest.fixture(params=[{}, {"evidence": EVIDENCE}, {"item_input": "text+id"}], ids=["text", "evidence", "ids"])
def recommender(request, tiny_settings):
    return recommender_of(tiny_settings, **request.param)


def test_parts_sum_to_the_scores_of_each_history(recommender, monkeypatch):
    found = recommender.recommend(HISTORIES, topk=7)
    tokens = [[item.token for item in items] for items in found]
    together = recommender.explain_each(HISTORIES, tokens)
    for items, parts in zip(found, together, strict=True):
        assert [sum(part.values()) for part in parts] == pytest.approx([item.score for item in items], abs=1e-4)
    monkeypatch.setattr(Candidates, "histories_at_once", lambda *_: 3)
    in_parts = recommender.explain_each(HISTORIES, tokens)
    for history, own, parts, others in zip(HISTORIES, tokens, together, in_parts, strict=True):
        for one, other, alone in zip(parts, others, recommender.explain(history, own), strict=True):
            assert one == pytest.approx(alone, abs=1e-5) and other == pytest.approx(alone, abs=1e-5)


def test_texts_and_histories_without_tokens_to_explain(tiny_settings):
    recommender = recommender_of(tiny_settings)
    histories = [["i3", NewText("red lamp")], ["i4"], [NewText("red lamp")]]
    parts = recommender.explain_each(histories, [["i1", "i2"], [], ["i2"]])
    assert [len(part) for part in parts] == [2, 0, 1]
    assert parts[2][0] == pytest.approx(recommender.explain(histories[2], ["i2"])[0], abs=1e-5)
    assert recommender.explain_each([["i3"]], [[]]) == [[]]


def test_unknown_tokens_are_named(tiny_settings):
    with pytest.raises(DataError, match="unknown item 'zz'"):
        recommender_of(tiny_settings).explain_each([["i3"], ["i4"]], [["i1"], ["zz"]])

"""Published figures: whose, for which runs, and that they are those of the sources. The paper's: test_table.py."""

import csv

import pytest
from report_runs import make_record

from recbole_mpo.study.published_figures import published_by_others, published_of


def of(**changes):
    return published_of(make_record(**{"dataset": "Scientific", "model": "UniSRec", **changes}))


def test_the_papers_figures_come_with_what_differs():
    found = of()
    assert found.figures == {"hit@10": 0.1095, "hit@50": 0.2119, "ndcg@10": 0.0598, "ndcg@50": 0.0835}
    assert found.source == "MPORec paper, table 2" and any("BERT" in text for text in found.differs)
    assert of(model="BERT4RecFair").method == "BERT4Rec"


@pytest.mark.parametrize(
    "changes",
    [
        {"dataset": "tiny"},
        {"model": "Pop"},
        {"config__evidence": ["words"]},
        {"config__adapter": "patches"},
        {"config__freeze": ["encoder"]},
        {"config__train_users": 0.05},
        {"config__eval_users": 0.5},
        {"config__eval_history": "masked"},
        {"model": "MPORec", "config__mpo_strategy": "progressive"},
        {"epochs_run": 0},
    ],
)
def test_a_run_that_the_paper_does_not_have_has_no_figures(changes):
    assert of(**changes) is None


def test_settings_of_no_effect_keep_the_figures():
    changes = {"config__evidence": [], "config__adapter": None, "config__train_users": 1.0, "config__eval_users": 1.0}
    assert of(**changes, config__eval_history="kept") == of()


def test_figures_of_others_are_those_of_their_sources(shared_data):
    """Each of the list: dataset, figures and protocol; a method's name may be longer here."""
    with (shared_data.parent / "specs" / "published_2026.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    metrics = ("hit@10", "hit@50", "ndcg@10", "ndcg@50")
    expected, found = [], []
    for row in rows:
        history = "masked" if "masked" in row["protocol"] else "kept"
        expected.append(
            (row["dataset"], history, row["inputs"], {name: float(row[name]) for name in metrics if row[name]})
        )
    for dataset in dict.fromkeys(row["dataset"] for row in rows):
        for history in ("kept", "masked"):
            found += [(dataset, history, one.inputs, one.figures) for one in published_by_others(dataset, history)]
    assert sorted(map(repr, found)) == sorted(map(repr, expected))


def test_the_two_ways_with_the_history_are_kept_apart():
    kept, masked = ({one.method for one in published_by_others("Beauty", way)} for way in ("kept", "masked"))
    assert "TIGER" in kept and "SASRec-SCE" in masked and not kept & masked
    assert published_by_others("tiny", "kept") == []


@pytest.mark.parametrize(
    ("method", "difference"),
    [("VQ-Rec 0315", "quantised"), ("MISSRec id pre-trained", "images"), ("MMM4Rec pre-trained", "order within a day")],
)
def test_each_source_says_how_it_differs(method, difference):
    (found,) = [one for one in published_by_others("Scientific", "kept") if one.method == method]
    assert any(difference in text for text in found.differs) and found.source

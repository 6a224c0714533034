"""Predictions beside outcomes: values, when they were made, and whether their records are still the same."""

from dataclasses import replace

import pytest

from recbole_mpo.study.run_process import RUNS
from recbole_mpo.study.scaling.outcomes import find_outcomes
from recbole_mpo.study.scaling.predicted_runs import HASH_KEY, read_prediction
from recbole_mpo.study.scaling.prediction_table import BEFORE, prediction_table


@pytest.fixture
def outcomes(planted):
    return find_outcomes(planted.made.cells, planted.output / RUNS)[0]


@pytest.fixture
def prediction(planted):
    return read_prediction(planted.output)


def cells_of(table, column):
    place = table.columns.index(column)
    return [row[place].text for row in table.rows]


def test_predictions_stand_beside_outcomes(planted, outcomes, prediction):
    table = prediction_table(planted.made, prediction, outcomes)
    assert len(table.rows) == 8 and {*cells_of(table, "law")} == {"F1", "F4"}
    assert {*cells_of(table, "inside")} <= {"yes", "no"}
    first = prediction["metrics"]["loss"]
    title = next(iter(first))
    value = next(one.value("loss") for one in outcomes if one.cell.title == title)
    assert cells_of(table, "predicted")[0] == f"{first[title]['F1']['value']:.4f}"
    assert cells_of(table, "predicted − outcome")[0] == f"{first[title]['F1']['value'] - value:+.4f}"
    assert prediction["records_hash"][:16] in table.notes[0] and "14 records" in table.notes[0]


def test_a_prediction_without_outcome_has_blanks(planted, outcomes, prediction):
    known = [one for one in outcomes if not one.cell.is_held_back]
    table = prediction_table(planted.made, prediction, known)
    assert {*cells_of(table, "outcome")} == {*cells_of(table, "inside")} == {*cells_of(table, BEFORE)} == {""}


def test_whether_it_was_made_before_is_seen_in_the_records(planted, outcomes, prediction):
    assert {*cells_of(prediction_table(planted.made, prediction, outcomes), BEFORE)} == {"yes"}
    late = next(one for one in outcomes if one.cell.is_held_back)
    late.record["started"] = "2026-01-01T00:00:00+00:00"
    table = prediction_table(planted.made, prediction, outcomes)
    marks = dict(zip(cells_of(table, "run"), cells_of(table, BEFORE), strict=True))
    assert marks.pop(late.cell.title) == "no" and {*marks.values()} == {"yes"}


def test_whether_its_records_are_still_the_same_is_checked(planted, outcomes, prediction):
    said = prediction_table(planted.made, prediction, outcomes).notes[0]
    assert said.endswith("The figures of all 14 are still those.")
    changed = next(one for one in outcomes if one.cell.title in prediction["records"])
    changed.record["test"]["loss"] += 1
    said = prediction_table(planted.made, prediction, outcomes).notes[0]
    assert said.endswith(f"Of these 1 have other figures now, or none: {changed.cell.title}.")
    del prediction[HASH_KEY]
    said = prediction_table(planted.made, prediction, outcomes).notes[0]
    assert said.endswith("Their hashes are of whole files, in an older form, and cannot be checked.")


def test_runs_without_a_prediction_are_listed(planted, outcomes, prediction):
    held = [cell.title for cell in planted.made.cells if cell.is_held_back]
    assert "without a prediction" not in "".join(prediction_table(planted.made, prediction, outcomes).notes)
    table = prediction_table(planted.made, None, outcomes)
    assert table.rows == () and table.notes[-1].startswith("Held back by the plan, but run without a prediction (2): ")
    assert all(title in table.notes[-1] for title in held)


def test_an_added_prediction_has_rows_and_a_note_of_its_own(planted, outcomes, prediction):
    title = "another, seed 2021"
    by_law = {"F1": {"value": 1.0, "low": 0.0, "high": 2.0}}
    added = {**prediction, "records": {}, "metrics": {"loss": {title: by_law}, "ndcg@10": {title: by_law}}}
    table = prediction_table(planted.made, {**prediction, "added": [added]}, outcomes)
    assert cells_of(table, "run")[8:] == [title] * 2 and "from 0 records" in table.notes[1]


def test_a_plan_that_holds_nothing_back_has_no_table(planted, outcomes):
    cells = tuple(replace(cell, is_held_back=False) for cell in planted.made.cells)
    assert prediction_table(replace(planted.made, cells=cells), None, outcomes) is None

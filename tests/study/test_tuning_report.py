"""The part of a report that says how its runs were tuned."""

from types import SimpleNamespace

import pytest

from recbole_mpo.study.matrix import read_rows
from recbole_mpo.study.row_search import Outcomes, RowSearch
from recbole_mpo.study.tuning import Tuning
from recbole_mpo.study.tuning_report import tuning_sections


@pytest.fixture
def search(tiny_settings):
    """The tuning of a row with three trials."""
    rows = read_rows({"data_path": tiny_settings["data_path"], "runs": {"a<b": {"model": "UniSRec"}}}, [1, 2], {})
    tuning = Tuning(3, settings={"item_input": ("text", "text+id"), "id_size": (32, 128)})
    return RowSearch.of(rows[0], "tiny", tuning)


def outcomes_of(figures, failed=()):
    """Outcomes with valid figures by item input and size, and with failed runs."""

    def key(plan):
        config = plan.experiment.config
        return config["item_input"], config["id_size"]

    def finished(plan):
        value = figures.get(key(plan))
        seconds = {"per_epoch": 1.0, "total": 61.4}
        record = {
            "status": "completed",
            "valid": {"ndcg@10": value},
            "epochs_run": 5,
            "hit_epoch_limit": key(plan)[1] == 32,
        }
        return None if value is None else (record | {"seconds": seconds}, "record.json")

    def failure(plan):
        return ({"status": "failed", "error": "no | memory", "seconds": {}}, "r") if key(plan) in failed else None

    return Outcomes(SimpleNamespace(finished=finished, failed=failure))


def lines_of(search, outcomes):
    (section,) = tuning_sections([search], outcomes)
    assert section.title == "Tuning"
    return section.text, {line.split("|")[2].strip() + line.split("|")[3].strip(): line
                          for line in section.text.splitlines() if line.startswith("| ")}  # fmt: skip


def test_space_and_trials_are_shown_and_the_chosen_one_is_marked(search):
    text, lines = lines_of(search, outcomes_of({("text", 64): 0.1, ("text+id", 32): 0.3, ("text+id", 128): 0.2}))
    assert "3 trials on its first seed" in text and "### a&lt;b\n\nSeed 1, 3 trials." in text
    assert "- `item_input`: text, text+id\n- `id_size`: 32, 128\n" in text
    assert "| trial | item_input | id_size | valid ndcg@10 | epochs | seconds | status |" in text
    assert lines["text+id32"].endswith("| 0.3000 | 5 (the limit) | 61 | chosen |")
    assert lines["text+id128"].endswith("| 0.2000 | 5 | 61 | completed |")
    assert lines["textnot read"].endswith("| 0.1000 | 5 | 61 | completed |")
    assert text.count("chosen |") == 1 and "test ndcg" not in text


def test_failed_and_open_trials_are_told(search):
    outcomes = outcomes_of({("text", 64): 0.1}, failed=[("text+id", 32)])
    text, lines = lines_of(search, outcomes)
    assert lines["text+id32"].endswith("|  |  |  | failed: no \\| memory |")
    assert lines["text+id128"].endswith("|  |  |  | not done |")
    assert text.endswith("Nothing is chosen: 1 of 3 trials are done.")
    outcomes = outcomes_of({})
    outcomes.failed |= {trial.key: "no message" for trial in search.trials(outcomes)}
    text, lines = lines_of(search, outcomes)
    assert lines["text+id128"].endswith("|  |  |  | failed |") and text.endswith(
        "Nothing is chosen: all trials failed."
    )


def test_without_tuning_there_is_no_section():
    assert tuning_sections([], outcomes_of({})) == []

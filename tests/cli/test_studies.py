"""``table``: its arguments on their way to the table; tests/study holds the table itself."""

import pytest

from recbole_mpo.cli import main as cli
from recbole_mpo.study import table


@pytest.fixture
def asked(monkeypatch):
    """What tables were asked for."""
    asked = []

    def make_table(paths, **choices):
        asked.append((list(paths), choices))
        return "a table\n"

    monkeypatch.setattr(table, "make_table", make_table)
    return asked


def test_records_and_defaults(asked, capsys):
    assert cli.main(["table", "a.json", "b"]) == 0
    metrics = list(table.METRICS)
    choices = {"form": "markdown", "metrics": metrics, "mix": False, "published": False, "reference": None, "by": None}
    assert asked == [(["a.json", "b"], choices)]
    assert capsys.readouterr().out == "a table\n"


def test_options_may_stand_among_the_records(asked):
    arguments = ["a.json", "--mix", "b", "--format=csv", "--metrics=mrr@10,hit@5", "--published=true"]
    assert cli.main(["table", *arguments, "--reference=007", "--by=popularity"]) == 0
    choices = {"form": "csv", "metrics": ["mrr@10", "hit@5"], "mix": True, "published": True}
    choices |= {"reference": "007", "by": "popularity"}
    assert asked == [(["a.json", "b"], choices)]


def test_table_names_unknown_options(failing):
    assert "table has no --metric (did you mean 'metrics'?)" in failing("table", "a.json", "--metric=x")
    assert "at least one record" in failing("table")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format=html"], "format is 'html'; choose one of markdown, text, csv"),
        (["--by=age"], "by is 'age'; choose one of history_length, popularity"),
        (["--by"], "argument '--by' is not understood; write --by=VALUE"),
        (["--by=popularity", "--published"], "the published figures are of all users; leave out published or by"),
        (["--mix=perhaps"], "mix must be true or false, not 'perhaps'"),
        (["--format", "csv"], "argument '--format' is not understood; write --format=VALUE"),
    ],
)
def test_mistakes_are_told(failing, arguments, message):
    assert failing("table", "a.json", *arguments).startswith(message)

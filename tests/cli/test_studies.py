"""``table`` and ``compare``: their arguments on the way to the functions, which tests/study holds."""

from pathlib import Path

import pytest

from recbole_mpo.cli import main as cli
from recbole_mpo.study import compare, table


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


@pytest.fixture
def compared(monkeypatch):
    """What was compared; one run is said to have failed if its title is ``bad``."""
    compared = []

    def record(comparison, settings, dry_run):
        compared.append((comparison, settings, dry_run))
        return ["bad, tiny, seed 1"] if comparison.title == "bad" else []

    monkeypatch.setattr(compare, "compare", record)
    return compared


def test_a_comparison_takes_options_from_file_and_command_line(compared):
    Path("try.yaml").write_text("command: compare\ndataset: [a, 007]\nseeds: 3\njobs: 2\nepochs: 4\nruns: {Pop: }\n")
    assert cli.main(["compare", "try.yaml"]) == 0
    assert cli.main(["compare", "try.yaml", "--seeds=1,2", "--epochs=9", "--max_hours=1.5", "--dry_run"]) == 0
    (first, settings, _), (second, overrides, dry_run) = compared
    assert (first.datasets, first.seeds, first.jobs, first.output) == (("a", "007"), (3,), 2, Path("saved/try"))
    assert first.rows == {"epochs": 4, "runs": {"Pop": None}} and settings == {}
    assert (second.seeds, second.max_hours, overrides, dry_run) == ((1, 2), 1.5, {"epochs": 9}, True)
    assert second.reuse == (Path("results"),) and second.reference is None


def test_a_comparison_with_a_failed_run_says_so(compared, capsys):
    Path("try.yaml").write_text("command: compare\ndataset: a\ntitle: bad\nruns: {Pop: }\n")
    assert cli.main(["compare", "try.yaml"]) == 1
    assert capsys.readouterr().out == "failed: bad, tiny, seed 1\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "compare runs one experiment file, not 0: recbole-mpo compare FILE"),
        (["try.yaml", "try.yaml"], "compare runs one experiment file, not 2"),
        (["lost.yaml"], "config file lost.yaml cannot be read"),
        (["plain.yaml"], "plain.yaml is not an experiment: it must begin with command: compare"),
        (["other.yaml"], "other.yaml is an experiment of the command 'pretrain', not of compare: recbole-mpo pretrain"),
    ],
)
def test_compare_needs_one_experiment_file(compared, failing, words, message):
    Path("try.yaml").write_text("command: compare\ndataset: a\nruns: {Pop: }\n")
    Path("plain.yaml").write_text("epochs: 3\n")
    Path("other.yaml").write_text("command: pretrain\n")
    assert failing("compare", *words).startswith(message)
    assert not compared

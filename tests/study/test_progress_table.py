"""How a comparison goes, on a terminal and off it."""

import io

from recbole_mpo.study.progress_table import Line, ProgressTable


class Terminal(io.StringIO):
    def isatty(self):
        return True


def lines():
    return [Line("a", "reused"), Line("b", "waiting"), Line("c\x1b[2J", "waiting")]


def test_off_a_terminal_only_changes_of_state_are_printed():
    output = io.StringIO()
    table = ProgressTable(lines(), output)
    table.set(1, "running")
    table.set(1, "running", "epoch 1")
    table.set(1, "done", "test ndcg@10 0.0612")
    table.draw(60)
    assert output.getvalue().splitlines() == [
        "3 runs: 1 reused, 1 running, 1 waiting  running: b",
        "3 runs: 1 done, 1 reused, 1 waiting  done: b   test ndcg@10 0.0612",
    ]


def test_on_a_terminal_the_table_is_drawn_over_itself(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    output = Terminal()
    table = ProgressTable(lines(), output)
    table.draw()
    table.set(1, "running", "epoch 1")
    table.draw(65)
    first, second = output.getvalue().split("\x1b[4F\x1b[J")
    assert first.splitlines() == [
        "  reused  a",
        " waiting  b",
        " waiting  c\\x1b[2J",
        "3 runs: 1 reused, 2 waiting",
    ]
    assert "running  b   epoch 1" in second and second.endswith("at most 1 min 5 s left\n")


def test_a_table_longer_than_the_terminal_shows_what_runs_and_what_failed(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("LINES", "5")
    monkeypatch.setenv("COLUMNS", "30")
    output = Terminal()
    table = ProgressTable([Line(str(place), "waiting") for place in range(9)], output)
    table.set(7, "running", "x" * 99)
    table.set(8, "failed", "why")
    table.draw()
    rows = output.getvalue().splitlines()
    assert [row.split()[1] for row in rows[:3]] == ["0", "7", "8"] and len(rows) == 4
    assert all(len(row) < 100 for row in rows) and len(rows[1]) == 29

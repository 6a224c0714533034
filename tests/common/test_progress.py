"""Progress bars: on a terminal alone."""

import io

import pytest

from recbole_mpo.common.progress import progress_bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("stream", "shown", "draws"), [(Terminal, True, True), (Terminal, False, False), (io.StringIO, True, False)]
)
def test_a_bar_is_drawn_on_a_terminal_where_it_is_wanted(stream, shown, draws):
    output = stream()
    bar = progress_bar(range(3), shown=shown, description="Counting", file=output)
    assert list(bar) == [0, 1, 2]
    assert ("Counting" in output.getvalue()) is draws
    # The last thing written wipes the line.
    assert not draws or output.getvalue().endswith("\r")


def test_a_bar_can_be_moved_by_hand():
    output = Terminal()
    with progress_bar(shown=True, description="Reading", total=10, initial=4, file=output) as bar:
        bar.update(6)
        assert bar.n == 10

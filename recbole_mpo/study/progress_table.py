"""How a comparison goes: on a terminal a table that is drawn again, elsewhere one line per event."""

import os
import shutil
import sys
from dataclasses import dataclass

from recbole_mpo.common.progress import duration
from recbole_mpo.common.terminal import one_line

# The states of a run, in the order in which they are counted.
STATES = ("done", "reused", "running", "waiting", "failed", "stopped")
# Moves the cursor to the beginning of the line so many lines up, and clears what is below.
_BACK = "\x1b[{}F\x1b[J"


@dataclass
class Line:
    """One run in the table.

    Attributes:
        title: the run.
        state: one of ``STATES``.
        says: its last figures, or why it failed.
    """

    title: str
    state: str
    says: str = ""


class ProgressTable:
    """The runs of a comparison with their states.

    Args:
        lines: one per run, changed by :meth:`set`.
        output: where to write; the standard output by default.
    """

    def __init__(self, lines: list[Line], output=None):
        self.lines = lines
        self._output = output or sys.stdout
        self._is_live = self._output.isatty() and os.environ.get("TERM") != "dumb"
        self._drawn = 0

    def set(self, place: int, state: str, says: str = ""):
        """Note the state of a run; off a terminal, print it if the state changed."""
        line = self.lines[place]
        is_event = line.state != state
        line.state, line.says = state, says
        if is_event and not self._is_live:
            self._output.write(f"{self._counted()}  {line.state}: {_shown(line)}\n")
            self._output.flush()

    def draw(self, left: float | None = None):
        """Draw the table again, with the seconds that are left if they are known; nothing off a terminal."""
        if not self._is_live:
            return
        width, height = shutil.get_terminal_size()
        rows = [f"{line.state:>8}  {_shown(line)}"[: width - 1] for line in self._visible(height - 2)]
        rows.append(self._counted() + ("" if left is None else f"   at most {duration(left)} left"))
        self._output.write((_BACK.format(self._drawn) if self._drawn else "") + "\n".join(rows) + "\n")
        self._output.flush()
        self._drawn = len(rows)

    def _visible(self, count: int) -> list[Line]:
        """Return at most so many lines, those of running and failed runs first, in the order of the table."""
        important = sorted(self.lines, key=lambda line: line.state not in ("running", "failed"))[: max(count, 1)]
        return [line for line in self.lines if any(line is one for one in important)]

    def _counted(self) -> str:
        counts = {state: sum(line.state == state for line in self.lines) for state in STATES}
        return f"{len(self.lines)} runs: " + ", ".join(f"{count} {state}" for state, count in counts.items() if count)


def _shown(line: Line) -> str:
    return one_line(line.title + (f"   {line.says}" if line.says else ""))

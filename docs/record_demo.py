"""Record a command on a terminal as an SVG in which its lines appear as they did: ``make recording``.

Bars that the command wipes are left out, pauses are shortened, and a reader that knows no animation shows the last
screen. Usage: ``python docs/record_demo.py FILE.svg COMMAND ...``
"""

import codecs
import os
import pty
import re
import sys
import time
from html import escape
from pathlib import Path

COLUMNS, LINE_HEIGHT, CHARACTER_WIDTH, MARGIN = 100, 17, 7.83, 20
# Seconds that a pause of the recording keeps at most, and the time all of it stays on the screen.
LONGEST_PAUSE = 0.7
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def record(command: list[str]) -> list[tuple[float, str]]:
    """Run a command on a terminal of its own; return (seconds since the start, line) of each line it leaves.

    Raises:
        SystemExit: the command failed.
    """
    os.environ["COLUMNS"] = str(COLUMNS)
    begin, lines, rest = time.monotonic(), [], ""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def read(descriptor):
        nonlocal rest
        block = os.read(descriptor, 65536)
        *whole, rest = (rest + decoder.decode(block)).split("\n")
        lines.extend((time.monotonic() - begin, shown(line)) for line in whole)
        return block

    status = os.waitstatus_to_exitcode(pty.spawn(command, read))
    if status:
        sys.exit(f"{' '.join(command)} ended with {status}")
    return lines


def shown(line: str) -> str:
    """Return what is left of a line: what was written after its last return to the start."""
    parts = CONTROL.sub("", line).rstrip("\r").split("\r")
    return parts[-1].rstrip()


def shortened(lines: list[tuple[float, str]]) -> list[tuple[float, str]]:
    """Return the lines with their pauses cut to :data:`LONGEST_PAUSE`."""
    result, before, clock = [], 0.0, 0.0
    for at, line in lines:
        clock += min(at - before, LONGEST_PAUSE)
        before = at
        result.append((clock, line))
    return result


def wrapped(line: str) -> list[str]:
    """Return a line in parts, as a terminal of :data:`COLUMNS` columns breaks it."""
    return [line[start : start + COLUMNS] for start in range(0, max(len(line), 1), COLUMNS)]


def picture(prompt: str, lines: list[tuple[float, str]]) -> str:
    """Return the SVG of a prompt and the lines below it."""
    rows = [(0.0, f"$ {prompt}"), *((at, part) for at, line in lines for part in wrapped(line))]
    width, height = COLUMNS * CHARACTER_WIDTH + 2 * MARGIN, (len(rows) + 1) * LINE_HEIGHT + 2 * MARGIN
    texts = []
    for number, (at, line) in enumerate(rows):
        y = MARGIN + 28 + number * LINE_HEIGHT
        kind = "p" if number == 0 else "h" if re.match(r"\d\. \w+:", line) else "t"
        style = f' style="animation:w {at:.1f}s"' if at else ""
        texts.append(f'<text x="{MARGIN}" y="{y}" class="{kind}"{style}>{escape(line)}</text>')
    return TEMPLATE.format(width=f"{width:.0f}", height=height, title=escape(prompt), texts="\n".join(texts))


TEMPLATE = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="recording of {title}">
<style>
text {{ font: 13px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; white-space: pre; fill: #d8dee9 }}
.p {{ fill: #a3be8c; font-weight: bold }}
.h {{ fill: #88c0d0; font-weight: bold }}
@keyframes w {{ from, to {{ opacity: 0 }} }}
@media (prefers-reduced-motion: reduce) {{ text {{ animation: none !important }} }}
</style>
<rect width="{width}" height="{height}" rx="10" fill="#242933"/>
<circle cx="22" cy="18" r="6" fill="#bf616a"/>
<circle cx="42" cy="18" r="6" fill="#ebcb8b"/>
<circle cx="62" cy="18" r="6" fill="#a3be8c"/>
{texts}
</svg>
"""


if __name__ == "__main__":
    target, *words = sys.argv[1:]
    named = " ".join([Path(words[0]).name, *words[1:]])
    Path(target).write_text(picture(named, shortened(record(words))), encoding="utf-8")

"""The plots of a report as SVG, drawn by plotly.js in a browser that kaleido starts; optional."""

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor

from recbole_mpo.common.errors import DependencyError

# Of one image, on a busy machine.
SECONDS = 90


def draw_svgs(plots: list[dict]) -> list[bytes]:
    """Return each plot as an SVG file; the same plot gives the same file.

    Raises:
        DependencyError: kaleido or a browser for it is missing, or it cannot draw; the message says which in one line.
    """
    try:
        from kaleido import Kaleido
    except ImportError as problem:
        raise DependencyError("kaleido is not installed (pip install 'recbole-mpo[report]')") from problem
    try:
        # A thread of its own, since a notebook runs an event loop already.
        with ThreadPoolExecutor(1) as thread:
            images = thread.submit(asyncio.run, _draw(Kaleido, plots)).result()
    # A missing browser, one that cannot start, one that is killed: each is another error, and none must end a report.
    except Exception as problem:
        reason = (str(problem).strip() or type(problem).__name__).splitlines()[0]
        raise DependencyError(f"kaleido cannot draw: {reason}") from problem
    return [_with_fixed_names(image) for image in images]


async def _draw(kaleido, plots: list[dict]) -> list[bytes]:
    # MathJax would be fetched from the network, and no plot has formulas.
    async with kaleido(n=1, timeout=SECONDS, mathjax=False) as browser:
        return [await browser.calc_fig(_with_named_traces(plot), opts={"format": "svg"}) for plot in plots]


def _with_named_traces(plot: dict) -> dict:
    """Return a plot whose traces have names of their own, which plotly.js else draws by chance."""
    return {**plot, "data": [{**trace, "uid": f"trace{place}"} for place, trace in enumerate(plot["data"])]}


def _with_fixed_names(image: bytes) -> bytes:
    """Return an image whose parts do not have names that plotly.js draws by chance."""
    drawn = re.search(rb'id="defs-([0-9a-f]{6})"', image)
    return image.replace(drawn[1], b"report") if drawn else image

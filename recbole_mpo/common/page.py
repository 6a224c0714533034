"""HTML pages that need no network: one frame for every report, filled from jinja2 templates."""

from pathlib import Path

from jinja2 import Environment

from recbole_mpo.common.errors import DataError
from recbole_mpo.common.files import write_lines

# By this a page is known that may be replaced.
_MARK = '<meta name="generator" content="recbole_mpo">'
# A browser loads nothing from elsewhere and sends nothing anywhere, whatever a page holds.
_POLICY = (
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data: blob:; form-action 'none'\">"
)
# Settings of plotly's figures: no button that sends a figure to plotly's servers.
PLOT_SETTINGS = {"displaylogo": False, "showSendToCloud": False, "plotlyServerURL": ""}
_FRAME = (
    """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">"""
    + _MARK
    + _POLICY
    + """<title>{{ title }}</title>
<style>
body { font-family: sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #222 }
td, th { padding: .2em 1em .2em 0; text-align: left } li { margin: .2em 0 } .item { color: #777 }
</style></head><body>
<h1>{{ title }}</h1>
{{ body | safe }}
</body></html>"""
)


def render_page(title: str, body: str, **values) -> str:
    """Return a whole HTML page.

    Args:
        title: plain text, for the window and the heading.
        body: a jinja2 template for the rest of the page.
        values: the template's variables. They are escaped, except those marked ``| safe``.
    """
    templates = Environment(autoescape=True)
    content = templates.from_string(body).render(**values)
    return templates.from_string(_FRAME).render(title=title, body=content)


def write_page(path: str | Path, title: str, body: str, **values):
    """Write the page that :func:`render_page` returns, whole or not at all.

    Raises:
        DataError: the page cannot be written, or would replace a file that is not such a page.
    """
    if Path(path).exists() and not _is_own(Path(path)):
        raise DataError(f"{path} exists and was not written by this package; name another file, or move it away first")
    try:
        write_lines(path, render_page(title, body, **values).split("\n"))
    except OSError as problem:
        raise DataError(f"{path} cannot be written: {problem.strerror or problem}") from problem


def _is_own(path: Path) -> bool:
    """Return whether a file is a page of this package."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return _MARK.encode() in file.read(1000)

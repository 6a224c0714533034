"""Pages stand alone, escape what they are given, and are written whole or not at all."""

import re
from html.parser import HTMLParser

import pytest

from recbole_mpo.common.errors import DataError
from recbole_mpo.common.page import render_page, write_page

BODY = """<p>{{ text }}</p>
{% for figure in figures %}{{ figure | safe }}{% endfor %}"""


class Outline(HTMLParser):
    """Collects the tags of a page, in order, and the text inside each kind of them."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.texts = [], {}
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        place = self.tags[-1] if self.tags else ""
        self.texts[place] = self.texts.get(place, "") + data


def test_the_frame_holds_title_and_body():
    outline = Outline(render_page("Ten runs", BODY, text="all well", figures=["<svg></svg>"]))
    assert outline.tags == ["html", "head", "meta", "meta", "meta", "title", "style", "body", "h1", "p", "svg"]
    assert outline.texts["title"].strip() == "Ten runs" and outline.texts["h1"].strip() == "Ten runs"
    assert outline.texts["p"].strip() == "all well"


def test_text_cannot_become_markup_in_title_or_body():
    page = render_page("<script>1</script>", BODY, text="<script>2</script> & {{ text }}", figures=[])
    assert "script" not in Outline(page).tags
    assert "&lt;script&gt;2&lt;/script&gt; &amp; {{ text }}" in page, "a value is no template"


def test_a_page_asks_for_nothing_beside_itself():
    page = render_page("Ten runs", BODY, text="all well", figures=[])
    assert not re.search(r"(src|href|url)\s*[=(]", page)
    policy = re.search(r'<meta http-equiv="Content-Security-Policy" content="(.*?)">', page)[1]
    assert policy.startswith("default-src 'none'; ") and "form-action 'none'" in policy and "http" not in policy


def test_a_page_is_written_as_it_is_rendered(tmp_path):
    values = {"text": "naïve\nlines", "figures": ["<svg>\n</svg>"]}
    write_page(tmp_path / "new" / "page.html", "Ten runs", BODY, **values)
    assert (tmp_path / "new" / "page.html").read_text("utf-8") == render_page("Ten runs", BODY, **values) + "\n"


def test_a_place_that_cannot_be_written_is_named_and_left_as_it_was(tmp_path):
    (tmp_path / "file").write_text("old")
    with pytest.raises(DataError, match=r"file/page\.html cannot be written: "):
        write_page(tmp_path / "file" / "page.html", "Ten runs", BODY, text="", figures=[])
    assert (tmp_path / "file").read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_only_a_page_of_this_package_is_replaced(tmp_path):
    page = tmp_path / "page.html"
    for title in ("First", "Second"):
        write_page(page, title, BODY, text="", figures=[])
    assert "Second" in page.read_text()
    page.write_text("<html>mine</html>")
    for path in (page, tmp_path):
        with pytest.raises(DataError, match="exists and was not written by this package; name another file"):
            write_page(path, "Third", BODY, text="", figures=[])
    assert page.read_text() == "<html>mine</html>"

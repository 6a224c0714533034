"""The page at ``/``, clicked in a browser, and what it may load and show."""

import re
from importlib import resources

import pytest
from browser import find_browser, findings_at, with_script
from stand_in import StandIn, serving

from recbole_mpo.release.serving.kept_items import KeptItems
from recbole_mpo.release.serving.served_model import ServedModel

for package in ("fastapi", "uvicorn", "prometheus_client"):
    pytest.importorskip(package, reason="needs the extra [serve]")

PAGE = resources.files("recbole_mpo.release.serving").joinpath("page.html").read_text(encoding="utf-8")
HOSTILE = "<img src=x onerror=\"document.title='seized'\"><script>document.title='seized'</script>"
# Waits until something holds, as a person looks until something is seen.
HELPERS = """
const until = async (holds) => {
  for (let turn = 0; turn < 200 && !holds(); turn++) await new Promise((done) => setTimeout(done, 20));
  if (!holds()) throw new Error(`never: ${holds}`);
};
const texts = (selector) => [...document.querySelectorAll(selector)].map((element) => element.textContent);
const press = (element, key) => {
  element.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true, cancelable: true}));
};
const type = (id, text) => { $(id).value = text; $(id).dispatchEvent(new Event("input")); };
"""


@pytest.fixture
def clicked(served, tmp_path):
    """Runs a script in the page of a server of the stand-in and a smaller one; the page must have no error."""
    find_browser()
    small = StandIn(3)
    small.titles["i2"] = HOSTILE

    def run(script, **choices):
        models = [served, ServedModel("small", small, KeptItems(tmp_path / "small.jsonl"))]
        with serving(models, with_script(PAGE, HELPERS + script), **choices) as address:
            found = findings_at(address, tmp_path)
        assert found["errors"] == [] and found["forbidden"] == []
        assert all(request.startswith((address, "data:")) for request in found["requests"])
        return found["answer"]

    return run


def test_a_history_is_clicked_together_and_reordered(clicked):
    found = clicked("""
      await until(() => texts("#choices button").length === 20);
      type("query", "lamp 1");
      await until(() => texts("#choices button").length === 11);
      press($("query"), "Enter");
      press($("query"), "ArrowDown");
      press(document.activeElement, "ArrowDown");
      document.activeElement.click();
      await until(() => texts("#found li").length === 10);
      const before = texts("#history .token");
      const earlier = document.querySelectorAll("#history li")[1].querySelectorAll("button")[0];
      earlier.focus(); earlier.click();
      const [moved, focused] = [texts("#history .token"), document.activeElement.title];
      document.querySelector("#history li button[title=Remove]").click();
      const removed = texts("#history .token");
      document.querySelector("#found .pick").click();
      await until(() => texts("#history li").length === 2);
      const known = texts("#history .title").every((title) => title.includes("lamp"));
      $("clear").click();
      await until(() => texts("#found li").length === 0);
      return [before, moved, focused, removed, known, texts("#history li"), document.activeElement.id];
    """)
    before = ["i1", "i10"]
    assert found == [before, before[::-1], "Later", ["i1"], True, [], "query"]


def test_recommendations_have_titles_scores_and_bars_of_their_parts(clicked, stand_in):
    rows = clicked("""
      await until(() => texts("#choices button").length === 20);
      document.querySelectorAll("#choices button")[3].click();
      await until(() => texts("#found li").length === 10);
      const widthOf = (piece) => piece.getBoundingClientRect().width;
      const widths = (row) => [...row.querySelectorAll(".bar i:not(.zero)")].map(widthOf);
      return [...document.querySelectorAll("#found li")].map((row) => ({
        token: row.querySelector(".token").textContent, title: row.querySelector(".title").textContent,
        score: row.querySelector(".score").textContent, parts: row.querySelector(".parts").textContent,
        widths: widths(row)}));
    """)
    widest = rows[0]["widths"][0] / 2.0
    for row in rows:
        parts = stand_in.parts(["i3"], row["token"])
        assert row["title"] == stand_in.titles[row["token"]]
        assert row["score"] == f"{sum(parts.values()):.2f}"
        assert row["parts"] == f"text {parts['text']:.2f} · counts {parts['covisit']:.2f}"
        assert row["widths"] == pytest.approx([abs(part) * widest for part in parts.values()], abs=1.5)


def test_titles_are_filtered_models_chosen_and_texts_no_markup(clicked):
    found = clicked("""
      await until(() => texts("#choices button").length === 20);
      $("model").value = "small";
      $("model").dispatchEvent(new Event("change"));
      await until(() => texts("#choices button").length === 3);
      document.querySelectorAll("#choices button")[1].click();
      await until(() => texts("#found li").length === 2);
      const titles = texts("#found .title");
      type("filter", "onerror");
      await until(() => texts("#found li").length === 1);
      document.querySelector("#found .pick").click();
      $("text").value = "<b>a red lamp</b>";
      $("text-form").requestSubmit();
      await until(() => texts("#history li").length === 3);
      return [titles, texts("#history .title"), document.querySelectorAll("#history img, #found img, b").length,
              document.title];
    """)
    assert HOSTILE in found[0]
    assert found[1] == ["red lamp 1", HOSTILE, "<b>a red lamp</b>"]
    assert found[2:] == [0, "Recommendations"]


def test_an_item_is_added_and_a_wrong_one_is_told(clicked, served):
    found = clicked("""
      await until(() => texts("#choices button").length === 20);
      $("adding").open = true;
      const add = (token, text) => {
        $("new-token").value = token;
        $("new-text").value = text;
        $("item-form").requestSubmit();
      };
      add("new", "green chair");
      await until(() => $("added").textContent);
      const added = $("added").textContent;
      type("query", "chair");
      await until(() => texts("#choices .token").join() === "new");
      add("i3", "another");
      await until(() => $("not-added").textContent);
      return [added, $("not-added").textContent];
    """)
    assert found[0] == "new is ranked now, one of 21 items."
    assert "has an item 'i3' already" in found[1]
    assert served.kept.texts == {"new": "green chair"}


def test_a_key_is_asked_for_where_the_server_has_one(clicked):
    assert clicked(
        """
      await until(() => !$("key-form").hidden);
      $("key").value = "secret";
      $("key-form").requestSubmit();
      await until(() => texts("#choices button").length === 20);
      return $("key-form").hidden && $("problem").textContent === "";
    """,
        api_key="secret",
    )


def test_the_page_loads_nothing_and_its_policy_allows_nothing_else(client):
    answer = client("/")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and policy.count("'sha256-") == 2
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    text = answer.body.decode()
    assert not re.search(r"(?:src|href)=(?![\"']data:,)|https?:|url\(|@import|innerHTML", text)


def test_every_field_of_the_page_has_a_name():
    labelled = set(re.findall(r'<label for="([^"]+)"', PAGE)) | set(
        re.findall(r'<label[^>]*>[^<]*<\w+ id="([^"]+)"', PAGE)
    )
    fields = re.findall(r'<(?:input|select|textarea)\b[^>]*id="([^"]+)"(?![^>]*aria-label)', PAGE)
    assert set(fields) - labelled <= {"filter"} and len(fields) >= 7

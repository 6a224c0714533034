"""A page in headless Chromium, with what it did while a script of the test ran in it."""

import base64
import json
import re
import shutil
import subprocess

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SECONDS = 120
# Before the page's own scripts: what goes wrong, and what the page's policy forbids.
_BEFORE = """<script>
const findings = {errors: [], forbidden: []};
addEventListener("error", (event) => findings.errors.push(event.message || String(event.target)), true);
addEventListener("unhandledrejection", (event) => findings.errors.push(String(event.reason)));
document.addEventListener("securitypolicyviolation", (event) => findings.forbidden.push(event.blockedURI));
</script>"""
_AFTER = """<script>addEventListener("load", () => setTimeout(async () => {
  try { findings.answer = await (async () => { %s })(); } catch (problem) { findings.errors.push(String(problem)); }
  // What the policy forbids is told a little later.
  await new Promise((done) => setTimeout(done, 100));
  findings.requests = performance.getEntriesByType("resource").map((entry) => entry.name);
  const place = document.createElement("pre");
  place.id = "findings";
  place.textContent = btoa(unescape(encodeURIComponent(JSON.stringify(findings))));
  document.body.append(place);
}, 500));</script>"""


def find_browser() -> str:
    """Return the path of Chromium; skip the test where there is none."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is on the path")
    return path


def run_in_page(page, script: str, folder) -> dict:
    """Open a page and return ``answer`` of the script (its returned value), ``errors``, ``forbidden`` and ``requests``.

    Args:
        page: the page's file; a copy of it is opened.
        script: body of an async function, run when the page is loaded.
        folder: where the copy and the browser's own files are put.
    """
    copy = folder / "page.html"
    copy.write_text(with_script(page.read_text(encoding="utf-8"), script), encoding="utf-8")
    return findings_at(copy.as_uri(), folder)


def with_script(text: str, script: str) -> str:
    """Return a page's HTML with a script that is run when the page is loaded."""
    # After the policy, which must hold for the test's own scripts as well.
    text = text.replace("<title>", f"{_BEFORE}<title>", 1)
    return text.replace("</body></html>", f"{_AFTER % script}</body></html>")


def findings_at(address: str, folder) -> dict:
    """Open an address, whose page :func:`with_script` has changed; return what its script found.

    Args:
        address: of a file or a server.
        folder: where the browser's own files are put.
    """
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1300,2000"]
    flags += [f"--user-data-dir={folder}/browser", "--virtual-time-budget=10000", "--dump-dom"]
    command = [find_browser(), *flags, address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    found = re.search(r'<pre id="findings">([^<]*)</pre>', done.stdout)
    assert found, f"the browser gave no answer: {done.stderr[-1000:]}"
    return json.loads(base64.b64decode(found[1]))

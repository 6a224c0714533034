"""What the documentation site needs beyond MkDocs: files of the repository in pages, links to files, and docstrings.

MkDocs calls the functions ``on_...``. Pages are written to be read on a code host too, with links to any file of the
repository. On the site such a link leads to the page that shows the file, else to the repository (``repo_url``), and is
plain code where no address is known.
"""

import ast
import logging
import posixpath
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
INCLUDE = re.compile(r'^--8<-- "(.+)"$', flags=re.MULTILINE)
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)")
FENCED = re.compile(r"(^```.*?^```$)", flags=re.MULTILINE | re.DOTALL)
# A name in a docstring, as MkDocs has rendered it.
ROLE = re.compile(r":(?:attr|class|func|meth|mod):<code>(~?)([\w.]+)</code>")

# In a strict build a warning fails the build.
logger = logging.getLogger("mkdocs.hooks")


def on_pre_build(config):
    """Fail a strict build that would show a public name of the package without docstring."""
    for name in undocumented(ROOT / "recbole_mpo"):
        logger.warning("%s has no docstring", name)


def on_page_markdown(markdown: str, page, config, files) -> str:
    """Return a page's text with the files that it includes, every link relative to the page."""
    pages = {f"docs/{file.src_uri}": f"docs/{file.src_uri}" for file in files.documentation_pages()}
    for path in list(pages):
        for included in INCLUDE.findall((ROOT / path).read_text(encoding="utf-8")):
            pages[included] = path
    return whole_page(f"docs/{page.file.src_uri}", markdown, pages, config["repo_url"])


def on_page_content(html: str, page, config, files) -> str:
    """Return a page with the names in docstrings as code, linked where the site describes what they name."""

    def name(match: re.Match) -> str:
        shown = match[2].rpartition(".")[2] if match[1] else match[2]
        return f'<autoref identifier="{match[2]}" optional><code>{shown}</code></autoref>'

    return ROLE.sub(name, html)


def whole_page(path: str, markdown: str, pages: dict[str, str], repo_url: str | None) -> str:
    """Return a page's text with the files that it includes, and with links that lead somewhere.

    Args:
        path: of the page in the repository.
        markdown: its text.
        pages: the page that shows a file, by the file's path; a page shows itself.
        repo_url: address of the repository, if it has one.
    """

    def place(text: str, folder: str) -> str:
        return linked(text, folder, posixpath.dirname(path), pages, repo_url)

    def include(match: re.Match) -> str:
        file = ROOT / match[1]
        if not file.is_file():
            logger.warning("%s includes %s, which does not exist", path, match[1])
            return match[0]
        return place(file.read_text(encoding="utf-8"), posixpath.dirname(match[1]))

    return INCLUDE.sub(include, place(markdown, posixpath.dirname(path)))


def linked(text: str, folder: str, page_folder: str, pages: dict[str, str], repo_url: str | None) -> str:
    """Return text that stands in ``folder`` with its links as a page in ``page_folder`` needs them."""

    def link(match: re.Match) -> str:
        label, address = match.groups()
        target, _, anchor = address.partition("#")
        target = posixpath.normpath(posixpath.join(folder, target))
        if re.match(r"[a-z]+:", address) or address.startswith("#") or not (ROOT / target).exists():
            return match[0]
        if target in pages:
            return f"[{label}]({posixpath.relpath(pages[target], page_folder)}{anchor and '#'}{anchor})"
        if repo_url:
            return f"[{label}]({repo_url.rstrip('/')}/blob/main/{target})"
        return label if "`" in label else f"`{label}`"

    parts = FENCED.split(text)
    return "".join(part if part.startswith("```") else LINK.sub(link, part) for part in parts)


def undocumented(package: Path) -> list[str]:
    """Return the public functions and classes of a package, and their public methods, that have no docstring."""
    names = []
    for path in sorted(package.rglob("*.py")):
        module = ".".join(path.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__")
        names += _undocumented(ast.parse(path.read_text(encoding="utf-8")), module)
    return names


def _undocumented(scope: ast.AST, prefix: str) -> list[str]:
    names = []
    for node in scope.body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        name = f"{prefix}.{node.name}"
        names += [] if ast.get_docstring(node) or _is_stub(node) else [name]
        names += _undocumented(node, name) if isinstance(node, ast.ClassDef) else []
    return names


def _is_stub(node: ast.AST) -> bool:
    """Say whether a protocol's method only names what another class defines, and describes there."""
    return ast.unparse(node.body) == "..."

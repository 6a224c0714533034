"""Where the files of properties/ are: schema.yaml, model/<Model>.yaml, dataset/<Name>.yaml, and two of facts."""

from __future__ import annotations

from pathlib import Path

from recbole_mpo.common.errors import ConfigError

SINGLE = ("schema", "overall", "sources", "published")
KINDS = (*SINGLE, "model", "dataset")
_PACKAGE = Path(__file__).resolve().parents[1]


def source_tree() -> Path | None:
    """Return the checkout this package runs from (directly or by an editable install); None for a wheel."""
    # site-packages may hold a stranger's `properties`, so the package's own setup.cfg must stand beside it.
    tree = _PACKAGE.parent
    return tree if (tree / "setup.cfg").is_file() and (tree / "properties").is_dir() else None


def property_root() -> Path:
    """Return the folder of the packaged settings: `properties/` of the source tree, or the wheel's copy.

    Raises:
        ConfigError: neither holds schema.yaml.
    """
    tree = source_tree()
    candidates = [tree / "properties"] if tree else []
    candidates.append(_PACKAGE / "properties")
    for root in candidates:
        if (root / "schema.yaml").is_file():
            return root
    looked = " and ".join(str(root) for root in candidates)
    raise ConfigError(
        f"the packaged settings are missing: no schema.yaml in {looked}; install recbole-mpo again "
        "(pip install --force-reinstall --no-deps), or restore properties/ in the checkout"
    )


def find_property(kind: str, name: str | None = None) -> Path | None:
    """Return the file of a kind (of SINGLE, or `model` or `dataset` with a name); None where there is none.

    A file in ./properties of the current directory replaces the packaged one, but for the schema; `overall` is the
    user's alone. Names match in any capitalisation, the exact spelling first.

    Raises:
        ConfigError: the packaged settings are missing.
    """
    if kind not in KINDS or (kind in SINGLE) != (name is None):
        raise ValueError(f"kind is one of {KINDS}, all but {SINGLE} with a name; got {kind!r}, {name!r}")
    packaged = property_root()
    for root in (packaged,) if kind == "schema" else (Path.cwd() / "properties", packaged):
        folder = root if kind in SINGLE else root / kind
        file = _match(folder, name or kind)
        if file:
            return file
    return None


def _match(folder: Path, name: str) -> Path | None:
    """Return the folder's `<name>.yaml`. A name is compared, never joined to a path: it cannot leave the folder."""
    if not folder.is_dir():
        return None
    files = [path for path in sorted(folder.glob("*.yaml")) if path.stem.casefold() == name.casefold()]
    return min(files, key=lambda path: path.stem != name, default=None)

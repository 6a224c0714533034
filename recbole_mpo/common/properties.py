"""Finds the files of ``properties/``: the schema, defaults of models and datasets, raw sources, published figures."""

from __future__ import annotations

from pathlib import Path

from recbole_mpo.common.errors import ConfigError

SINGLE = ("schema", "overall", "sources", "published")
KINDS = (*SINGLE, "model", "dataset")
_PACKAGE = Path(__file__).resolve().parents[1]


def source_tree() -> Path | None:
    """Return the checkout that this package runs from (directly or as an editable install); None for a wheel."""
    # site-packages may hold a `properties` folder of another package, so this package's setup.cfg must be next to it.
    tree = _PACKAGE.parent
    return tree if (tree / "setup.cfg").is_file() and (tree / "properties").is_dir() else None


def property_root() -> Path:
    """Return the folder of the packaged settings: ``properties/`` of the source tree, or the wheel's copy.

    Raises:
        ConfigError: ``schema.yaml`` is in neither.
    """
    tree = source_tree()
    candidates = [tree / "properties"] if tree else []
    candidates.append(_PACKAGE / "properties")
    for root in candidates:
        if (root / "schema.yaml").is_file():
            return root
    folders = " and ".join(str(root) for root in candidates)
    raise ConfigError(
        f"the packaged settings are missing: no schema.yaml in {folders}; install recbole-mpo again "
        "(pip install --force-reinstall --no-deps) or restore properties/ in the checkout"
    )


def find_property(kind: str, name: str | None = None) -> Path | None:
    """Return the file of a kind (one of ``SINGLE``, or ``model`` or ``dataset`` with a name); None if there is none.

    A file in ``./properties`` of the current directory replaces the packaged one, except the schema; only the user has
    an ``overall`` file. Names match in any capitalisation; the exact spelling comes first.

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
    """Return the folder's ``<name>.yaml``; names are compared, never joined to a path, so none can leave the folder."""
    if not folder.is_dir():
        return None
    files = [path for path in sorted(folder.glob("*.yaml")) if path.stem.casefold() == name.casefold()]
    return min(files, key=lambda path: path.stem != name, default=None)

"""Where the packaged settings are: overall.yaml, model/<Model>.yaml and dataset/<Name>.yaml."""

from __future__ import annotations

from pathlib import Path

from recbole_mpo.common.errors import ConfigError

SINGLE = ("overall", "sources", "published")
KINDS = (*SINGLE, "model", "dataset")
_PACKAGE = Path(__file__).resolve().parents[1]


def source_tree() -> Path | None:
    """The checkout this package runs from (directly or by an editable install); None for a wheel."""
    # site-packages may hold a stranger's `properties`, so the package's own setup.cfg must stand beside it.
    tree = _PACKAGE.parent
    return tree if (tree / "setup.cfg").is_file() and (tree / "properties").is_dir() else None


def property_root() -> Path:
    """The folder of the packaged settings: `properties/` of the source tree, or the wheel's copy.

    Raises ConfigError when neither holds overall.yaml.
    """
    tree = source_tree()
    candidates = [tree / "properties"] if tree else []
    candidates.append(_PACKAGE / "properties")
    for root in candidates:
        if (root / "overall.yaml").is_file():
            return root
    looked = " and ".join(str(root) for root in candidates)
    raise ConfigError(
        f"the packaged settings are missing: no overall.yaml in {looked}; install recbole-mpo again "
        "(pip install --force-reinstall --no-deps), or restore properties/ in the checkout"
    )


def find_property(kind: str, name: str | None = None) -> Path | None:
    """The file of a kind (of SINGLE, or `model` or `dataset` with a name); None when there is none.

    A file in ./properties of the current directory takes the place of the packaged one. Names match in any
    capitalisation, the exact spelling first. Raises ConfigError when the packaged settings are missing.
    """
    if kind not in KINDS or (kind in SINGLE) != (name is None):
        raise ValueError(f"kind is one of {KINDS}, all but {SINGLE} with a name; got {kind!r}, {name!r}")
    packaged = property_root()
    for root in (Path.cwd() / "properties", packaged):
        folder = root if kind in SINGLE else root / kind
        found = _match(folder, name or kind)
        if found:
            return found
    return None


def _match(folder: Path, name: str) -> Path | None:
    """The folder's `<name>.yaml`. A name is compared, never joined to a path: it cannot leave the folder."""
    if not folder.is_dir():
        return None
    files = [path for path in sorted(folder.glob("*.yaml")) if path.stem.casefold() == name.casefold()]
    return min(files, key=lambda path: path.stem != name, default=None)

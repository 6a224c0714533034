"""The raw data that this package knows (``properties/sources.yaml``): names, addresses, published counts."""

from dataclasses import dataclass
from pathlib import Path

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.common.properties import find_property
from recbole_mpo.common.values import check_choice, read_yaml, suggestion

RELEASES = ("2018", "2023")
ML100K = "ml-100k"
# All categories of the 2018 release as one dataset.
AMAZON_2018_ALL = "Amazon-2018-all"


@dataclass(frozen=True)
class Source:
    """The raw data of one dataset.

    Attributes:
        name: name of the dataset that is made from it.
        kind: name of its entry in sources.yaml, ``ml-100k`` or ``Amazon-2018-all``.
        entry: that entry.
        expected: published numbers of users, items and interactions, or None.
    """

    name: str
    kind: str
    entry: dict
    expected: tuple[int, int, int] | None

    @property
    def addresses(self) -> list[str]:
        """Return the addresses of its files, in the order to try."""
        return list(self.entry.get("addresses", ()))

    def sha256(self, file_name: str) -> str | None:
        """Return the expected sha256 of a raw file, or None if unknown."""
        return self.entry.get("sha256", {}).get(file_name)


def read_sources() -> dict:
    """Read the table of raw data."""
    return read_yaml(find_property("sources"))


def known_names() -> list[str]:
    """Return the names of all datasets that can be prepared by name."""
    table = read_sources()
    newer = [f"{name}-2023" for name in table["amazon-2023"]["categories"]]
    return [*table["amazon-2018"]["categories"], AMAZON_2018_ALL, *newer, "OR", ML100K, *table["movielens"]["sets"]]


def find_source(name: str, release: str | None = None) -> Source | None:
    """Return the source of a dataset by its name in any capitalisation; None for an unknown name.

    Args:
        name: the name in the paper; ``Scientific-2023`` is the newer release of Scientific.
        release: ``2023`` selects the newer release for a name without ``-2023``.

    Raises:
        ConfigError: the release does not exist or contradicts the name.
    """
    if release is not None:
        check_choice("release", release, RELEASES)
    if release == "2018" and name.endswith("-2023"):
        raise ConfigError(f"{name} is from the 2023 release; leave --release out")
    name = name_of_release(name, release)
    by_lower = {spelling.lower(): spelling for spelling in known_names()}
    spelling = by_lower.get(name.lower())
    return _source(spelling, read_sources()) if spelling else None


def name_of_release(name: str, release: str | None) -> str:
    """Return the dataset's name in a release."""
    return f"{name}-2023" if release == "2023" and not name.endswith("-2023") else name


def refuse_unknown(name: str):
    """Raise ``ConfigError`` for a name that :func:`find_source` does not know."""
    names = known_names()
    raise ConfigError(
        f"{name!r} is not a known dataset{suggestion(name, names)}; the known ones are {', '.join(names)}. "
        "For your own tables give --interactions=FILE --items=FILE; to join prepared datasets give --domains=A,B"
    )


def raw_folder(data_path: str | Path, name: str) -> Path:
    """Return the folder for a dataset's raw files."""
    return Path(data_path) / ".raw" / name


def _source(name: str, table: dict) -> Source:
    if name == ML100K:
        return Source(name, ML100K, {}, None)
    if name == AMAZON_2018_ALL:
        return Source(name, name, table["amazon-2018"], None)
    if name in table["movielens"]["sets"]:
        kind = "movielens"
    elif name == "OR":
        kind = "online-retail"
    else:
        kind = "amazon-2023" if name.endswith("-2023") else "amazon-2018"
    expected = table[kind].get("expected", {}).get(name)
    return Source(name, kind, table[kind], tuple(expected) if expected else None)

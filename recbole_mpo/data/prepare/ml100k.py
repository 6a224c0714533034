"""Prepares MovieLens 100k from the copy inside the installed recbole package, without a download."""

import hashlib
import importlib.util
import re
from pathlib import Path

from recbole_mpo.common.errors import DataError
from recbole_mpo.common.files import replacing
from recbole_mpo.common.recbole_install import missing_recbole
from recbole_mpo.data.prepare.ml100k_users import user_lines
from recbole_mpo.data.prepare.sources import ML100K
from recbole_mpo.text.item_text import TEXT_HEADER

_ITEM_HEADER = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq"
# All articles that the file moves behind a title.
_MOVED_ARTICLE = re.compile(r"^(.+), (The|An?|Das|Der|Det|Die|Il|L'|La|Les?|O)$")
_TITLE = re.compile(r"^(?P<main>.+?)(?: \((?P<other>.+)\))?$")
_CARD = """\
# {name}

MovieLens 100k: {ratings:,} ratings (1 to 5) by {users:,} users on {items:,} films, 1997-1998, by GroupLens
Research (F. M. Harper and J. A. Konstan, "The MovieLens Datasets: History and Context", ACM TiiS 5(4), 2015).
GroupLens allows research use with acknowledgement, and neither commercial use nor redistribution without
permission.

`{name}.inter` is RecBole's file, unchanged. `{name}.text` puts each film's title, year and genres into a
sentence; films without a known title have an empty text ({missing}). The texts do not tell the plots.
`{name}.user` has the age, gender and occupation of each user, and the groups of age of MovieLens 1M, but no zip codes.

| file | sha256 |
|---|---|
{hashes}
"""


def prepare_ml100k(data_path: str | Path) -> Path:
    """Write ``<data_path>/ml-100k/`` (``.inter``, ``.text``, ``.user`` and a card) and return that folder.

    Existing files with the right content are kept.

    Raises:
        DependencyError: recbole is not installed.
        DataError: an existing file has other content (nothing is overwritten), or files cannot be read or written.
    """
    folder = Path(data_path) / ML100K
    source = _source_folder()
    interactions = _read(source / f"{ML100K}.inter")
    texts = _item_texts(_read(source / f"{ML100K}.item").decode("utf-8"), source / f"{ML100K}.item")
    lines = [TEXT_HEADER, *(f"{token}\t{text}" for token, text in texts.items())]
    files = {f"{ML100K}.inter": interactions, f"{ML100K}.text": ("\n".join(lines) + "\n").encode("utf-8")}
    users = source / f"{ML100K}.user"
    # RecBole's own file may be there.
    if not (folder / users.name).exists():
        files[users.name] = ("\n".join(user_lines(_read(users).decode("utf-8"), users)) + "\n").encode("utf-8")

    for name, content in files.items():
        path = folder / name
        if path.exists() and _read(path) != content:
            raise DataError(
                f"{path} differs from the file that would be written and was not changed. "
                "Move it away and run again, or choose another data_path"
            )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            _write_if_absent(folder / name, content)
        _write_if_absent(folder / "README.md", _card(files, texts).encode("utf-8"))
    except OSError as error:
        raise DataError(f"{folder}: cannot write the dataset ({error.strerror or error})") from error
    return folder


def natural_title(title: str) -> str:
    """Return the title as spoken: ``The Blue Angel (Der Blaue Engel)`` for ``Blue Angel, The (Blaue Engel, Der)``."""
    match = _TITLE.match(title)
    if match is None:
        return title
    main = _article_first(match["main"])
    return f"{main} ({_article_first(match['other'])})" if match["other"] else main


def _article_first(title: str) -> str:
    moved = _MOVED_ARTICLE.match(title)
    if moved is None:
        return title
    rest, article = moved.groups()
    return f"{article}{rest}" if article.endswith("'") else f"{article} {rest}"


def sentence(title: str, year: str, genres: list[str]) -> str:
    """Return one film's sentence: ``title (year). Genres: a, b.``"""
    words = natural_title(title)
    if re.fullmatch(r"\d{4}", year):  # one film has its year in the title and a letter here
        words += f" ({year})"
    words += f". Genres: {', '.join(genres)}." if genres else "."
    return " ".join(words.split())


def _film(title: str, year: str, genres: str) -> str:
    """Return the sentence for a line of RecBole's file, "" for the film without a title (``unkonwn`` in the file)."""
    if title in ("unknown", "unkonwn"):
        return ""
    return sentence(title, year, [genre for genre in genres.split() if genre != "unknown"])


def _item_texts(content: str, source: Path) -> dict[str, str]:
    """Return the sentences by item token, in the order of RecBole's item file."""
    header, *lines = content.splitlines()
    if header != _ITEM_HEADER:
        raise DataError(f"{source}, line 1: expected the header {_ITEM_HEADER!r}; reinstall recbole==1.2.1")
    texts = {}
    for number, line in enumerate(lines, start=2):
        fields = line.split("\t")
        if len(fields) != 4:
            raise DataError(f"{source}, line {number}: expected 4 columns, found {len(fields)}")
        texts[fields[0]] = _film(*fields[1:])
    return texts


def _card(files: dict[str, bytes], texts: dict[str, str]) -> str:
    ratings = files[f"{ML100K}.inter"].splitlines()[1:]
    return _CARD.format(
        name=ML100K,
        ratings=len(ratings),
        users=len({line.split(b"\t", 1)[0] for line in ratings}),
        items=len(texts),
        missing=sum(not text for text in texts.values()),
        hashes="\n".join(f"| {name} | {_sha256(content)} |" for name, content in files.items()),
    )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _source_folder() -> Path:
    # find_spec does not import recbole, which would load torch.
    spec = importlib.util.find_spec("recbole")
    if spec is None or not spec.submodule_search_locations:
        raise missing_recbole()
    return Path(spec.submodule_search_locations[0]) / "dataset_example" / ML100K


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error


def _write_if_absent(path: Path, content: bytes) -> None:
    if not path.exists():
        with replacing(path) as file:
            file.write(content)

"""Several prepared data sets as one, for pre-training: ids carry the number of their domain as a prefix.

Source of the form: UniSRec's release (its set FHCKM), with ``<Name>.pt_datasets`` naming the domains in order.
"""

from collections.abc import Iterator
from pathlib import Path

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.common.files import file_hash, write_lines
from recbole_mpo.data.histories import Histories, read_dataset_histories
from recbole_mpo.data.prepare.prepared import INTER_HEADER
from recbole_mpo.data.prepare.whole_folder import CARD, new_files
from recbole_mpo.data.statistics import Statistics, statistics
from recbole_mpo.text.item_text import HEADER, read_dataset_text, text_file


def prepare_domains(name: str, domains: list[str], data_path: str | Path) -> tuple[Path, Statistics]:
    """Writes ``<data_path>/<name>`` from prepared data sets beside it, one domain after another.

    Item 7 of the second domain becomes ``1-7``; users likewise, so users of different domains never meet.

    Returns:
        The folder, and the statistics of the whole.

    Raises:
        ConfigError: fewer than two domains, or one named twice.
        DataError: a domain is missing or has no item text.
    """
    if len(domains) < 2 or len(set(domains)) < len(domains) or name in domains:
        raise ConfigError("--domains takes two or more different data sets, none of them the new one itself")
    found = [read_dataset_histories(data_path, domain) for domain in domains]
    texts = [read_dataset_text(text_file(data_path, domain)) for domain in domains]
    known = [dict(zip(item_text.tokens, item_text.texts, strict=True)) for item_text in texts]
    words = [text_of.get(item, "") for part, text_of in zip(found, known, strict=True) for item in part.item_tokens]
    users, interactions = sum(len(part.user_tokens) for part in found), sum(len(part.items) for part in found)
    total = statistics(users, interactions, len(words), words)
    with new_files(data_path, name) as folder:
        write_lines(folder / f"{name}.pt_datasets", [",".join(domains)])
        write_lines(folder / f"{name}.text", _text_lines(known))
        write_lines(folder / f"{name}.inter", _inter_lines(found))
        write_lines(folder / CARD, _card(name, domains, found, folder, total))
    return Path(data_path) / name, total


def domain_of(token: str) -> int:
    """The number of the domain that an id of such a set belongs to."""
    return int(token.partition("-")[0])


def read_domains(data_path: str | Path, name: str) -> list[str]:
    """Names of a set's domains, in the order of their numbers; the set's own name where it has none."""
    path = Path(data_path) / name / f"{name}.pt_datasets"
    return path.read_text(encoding="utf-8").strip().split(",") if path.is_file() else [name]


def _text_lines(known: list[dict[str, str]]) -> Iterator[str]:
    yield HEADER
    for number, text_of in enumerate(known):
        yield from (f"{number}-{item}\t{text}" for item, text in text_of.items())


def _inter_lines(found: list[Histories]) -> Iterator[str]:
    yield INTER_HEADER
    for number, part in enumerate(found):
        users, items = part.user_tokens.tolist(), part.item_tokens.tolist()
        for user, item, moment in zip(part.users.tolist(), part.items.tolist(), part.times.tolist(), strict=True):
            yield f"{number}-{users[user]}\t{number}-{items[item]}\t{moment}"


def _card(name: str, domains: list[str], found: list[Histories], folder: Path, total: Statistics) -> Iterator[str]:
    yield from (f"# {name}", "", "Several data sets as one; ids carry the number of their domain as a prefix.", "")
    yield from ("| number | domain | users | items | interactions |", "|---|---|---|---|---|")
    for number, (domain, part) in enumerate(zip(domains, found, strict=True)):
        counts = len(part.user_tokens), len(part.item_tokens), len(part.items)
        yield f"| {number} | {domain} | " + " | ".join(f"{count:,}" for count in counts) + " |"
    yield from ("", "| | |", "|---|---|", *(f"| {what} | {value} |" for what, value in total.rows()))
    yield from ("", "| file | sha256 |", "|---|---|")
    yield from (f"| {path.name} | {file_hash(path)} |" for path in sorted(folder.glob(f"{name}.*")))

"""Joins several prepared datasets, for pre-training: the number of its domain is the prefix of each id.

The format is that of UniSRec's release (its dataset FHCKM).
"""

from collections.abc import Iterator
from pathlib import Path

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.common.files import file_hash, write_lines
from recbole_mpo.data.atomic_files import RECBOLE_FIELDS, SINGLE_SUFFIX
from recbole_mpo.data.domain_ids import DOMAINS_SUFFIX, joined_id
from recbole_mpo.data.histories import Histories, read_dataset_histories
from recbole_mpo.data.prepare.whole_folder import CARD, new_files
from recbole_mpo.data.statistics import Statistics
from recbole_mpo.text.item_text import TEXT_HEADER, read_dataset_text, text_file


def prepare_domains(name: str, domains: list[str], data_path: str | Path) -> tuple[Path, Statistics]:
    """Write ``<data_path>/<name>`` from prepared datasets in ``data_path``, one domain after another.

    Item 7 of the second domain becomes ``1-7``. The same holds for users, so domains never share a user.

    Returns:
        The folder, and the statistics of the joined dataset.

    Raises:
        ConfigError: there are fewer than two domains, one is given twice, or one is the new dataset.
        DataError: a domain is missing or has no item text.
    """
    if len(domains) < 2 or len(set(domains)) < len(domains) or name in domains:
        raise ConfigError(f"--domains takes two or more different datasets other than {name}, the new one")
    histories = [read_dataset_histories(data_path, domain) for domain in domains]
    texts = [read_dataset_text(text_file(data_path, domain)).by_token() for domain in domains]
    statistics = _statistics(histories, texts)
    with new_files(data_path, name) as folder:
        write_lines(folder / f"{name}{DOMAINS_SUFFIX}", [",".join(domains)])
        write_lines(folder / f"{name}.text", _text_lines(texts))
        write_lines(folder / f"{name}{SINGLE_SUFFIX}", _inter_lines(histories))
        write_lines(folder / CARD, _card(name, domains, histories, folder, statistics))
    return Path(data_path) / name, statistics


def _statistics(histories: list[Histories], texts: list[dict[str, str]]) -> Statistics:
    counts = [_counts(one) for one in histories]
    pairs = zip(histories, texts, strict=True)
    texts_of_items = [text_of.get(item, "") for one, text_of in pairs for item in one.item_tokens]
    return Statistics.of(*map(sum, zip(*counts, strict=True)), texts_of_items)


def _counts(histories: Histories) -> tuple[int, int, int]:
    """Return the numbers of users, items and interactions."""
    return len(histories.user_tokens), len(histories.item_tokens), len(histories.items)


def _text_lines(texts: list[dict[str, str]]) -> Iterator[str]:
    yield TEXT_HEADER
    for number, text_of in enumerate(texts):
        yield from (f"{joined_id(number, item)}\t{text}" for item, text in text_of.items())


def _inter_lines(histories: list[Histories]) -> Iterator[str]:
    yield RECBOLE_FIELDS.single_header
    for number, one in enumerate(histories):
        users, items = ([joined_id(number, name) for name in names] for names in (one.user_tokens, one.item_tokens))
        for user, item, moment in zip(one.users.tolist(), one.items.tolist(), one.times.tolist(), strict=True):
            yield f"{users[user]}\t{items[item]}\t{moment}"


def _card(
    name: str, domains: list[str], histories: list[Histories], folder: Path, statistics: Statistics
) -> Iterator[str]:
    yield from (f"# {name}", "", "Several datasets as one; the number of its domain is the prefix of each id.", "")
    yield from ("| number | domain | users | items | interactions |", "|---|---|---|---|---|")
    for number, (domain, one) in enumerate(zip(domains, histories, strict=True)):
        yield f"| {number} | {domain} | " + " | ".join(f"{count:,}" for count in _counts(one)) + " |"
    yield from ("", "| | |", "|---|---|", *(f"| {what} | {value} |" for what, value in statistics.rows()))
    yield from ("", "| file | sha256 |", "|---|---|")
    yield from (f"| {path.name} | {file_hash(path)} |" for path in sorted(folder.glob(f"{name}.*")))

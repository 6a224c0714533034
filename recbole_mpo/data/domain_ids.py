"""Ids of datasets that join several domains: the number of its domain is the prefix of each id.

The format is that of UniSRec's release (its dataset FHCKM); ``<Name>.pt_datasets`` lists the domains in order.
"""

from pathlib import Path

from recbole_mpo.text.lines import read_lines

DOMAINS_SUFFIX = ".pt_datasets"


def joined_id(domain: int, token: str) -> str:
    """Return the id of a domain's user or item in a joined dataset: 7 of the second domain is ``1-7``."""
    return f"{domain}-{token}"


def domain_of(token: str) -> int:
    """Return the number of the domain of an id in a joined dataset."""
    return int(token.partition("-")[0])


def read_domains(data_path: str | Path, name: str) -> list[str]:
    """Return the names of a dataset's domains in the order of their numbers; for one domain, the dataset's own name.

    Raises:
        DataError: the file is damaged.
    """
    path = Path(data_path) / name / f"{name}{DOMAINS_SUFFIX}"
    return ",".join(read_lines(path, "domains")).split(",") if path.is_file() else [name]

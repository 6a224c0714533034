"""Datasets joined of several domains: every id carries the number of its domain, and one file names the domains.

Source of the form: UniSRec's release (its dataset FHCKM), with ``<Name>.pt_datasets`` naming the domains in order.
"""

from pathlib import Path

DOMAINS_SUFFIX = ".pt_datasets"


def joined_id(domain: int, token: str) -> str:
    """Return what a joined dataset calls a user or an item of a domain: 7 of the second domain is ``1-7``."""
    return f"{domain}-{token}"


def domain_of(token: str) -> int:
    """Return the number of the domain that an id of a joined dataset belongs to."""
    return int(token.partition("-")[0])


def read_domains(data_path: str | Path, name: str) -> list[str]:
    """Return the names of a dataset's domains, in the order of their numbers; its own name where it has none."""
    path = Path(data_path) / name / f"{name}{DOMAINS_SUFFIX}"
    return path.read_text(encoding="utf-8").strip().split(",") if path.is_file() else [name]

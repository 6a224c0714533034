"""The engine that prepares a dataset: in memory, or DuckDB, which writes to disk what does not fit."""

import re
from dataclasses import dataclass

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.common.values import check_choice

MEMORY, DUCKDB = ENGINES = ("memory", "duckdb")
_UNITS = {"MB": 10**6, "GB": 10**9, "TB": 10**12, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
_LEAST_BYTES, _MOST_BYTES = 500_000_000, 10**15
# Many more end the process.
_MOST_THREADS = 1024


@dataclass(frozen=True)
class Engine:
    """The engine and what it may use.

    Attributes:
        name: ``memory`` or ``duckdb``.
        memory_limit: memory that the process should stay below with ``duckdb``, such as ``8GB``.
        threads: threads of ``duckdb``, 1 to 1,024; None uses all cores.

    Raises:
        ConfigError: a value is not one of its choices, or the limit is not a size, or one is out of range.
    """

    name: str = MEMORY
    memory_limit: str = "8GB"
    threads: int | None = None

    def __post_init__(self):
        check_choice("engine", self.name, ENGINES)
        if self.bytes < _LEAST_BYTES:
            raise ConfigError(f"memory_limit {self.memory_limit!r} is too small; give at least 500MB")
        if self.bytes > _MOST_BYTES:
            raise ConfigError(f"memory_limit {self.memory_limit!r} is too large; give at most 1000TB")
        if self.threads is not None and not 1 <= self.threads <= _MOST_THREADS:
            raise ConfigError(f"threads is {self.threads}; give 1 to {_MOST_THREADS:,}")

    @property
    def bytes(self) -> int:
        """Return the memory limit in bytes."""
        match = re.fullmatch(r"\s*(\d{1,15}(?:\.\d{1,15})?)\s*([A-Za-z]+)\s*", self.memory_limit)
        if match is None or match[2].upper() not in _UNITS:
            raise ConfigError(f"memory_limit must be a size like 8GB or 500MB, not {self.memory_limit!r}")
        return int(float(match[1]) * _UNITS[match[2].upper()])

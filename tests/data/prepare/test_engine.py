"""The engine's options."""

import pytest

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.data.prepare.engine import Engine


@pytest.mark.parametrize("text, size", [("8GB", 8 * 10**9), ("500 mb", 5 * 10**8), ("1.5GiB", 3 * 2**29)])
def test_sizes(text, size):
    assert Engine("duckdb", text).bytes == size


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"memory_limit": "8"}, "memory_limit must be a size like 8GB or 500MB, not '8'"),
        ({"memory_limit": "-1GB"}, "must be a size"),
        ({"memory_limit": "9 QB"}, "must be a size"),
        ({"memory_limit": "1MB"}, "memory_limit '1MB' is too small; give at least 500MB"),
        ({"memory_limit": "99999999TB"}, "memory_limit '99999999TB' is too large; give at most 1000TB"),
        ({"memory_limit": "9" * 400 + "TB"}, "must be a size"),
        ({"threads": 0}, "threads is 0; give 1 to 1,024"),
        ({"threads": 1_000_000}, "threads is 1000000; give 1 to 1,024"),
        ({"name": "spark"}, "engine is 'spark'; choose one of memory, duckdb"),
    ],
)
def test_what_is_no_engine_is_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        Engine(**fields)

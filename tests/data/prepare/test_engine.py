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
        ({"name": "spark"}, "engine is 'spark'; choose one of memory, duckdb"),
    ],
)
def test_what_is_no_engine_is_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        Engine(**fields)

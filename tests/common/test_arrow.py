"""The optional package pyarrow: there with its modules, or missing with its extra."""

import sys

import pytest

from recbole_mpo.common.arrow import require_pyarrow
from recbole_mpo.common.errors import DependencyError


def test_its_modules_are_there():
    pytest.importorskip("pyarrow")
    pyarrow = require_pyarrow("this")
    assert pyarrow.parquet.ParquetFile and pyarrow.compute.take


@pytest.mark.parametrize("module", ["pyarrow", "pyarrow.parquet", "pyarrow.compute"])
def test_what_is_missing_is_named_with_its_extra(monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DependencyError, match=r"^this needs pyarrow; run: pip install 'recbole-mpo\[scale\]'$"):
        require_pyarrow("this")
    with pytest.raises(DependencyError, match=r"recbole-mpo\[data\]"):
        require_pyarrow("this", "data")

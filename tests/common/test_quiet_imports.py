"""What talks while it is imported is silent in the block alone."""

import logging
import warnings

import pytest

from recbole_mpo.common.quiet_imports import quiet_import


def talk():
    logging.getLogger("library").warning("no kernels")
    warnings.warn("old", DeprecationWarning, stacklevel=1)


def test_a_block_is_silent_and_what_follows_is_not(caplog):
    with quiet_import():
        talk()
    assert not caplog.records
    with pytest.warns(DeprecationWarning, match="old"):
        talk()
    assert [record.getMessage() for record in caplog.records] == ["no kernels"]


def test_an_error_leaves_the_block_and_logging_as_it_was(caplog):
    with pytest.raises(ImportError), quiet_import():
        raise ImportError("no library")
    logging.getLogger("library").warning("no kernels")
    assert caplog.records

"""Imports of libraries that talk while they are imported."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_import() -> Iterator[None]:
    """Keep what is imported in the block from logging and warning.

    torchao, which transformers imports where it is installed, says that kernels for GPUs cannot be loaded, which
    matters to nobody who has none.
    """
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)

"""What RecBole does to a whole process, kept within bounds; nowhere else are its globals touched.

- Importing its sequential models turns on autograd's anomaly detection (one of them does so at import), which
  checks every gradient of every model for NaN and makes training several times slower.
- It logs through the root logger and configures it once per process, so that a second run would write into the
  first one's file.
- Its code warns about later versions of pandas and torch a dozen times per run.
- Its code reads names that numpy has dropped, which its Config puts back by way of names that numpy 2 has dropped too.

Where RecBole is absent, importing this module says how it is installed.
"""

import importlib
import logging
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from recbole_mpo.common.recbole_install import missing_recbole
from recbole_mpo.common.terminal import drop_output, printable

try:
    from recbole.utils.logger import RemoveColorFilter
except ModuleNotFoundError as absent:
    if absent.name != "recbole":
        raise
    raise missing_recbole() from absent

# What RecBole 1.2.1 calls numpy's types, all dropped in numpy 1.24; numpy 2 has bool and long again.
NUMPY_NAMES = {
    "bool": np.bool_,
    "int": np.int_,
    "float": np.float64,
    "complex": np.complex128,
    "object": np.object_,
    "str": np.str_,
    "long": np.int_,
    "unicode": np.str_,
}

# Libraries whose log tells how they load files.
TALKATIVE = ("sentence_transformers", "transformers", "httpx", "httpx2", "huggingface_hub", "torch")


def restore_numpy_names():
    """Give numpy the names that RecBole reads and numpy lacks."""
    for name, kind in NUMPY_NAMES.items():
        if name not in np.__dict__:
            setattr(np, name, kind)


def sequential_models():
    """Return RecBole's module of sequential models, imported without its side effect on autograd."""
    checked, checks_nan = torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()
    module = importlib.import_module("recbole.model.sequential_recommender")
    torch.autograd.set_detect_anomaly(checked, checks_nan)
    return module


@contextmanager
def without_future_warnings():
    """Leave out RecBole's warnings about later versions of pandas and torch while its code runs."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"recbole\.")
        yield


@contextmanager
def logging_to(path: Path, level: str = "INFO"):
    """Log to the screen and to ``path`` while one run lasts; what was set before comes back.

    Libraries that report their own steps are heard from warnings on. The file's name also names RecBole's TensorBoard
    folder.
    """
    root = logging.getLogger()
    former_handlers, former_level = root.handlers[:], root.level
    screen = _Screen(sys.stdout)
    screen.setFormatter(_Printable("%(message)s"))
    file = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    file.setFormatter(_Printable("%(asctime)s %(levelname)s %(message)s"))
    for handler in (screen, file):
        handler.addFilter(RemoveColorFilter())
        handler.addFilter(_is_worth_a_line)
    root.handlers = [screen, file]
    root.setLevel(getattr(logging, str(level).upper(), logging.INFO))
    try:
        yield
    finally:
        root.handlers, root.level = former_handlers, former_level
        file.close()


class _Printable(logging.Formatter):
    """Makes control characters in messages visible, since names of the data may hold them."""

    def format(self, record):
        return printable(super().format(record))


class _Screen(logging.StreamHandler):
    """The screen of a run, which goes on without it where it is closed or full: its log is also in a file."""

    def handleError(self, record):
        if isinstance(sys.exc_info()[1], OSError):
            drop_output()
        else:
            super().handleError(record)


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    """Return whether a log record is more than a library's report of its own steps."""
    return record.name.split(".")[0] not in TALKATIVE or record.levelno >= logging.WARNING


class _Silent:
    """A TensorBoard writer that writes nothing."""

    def __getattr__(self, _name):
        return lambda *_, **__: None


@contextmanager
def without_tensorboard():
    """Let trainers that are built in the block write nothing for TensorBoard."""
    module = importlib.import_module("recbole.trainer.trainer")
    former, module.get_tensorboard = module.get_tensorboard, lambda _logger: _Silent()
    try:
        yield
    finally:
        module.get_tensorboard = former

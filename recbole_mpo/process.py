"""Settings of the whole process that must stand before PyTorch is loaded; only the command line applies them.

The first two were measured on two cores: a training step under another process's load falls from 4-7 s to 0.8 s
with sleeping threads, and by a sixth more where freed memory is kept.
"""

import ctypes
import os
import sys
import warnings

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def prepare_process():
    """Lets waiting threads sleep, keeps freed memory for the next step, and quiets RecBole; the user's settings win."""
    # A spinning OpenMP thread holds the core that the thread it waits for needs, as soon as cores are shared.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if sys.platform == "linux" and not any(name.startswith("MALLOC_") for name in os.environ):
        _keep_freed_memory()
    # RecBole's data code warns about pandas 3 a dozen times per run; this package keeps pandas below 3.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"recbole\.")


def _keep_freed_memory():
    """Step tensors of tens of MB would otherwise go back to the kernel, to be zeroed page by page again."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, -1)

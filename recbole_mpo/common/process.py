"""Settings of the whole process, most of which must be made before PyTorch is loaded; only the command line applies
them, except :func:`settle_memory`.

Both were measured on two cores: a training step beside another busy process falls from 4-7 s to 0.8 s when waiting
threads sleep, and by a sixth more when freed memory is kept.
"""

import ctypes
import os
import signal
import sys
import threading
import time
from contextlib import contextmanager, suppress

# Names of glibc's malloc.h, whose defaults the next line holds.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4
TRIM_BYTES, MMAP_ARRAYS = 128 << 10, 65536
# Arrays from this size on are mapped one by one where freed memory is given back.
LARGE_BYTES = 4 << 20
# Items from which on memory is worth more than the time that keeping it saves.
LARGE_CATALOGUE = 1 << 17

# The requests to end that would otherwise end the process at once; the second is absent on Windows.
END_REQUESTS = ("SIGTERM", "SIGHUP")


# Holds the number of the process without which this one has no purpose.
PARENT = "RECBOLE_MPO_PARENT"
# How often a process looks whether its parent is still there.
LOOK_SECONDS = 0.5


class Terminated(KeyboardInterrupt):
    """The process was asked to end by a signal; the same steps follow as after Ctrl-C.

    Attributes:
        signal: number of the signal.
    """

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.signal = number


@contextmanager
def raising_at_the_end():
    """Raise :class:`Terminated` where the block is when the process is asked to end; what was set before comes back.

    A signal that someone handles or ignores, as ``nohup`` does, is left alone.
    """
    numbers = [getattr(signal, name) for name in END_REQUESTS if hasattr(signal, name)]
    numbers = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    if threading.current_thread() is not threading.main_thread():
        numbers = []
    for number in numbers:
        signal.signal(number, _terminate)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def _terminate(number: int, _frame):
    raise Terminated(number)


def end_with_parent():
    """Ask this process to end as soon as its parent has ended, if the variable ``PARENT`` names it."""
    parent = os.environ.pop(PARENT, "")
    if parent.isdecimal():
        threading.Thread(target=_watch, args=(int(parent),), daemon=True).start()


def _watch(number: int):
    # Here, since the doctor must run without it.
    import psutil

    # Not by this process's own parent, which may be a launcher of the interpreter.
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(number)
        while parent.is_running() and parent.status() != psutil.STATUS_ZOMBIE:
            time.sleep(LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


def prepare_process():
    """Let waiting threads sleep and keep freed memory for the next step; the user's settings override both.

    A process that was started by another one of this package ends with it.
    """
    end_with_parent()
    # A spinning OpenMP thread holds the core that the thread it waits for needs, as soon as cores are shared.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if _may_tune_allocator():
        _keep_freed_memory()


def _keep_freed_memory():
    """Step tensors of tens of MB would otherwise go back to the kernel, to be zeroed page by page again."""
    _mallopt((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, -1))


def settle_memory(item_num: int):
    """Give freed memory back where a catalogue is large: its arrays would leave gaps as large as they are."""
    if item_num > LARGE_CATALOGUE and _may_tune_allocator():
        _mallopt((M_MMAP_THRESHOLD, LARGE_BYTES), (M_MMAP_MAX, MMAP_ARRAYS), (M_TRIM_THRESHOLD, TRIM_BYTES))


def _may_tune_allocator() -> bool:
    """Return whether the C library may be glibc and the user has not tuned it."""
    return sys.platform == "linux" and not any(name.startswith("MALLOC_") for name in os.environ)


def _mallopt(*settings: tuple[int, int]):
    """Set what the C library's allocator has; other libraries than glibc may have nothing to set."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    for name, value in settings:
        mallopt(name, value)

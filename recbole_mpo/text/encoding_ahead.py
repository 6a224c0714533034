"""Encodes a dataset's item texts before any run needs them, by several processes that share the work.

Each process reads the texts and encodes chunks that no other is at; what a killed one had finished stays. The same
happens where a launcher such as torchrun, or several machines that see the folder, call :func:`encode_ahead` at once.
"""

import logging
import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import resource_tracker
from pathlib import Path

from recbole_mpo.common.errors import ConfigError, RecboleMPOError
from recbole_mpo.common.process import PARENT, end_with_parent, raising_at_the_end
from recbole_mpo.text.encoders import FittedTextEncoder, TextEncoder
from recbole_mpo.text.encoding import stored_features
from recbole_mpo.text.item_text import read_dataset_text

logger = logging.getLogger(__name__)

# What says how many threads a process computes with.
THREADS = "OMP_NUM_THREADS"


def encode_ahead(
    text_file: str | Path,
    encoder: TextEncoder | FittedTextEncoder,
    folder: str | Path,
    processes: int = 1,
    show_progress: bool = True,
) -> tuple[int, int]:
    """Write the features of a text file's items into the cache; return their numbers of rows and of columns.

    The features are never in memory as a whole, unless the encoder is fitted to all texts, which one process does.

    Args:
        text_file: the ``.text`` file.
        encoder: the encoder; it is not loaded in this process where there are several.
        folder: folder of the dataset in the cache.
        processes: number of processes; they share the machine's cores, unless ``OMP_NUM_THREADS`` is set.
        show_progress: whether to show a progress bar on a terminal.

    Raises:
        ConfigError: the encoder is fitted, and there are several processes.
        DataError: no item has text, or the cache cannot be written.
        FeatureError: the encoder returns unusable vectors.
    """
    check_shareable([encoder], processes)
    if processes > 1:
        _work_together(Path(text_file), encoder, Path(folder), processes, show_progress)
    # What several processes have finished is only compared; what a failed one left is done here, or fails again here.
    item_text = read_dataset_text(Path(text_file))
    shows = show_progress and processes == 1
    rows, columns = stored_features(item_text, encoder, Path(folder), shows, mapped=True).features.shape
    return rows, columns


def check_shareable(encoders: Sequence[TextEncoder | FittedTextEncoder], processes: int):
    """Check that so many processes can encode with each of these.

    Raises:
        ConfigError: an encoder is fitted, and there are several processes.
    """
    for encoder in encoders:
        if processes > 1 and encoder.needs_fit:
            raise ConfigError(f"text_encoder {encoder.name} is fitted to all texts at once; leave processes out")


def _work_together(text_file: Path, encoder, folder: Path, processes: int, show_progress: bool):
    context, workers = multiprocessing.get_context("spawn"), []
    try:
        with _of_this_process(processes):
            for place in range(processes):
                arguments = text_file, encoder, folder, show_progress and not place, place / processes
                worker = context.Process(target=_work, args=arguments)
                worker.start()
                workers.append(worker)
        for worker in workers:
            worker.join()
    finally:
        # After an interruption; what they have finished stays.
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.join()
    failed = sum(worker.exitcode != 0 for worker in workers)
    if failed:
        logger.warning("%d of %d processes ended early; this one goes on with what is left", failed, processes)


def _work(text_file: Path, encoder, folder: Path, show_progress: bool, first: float):
    end_with_parent()
    try:
        with raising_at_the_end():
            stored_features(read_dataset_text(text_file), encoder, folder, show_progress, mapped=True, first=first)
    except (RecboleMPOError, KeyboardInterrupt):
        # The process that started this one meets the same, and says it.
        raise SystemExit(1) from None


@contextmanager
def _of_this_process(processes: int) -> Iterator[None]:
    """Let processes that start in the block have an equal share of the cores, and end with this one alone.

    Ctrl-C reaches all processes of a terminal: only this one is to speak of it, and ends the others.
    """
    variables = {PARENT: str(os.getpid()), THREADS: str(max(1, (os.cpu_count() or 1) // processes))}
    added = {name: value for name, value in variables.items() if name not in os.environ}
    # First, since its start lets interruptions through to what starts after it.
    resource_tracker.ensure_running()
    masked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]
        signal.pthread_sigmask(signal.SIG_SETMASK, masked)

"""A thread that takes the requests that wait and answers them together.

Each model has one for questions and one for additions. The web server's own thread only puts requests into a queue and
is never held up by a computation.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from recbole_mpo.release.serving.limits import Limits, RequestError

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Waiting:
    """A request that waits.

    Attributes:
        request: what is asked.
        answer: takes the answer, or the error.
    """

    request: object
    answer: Future = field(default_factory=Future)


class Batcher:
    """A queue of requests and the thread that answers them.

    Args:
        answer: gives an answer, or an error, for each of several requests.
        limits: how many requests may wait, and how many are answered together.
        name: name of the thread.
        notice: told the size of each batch.
    """

    def __init__(
        self,
        answer: Callable[[list], list],
        limits: Limits,
        name: str = "model",
        notice: Callable[[int], None] = lambda size: None,
    ):
        self.answer, self.limits, self.notice = answer, limits, notice
        self._queue: deque[Waiting] = deque()
        self._changed = threading.Condition()
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        """Return how many requests wait."""
        return len(self._queue)

    def submit(self, request) -> Future:
        """Return the future answer of a request, which raises what the model raised.

        Raises:
            RequestError: too many requests wait, or the server ends.
        """
        waiting = Waiting(request)
        with self._changed:
            if self._is_closed:
                raise RequestError(503, "ending", "the server ends; ask another one", headers={"Retry-After": "1"})
            if len(self._queue) >= self.limits.max_queue:
                message = f"{len(self._queue)} requests wait already; try again"
                raise RequestError(503, "busy", message, headers={"Retry-After": "1"})
            self._queue.append(waiting)
            self._changed.notify()
        return waiting.answer

    def close(self):
        """Answer what waits, and end the thread."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self):
        is_busy = False
        while batch := self._next_batch(is_busy):
            # A model that had several requests at once, or has more by now, will soon have others.
            is_busy = len(batch) > 1
            self._answer(batch)
            # What was answered is not kept until the next request.
            del batch

    def _next_batch(self, is_busy: bool) -> list[Waiting]:
        """Return the next requests, oldest first, or an empty list at the end; a busy model waits a little for more."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._is_closed)
            if is_busy:
                end = time.monotonic() + self.limits.batch_wait
                while len(self._queue) < self.limits.max_batch and not self._is_closed:
                    if not self._changed.wait(max(0.0, end - time.monotonic())):
                        break
            return [self._queue.popleft() for _ in range(min(len(self._queue), self.limits.max_batch))]

    def _answer(self, batch: list[Waiting]):
        # The others have timed out, or their clients are gone.
        batch = [waiting for waiting in batch if waiting.answer.set_running_or_notify_cancel()]
        if not batch:
            return
        self.notice(len(batch))
        try:
            answers = self.answer([waiting.request for waiting in batch])
        except Exception as problem:
            LOG.exception("a batch of %d requests failed", len(batch))
            answers = [problem] * len(batch)
        for waiting, answer in zip(batch, answers, strict=True):
            if isinstance(answer, Exception):
                waiting.answer.set_exception(answer)
            else:
                waiting.answer.set_result(answer)

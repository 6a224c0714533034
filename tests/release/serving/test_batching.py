"""One thread answers the requests that wait, together, in order, and to the last."""

import threading
import time
from concurrent.futures import wait

import pytest

from recbole_mpo.release.serving.batching import Batcher
from recbole_mpo.release.serving.limits import Limits, RequestError


class Held:
    """Doubles numbers; each batch waits for the gate."""

    def __init__(self):
        self.batches, self.threads, self.gate, self.begun = [], set(), threading.Event(), threading.Event()

    def __call__(self, numbers):
        self.begun.set()
        assert self.gate.wait(20)
        self.batches.append(numbers)
        self.threads.add(threading.get_ident())
        return [ValueError("odd") if number == 13 else 2 * number for number in numbers]


@pytest.fixture
def held():
    return Held()


@pytest.fixture
def batcher_of(held):
    opened = []

    def make(**limits):
        opened.append(Batcher(held, Limits(**limits)))
        return opened[-1]

    yield make
    held.gate.set()
    for batcher in opened:
        batcher.close()


def first_alone(batcher, held):
    """Submit a request, which the thread takes before there is another."""
    answer = batcher.submit(0)
    assert held.begun.wait(20)
    return answer


def test_what_waits_is_answered_together_up_to_the_limit(batcher_of, held):
    batcher = batcher_of(max_batch=3, batch_wait=0.0)
    answers = [first_alone(batcher, held), *(batcher.submit(number) for number in range(1, 6))]
    assert len(batcher) == 5
    held.gate.set()
    assert [answer.result(20) for answer in answers] == [0, 2, 4, 6, 8, 10]
    assert held.batches == [[0], [1, 2, 3], [4, 5]]
    assert len(held.threads) == 1 and threading.get_ident() not in held.threads


def test_a_request_alone_waits_for_no_other(batcher_of, held):
    batcher = batcher_of(batch_wait=30.0)
    held.gate.set()
    begin = time.monotonic()
    assert [batcher.submit(number).result(20) for number in range(3)] == [0, 2, 4]
    assert time.monotonic() - begin < 10


def test_a_busy_model_waits_for_the_rest_of_a_batch(batcher_of, held):
    batcher = batcher_of(max_batch=2, batch_wait=30.0)
    answers = [first_alone(batcher, held), batcher.submit(1), batcher.submit(2), batcher.submit(3)]
    held.gate.set()
    wait(answers[:3], 20)
    # The second half of a full batch ends the waiting.
    answers.append(batcher.submit(4))
    assert [answer.result(20) for answer in answers] == [0, 2, 4, 6, 8]
    assert held.batches == [[0], [1, 2], [3, 4]]


def test_one_more_than_may_wait_is_refused(batcher_of, held):
    batcher = batcher_of(max_queue=2)
    first_alone(batcher, held)
    batcher.submit(1), batcher.submit(2)
    with pytest.raises(RequestError, match="2 requests wait") as caught:
        batcher.submit(3)
    assert (caught.value.status, caught.value.headers) == (503, {"Retry-After": "1"})


def test_an_error_is_that_of_its_request_alone(batcher_of, held):
    batcher = batcher_of()
    first_alone(batcher, held)
    bad, good = batcher.submit(13), batcher.submit(5)
    held.gate.set()
    assert good.result(20) == 10
    with pytest.raises(ValueError, match="odd"):
        bad.result(20)


def test_a_batch_that_fails_as_a_whole_does_not_end_the_thread(caplog):
    def fail(numbers):
        if numbers == [1]:
            raise MemoryError("none left")
        return numbers

    batcher = Batcher(fail, Limits())
    with pytest.raises(MemoryError):
        batcher.submit(1).result(20)
    assert batcher.submit(2).result(20) == 2
    batcher.close()
    assert "none left" in caplog.text


def test_what_was_given_up_is_not_computed(batcher_of, held):
    batcher = batcher_of()
    first_alone(batcher, held)
    given_up, other = batcher.submit(1), batcher.submit(2)
    assert given_up.cancel()
    held.gate.set()
    assert other.result(20) == 4
    assert held.batches == [[0], [2]]


def test_the_last_requests_are_answered_and_no_others(batcher_of, held):
    batcher = batcher_of()
    answers = [first_alone(batcher, held), batcher.submit(1)]
    threading.Timer(0.1, held.gate.set).start()
    batcher.close()
    assert [answer.result(0) for answer in answers] == [0, 2]
    with pytest.raises(RequestError, match="the server ends"):
        batcher.submit(2)


def test_sizes_of_batches_are_told():
    sizes = []
    batcher = Batcher(lambda numbers: numbers, Limits(), notice=sizes.append)
    batcher.submit(1).result(20)
    batcher.close()
    assert sizes == [1]

"""Tries many damaged inputs at one door of the package, and counts what becomes of them.

An input is accepted with right content, or refused with one ``RecboleMPOError`` whose message is one line that names
the file or the field. Anything else is a fault, and so is more than 20 seconds.
"""

import contextlib
import io
import logging
import os
import random
import signal
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from recbole_mpo.common.errors import RecboleMPOError

PACKAGE = Path(__file__).resolve().parents[2] / "recbole_mpo"
LONGEST_SECONDS = 20
# The number of one case, to try it alone; and the share of all cases that is tried.
ONLY, SHARE = os.environ.get("FUZZ_ONLY"), float(os.environ.get("FUZZ_SHARE", "1"))


class Attempt(NamedTuple):
    """One damaged input.

    Attributes:
        what: how it was damaged.
        names: a refusal names one of these.
        do: reads the input.
        fault: says what is wrong with what ``do`` returns; None if it is right.
    """

    what: str
    names: tuple[str, ...]
    do: Callable[[], Any]
    fault: Callable[[Any], str | None] = lambda _: None


class Hang(BaseException):
    """A case takes too long; not an Exception, so that nothing catches it."""


@contextlib.contextmanager
def at_most(seconds: float):
    """Raise ``Hang`` in a block that takes longer."""

    def ring(*_):
        raise Hang

    former = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)


@contextlib.contextmanager
def quiet():
    """Drop what a case prints, warns and logs."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
    finally:
        logging.disable(level)


def fault_of_refusal(problem: RecboleMPOError, names: tuple[str, ...]) -> str | None:
    """Return what is wrong with an error that the user sees; None if it is one line that names the file or field."""
    message = str(problem)
    if "\n" in message or "\r" in message:
        return f"several lines: {message!r}"
    if len(message) > 3000:
        return f"{len(message)} characters: {message[:200]!r}"
    if not any(name in message for name in names):
        return f"names neither file nor field: {message[:300]!r}"
    return None


def try_one(attempt: Attempt) -> str:
    """Return ``accepted``, ``refused`` or the fault of an attempt."""
    try:
        with quiet(), at_most(LONGEST_SECONDS):
            result = attempt.do()
            fault = attempt.fault(result)
        return f"accepted wrongly: {fault}" if fault else "accepted"
    except RecboleMPOError as problem:
        return fault_of_refusal(problem, attempt.names) or "refused"
    except Hang:
        return f"more than {LONGEST_SECONDS} s"
    # Some errors of other libraries are no Exception.
    except BaseException as problem:
        if isinstance(problem, KeyboardInterrupt):
            raise
        frames = [frame for frame in traceback.extract_tb(problem.__traceback__) if str(PACKAGE) in frame.filename]
        place = f" at {Path(frames[-1].filename).relative_to(PACKAGE)}:{frames[-1].lineno}" if frames else ""
        return f"{type(problem).__name__}{place}: {str(problem)[:200]!r}"


def try_cases(
    record_property,
    door: str,
    count: int,
    attempt_of: Callable[[random.Random], Attempt],
    never_refused: bool = False,
):
    """Try ``count`` inputs, each made by ``attempt_of`` from its own draw, and fail with a list of all faults."""
    numbers = [int(ONLY)] if ONLY else range(max(1, round(count * SHARE)))
    outcomes, faults, begin = {"accepted": 0, "refused": 0}, {}, time.perf_counter()
    for number in numbers:
        attempt = attempt_of(random.Random(f"{door} {number}"))
        outcome = try_one(attempt)
        if ONLY:
            print(attempt.what, outcome)
        if outcome in outcomes:
            outcomes[outcome] += 1
        else:
            faults[number] = f"{attempt.what}: {outcome}"
    report(record_property, door, len(numbers), **outcomes, faults=len(faults), seconds=time.perf_counter() - begin)
    shown = "\n".join(f"FUZZ_ONLY={number}: {fault}" for number, fault in faults.items())
    # Without pytest's picture of this function, which would be longer than the list.
    if faults:
        pytest.fail(f"{len(faults)} faults of {len(numbers)} cases at {door}\n{shown}", pytrace=False)
    # Where all are refused, it is for another reason than the damage.
    assert len(numbers) < 50 or (outcomes["accepted"] and bool(outcomes["refused"]) != never_refused), outcomes


def report(record_property, door: str, cases: int, **figures):
    """Give the figures of a door to the table at the end of the tests."""
    shown = "  ".join(f"{name} {value:,.0f}" for name, value in figures.items())
    record_property("fuzz", f"{door:28} cases {cases:,}  {shown}")

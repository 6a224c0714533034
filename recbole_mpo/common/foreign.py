"""Errors of RecBole, pandas, torch and the system while a run is configured or built, turned into one line."""

from contextlib import contextmanager
from pathlib import Path

from recbole_mpo.common.errors import ConfigError, RecboleMPOError

_PACKAGE = Path(__file__).resolve().parents[1]
# What Python raises where code is wrong. Raised in this package's own lines, it is a fault to be seen, not a setting's.
MISTAKES = (AssertionError, AttributeError, LookupError, NameError, TypeError)


@contextmanager
def as_config_error(what: str):
    """Turn an error of other libraries in the block into a :class:`ConfigError`, with the error as its cause.

    Not for training, whose errors must show as what they are.

    Args:
        what: what failed, with the settings that may be the reason; the message begins with it.

    Raises:
        ConfigError: another library raised an error, or code of this package refused a value.
    """
    try:
        yield
    except RecboleMPOError:
        raise
    except Exception as problem:
        if isinstance(problem, MISTAKES) and _is_raised_here(problem):
            raise
        raise ConfigError(f"{what}: {reason(problem)}") from problem


def reason(problem: BaseException) -> str:
    """Return an error's message in one line, after its type where the message alone says little."""
    text = " ".join(str(problem).split())
    says_little = isinstance(problem, LookupError) or not text
    return f"{type(problem).__name__}{text and ' '}{text}" if says_little else text


def _is_raised_here(problem: BaseException) -> bool:
    """Return whether an error comes from a line of this package, not from a library that it called."""
    trace = problem.__traceback__
    while trace.tb_next:
        trace = trace.tb_next
    return Path(trace.tb_frame.f_code.co_filename).resolve().is_relative_to(_PACKAGE)

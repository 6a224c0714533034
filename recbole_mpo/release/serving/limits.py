"""What a request may ask for, and the one form of an answer that says no."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """The largest request that is answered.

    Attributes:
        body_bytes: bytes of a request's body.
        history: entries of a history; a model reads the newest ones alone.
        text_length: characters of an item's text, a token or a query.
        k: recommendations per request.
        tokens: entries of ``exclude``, and of the filter's ``items``.
        items_per_call: items added by one request.
        max_batch: requests that a model answers together.
        max_queue: requests that may wait for a model; one more is answered with 503.
        batch_wait: seconds that a busy model waits for more requests before it answers a batch.
        timeout: seconds that a request may take, its transfer included.
        grace: seconds that requests under way may take after the server was asked to end.
    """

    body_bytes: int = 1 << 20
    history: int = 1000
    text_length: int = 10_000
    k: int = 1000
    tokens: int = 10_000
    items_per_call: int = 100
    max_batch: int = 64
    max_queue: int = 256
    batch_wait: float = 0.002
    timeout: float = 10.0
    grace: float = 15.0


class RequestError(Exception):
    """A request that is answered with an error.

    Args:
        status: HTTP status.
        code: name of the kind of error, for programs.
        message: what is wrong and what to do, for people.
        field: place in the body or the query, such as ``history.2``; None where there is none.
        headers: further headers of the answer.
    """

    def __init__(
        self, status: int, code: str, message: str, field: str | None = None, headers: dict[str, str] | None = None
    ):
        super().__init__(message)
        self.status, self.code, self.message, self.field = status, code, message, field
        self.headers = headers or {}

    @property
    def content(self) -> dict:
        """The answer's body: ``{"error": {"code", "message", "field"}}``."""
        return {"error": {"code": self.code, "message": self.message, "field": self.field}}


def check_length(field: str, value, most: int, what: str = "entries"):
    """Refuse a list or text that is longer than a limit.

    Args:
        field: place in the request.
        value: the list or text; None is nothing.
        most: the largest length.
        what: what is counted.

    Raises:
        RequestError: it is longer.
    """
    if value is not None and len(value) > most:
        raise RequestError(422, "too_large", f"{field} has {len(value)} {what}; the most are {most}", field)

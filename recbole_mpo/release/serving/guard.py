"""What every request passes before its route: its time, its host, its key, its body's size and form.

An ASGI layer of its own, because a body must be refused before it is read, and an answer must keep its form whatever
went wrong below.
"""

import asyncio
import hmac
import ipaddress
import json
import logging
import time

from recbole_mpo.release.serving.limits import Limits, RequestError
from recbole_mpo.release.serving.measures import Measures

LOG = logging.getLogger(__name__)
# Routes that need no key: whether the server is there, and the page, which holds nothing of the data.
OPEN = ("/", "/health")
_HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}


class Guard:
    """Passes requests on to an application, and turns every error into one form.

    Args:
        app: the ASGI application.
        routes: paths that measurements name.
        measures: counts the answers.
        limits: largest body, and seconds.
        api_key: what requests must carry as ``Authorization: Bearer KEY``; None for none.
        is_local: whether the server answers this machine alone; then a request must name it by a local name, or a
            web page could reach the server under a name of its own.
    """

    def __init__(
        self, app, routes: set[str], measures: Measures, limits: Limits, api_key: str | None = None, is_local=False
    ):
        self.app, self.routes, self.measures, self.limits = app, routes, measures, limits
        self.key = None if api_key is None else api_key.encode()
        self.checks_host = is_local and api_key is None

    async def __call__(self, scope, receive, send):
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begin, status = time.perf_counter(), None

        async def counting(message):
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *_encoded(_HEADERS)]
            await send(message)

        try:
            await self._pass_on(scope, receive, counting)
        except RequestError as problem:
            await _refuse(counting, problem)
        except TimeoutError:
            if status is not None:
                return
            message = f"no answer within {self.limits.timeout:g} seconds; try again"
            await _refuse(counting, RequestError(504, "timeout", message, headers={"Retry-After": "1"}))
        except Exception:
            LOG.exception("%s %s failed", scope["method"], scope["path"])
            if status is None:
                await _refuse(counting, RequestError(500, "internal", "the server failed; its log says why"))
        finally:
            route = scope["path"] if scope["path"] in self.routes else "other"
            self.measures.answered(route, status or 499, time.perf_counter() - begin)

    async def _pass_on(self, scope, receive, send):
        headers = dict(scope["headers"])
        self._check_caller(scope["path"], headers)
        async with asyncio.timeout(self.limits.timeout):
            if scope["method"] in ("POST", "PUT", "PATCH"):
                receive = _replay(await self._body(headers, receive))
            await self.app(scope, receive, send)

    def _check_caller(self, path: str, headers: dict[bytes, bytes]):
        if self.checks_host and not _is_local_name(headers.get(b"host", b"").decode("latin-1")):
            raise RequestError(
                421, "unknown_host", "this server answers requests to localhost; start it with --host or --api_key"
            )
        if self.key is not None and path not in OPEN:
            kind, _, key = headers.get(b"authorization", b"").partition(b" ")
            # compare_digest takes as long for a wrong key as for the right one.
            if not (hmac.compare_digest(key.strip(), self.key) and kind.lower() == b"bearer"):
                message = "send the server's key as the header Authorization: Bearer KEY"
                raise RequestError(401, "unauthorized", message, headers={"WWW-Authenticate": "Bearer"})

    async def _body(self, headers: dict[bytes, bytes], receive) -> bytes:
        """Return a request's body.

        Another content type than JSON's is refused: a form of any web page may send those without being asked.
        """
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if kind != b"application/json":
            raise RequestError(415, "not_json", "send JSON, with the header Content-Type: application/json")
        length, most = headers.get(b"content-length", b""), self.limits.body_bytes
        too_large = RequestError(413, "too_large", f"the body has more than {most} bytes")
        if length.isdigit() and int(length) > most:
            raise too_large
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise RequestError(400, "incomplete", "the request ended before its body did")
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > most:
                raise too_large
        _check_json(body)
        return body


def _check_json(body: bytes):
    """Refuse what is not JSON; numbers that JSON does not have, such as NaN, are not."""
    try:
        json.loads(body.decode("utf-8"), parse_constant=_no_constant)
    except UnicodeDecodeError as problem:
        message = f"the body is not valid UTF-8 at byte {problem.start}"
        raise RequestError(400, "invalid_json", message) from problem
    except RecursionError as problem:
        raise RequestError(400, "invalid_json", "the body is nested too deeply") from problem
    except ValueError as problem:
        raise RequestError(400, "invalid_json", f"the body is not valid JSON: {problem}") from problem


def _no_constant(name: str):
    raise ValueError(f"{name} is not a number of JSON")


def _replay(body: bytes):
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive():
        return messages.pop() if messages else {"type": "http.disconnect"}

    return receive


def _is_local_name(host: str) -> bool:
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return name.lower() == "localhost"


async def _refuse(send, problem: RequestError):
    body = json.dumps(problem.content, ensure_ascii=True).encode()
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **problem.headers}
    await send({"type": "http.response.start", "status": problem.status, "headers": _encoded(headers)})
    await send({"type": "http.response.body", "body": body})


def _encoded(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]

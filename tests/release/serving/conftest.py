"""Servers of a recommender without a model, and clients of theirs."""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass

import pytest
from stand_in import StandIn

from recbole_mpo.release.serving.kept_items import KeptItems
from recbole_mpo.release.serving.served_model import ServedModel


@dataclass(frozen=True)
class Answer:
    """An answer over HTTP."""

    status: int
    headers: dict
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        """Code, message and field of an error, whose form is checked."""
        assert self.status >= 400 and self.headers["Content-Type"] == "application/json"
        assert set(self.json) == {"error"} and set(self.json["error"]) == {"code", "message", "field"}
        assert "Traceback" not in self.json["error"]["message"]
        return self.json["error"]


def ask(address, content=None, method=None, timeout=20, **headers):
    """Return the answer to a request; ``content`` is sent as JSON, or as it is if it is bytes."""
    data = content if isinstance(content, bytes | None) else json.dumps(content).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if data is not None:
        named = {"Content-Type": "application/json", **named}
    request = urllib.request.Request(address, data, named, method=method)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return Answer(answer.status, dict(answer.headers.items()), answer.read())
    except urllib.error.HTTPError as problem:
        with problem:
            headers = {name.title(): value for name, value in problem.headers.items()}
            return Answer(problem.code, headers, problem.read())


@pytest.fixture(name="ask")
def asking():
    """The function :func:`ask`."""
    return ask


@pytest.fixture
def stand_in():
    return StandIn()


@pytest.fixture
def served(stand_in, tmp_path):
    """The stand-in under the name ``shop``."""
    model = ServedModel("shop", stand_in, KeptItems(tmp_path / "shop.items.jsonl"))
    yield model
    model.close()


class Client:
    """Requests to an application without a network."""

    def __init__(self, client):
        self.client = client

    def __call__(self, path, content=None, method=None, **headers):
        data = content if isinstance(content, bytes | None) else json.dumps(content).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if data is not None:
            named = {"Content-Type": "application/json", **named}
        named = {name: value.encode() for name, value in named.items()}
        found = self.client.request(method or ("GET" if data is None else "POST"), path, content=data, headers=named)
        return Answer(found.status_code, {name.title(): value for name, value in found.headers.items()}, found.content)


@pytest.fixture
def client_of():
    """Makes a client of an application, which ends with the test."""
    testclient = pytest.importorskip("starlette.testclient", reason="needs the extra [serve] and httpx2")
    opened = []

    def make(app):
        client = testclient.TestClient(app, base_url="http://localhost", raise_server_exceptions=False)
        opened.append(client.__enter__())
        return Client(client)

    yield make
    for client in opened:
        client.__exit__(None, None, None)


@pytest.fixture
def client(served, client_of):
    """A client of an application that serves the stand-in."""
    from recbole_mpo.release.serving.app import make_app

    return client_of(make_app([served], is_local=True))

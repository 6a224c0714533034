"""Who may ask, and what is refused before it is read."""

import asyncio
import json

import pytest

from recbole_mpo.release.serving.limits import Limits

pytest.importorskip("prometheus_client", reason="needs the extra [serve]")


@pytest.fixture
def guarded(served, client_of):
    """Makes a client of a guarded application; keywords are ``make_app``'s."""
    pytest.importorskip("fastapi", reason="needs the extra [serve]")
    from recbole_mpo.release.serving.app import make_app

    return lambda **choices: client_of(make_app([served], **choices))


class TestKey:
    @pytest.mark.parametrize("header", [None, "Bearer wrong", "Bearer", "Basic secret", "secret", "Bearer sécret"])
    @pytest.mark.parametrize("path", ["/models", "/metrics", "/openapi.json", "/nowhere"])
    def test_without_it_nothing_is_told(self, guarded, path, header):
        client = guarded(api_key="secret")
        answer = client(path, **({} if header is None else {"Authorization": header}))
        assert (answer.status, answer.error["code"]) == (401, "unauthorized")
        assert answer.headers["Www-Authenticate"] == "Bearer"

    def test_with_it_everything_is(self, guarded):
        client = guarded(api_key="secret")
        assert client("/models", Authorization="Bearer secret").status == 200
        assert client("/models", Authorization="bearer  secret ").status == 200

    @pytest.mark.parametrize("path", ["/health", "/"])
    def test_health_and_the_page_stay_open(self, guarded, path):
        assert guarded(api_key="secret")(path).status == 200


class TestHost:
    @pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000", "[::1]"])
    def test_a_local_server_is_asked_by_a_local_name(self, guarded, host):
        assert guarded(is_local=True)("/health", Host=host).status == 200

    @pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "192.168.0.3", "localhost.evil.example"])
    def test_another_name_is_refused(self, guarded, host):
        answer = guarded(is_local=True)("/health", Host=host)
        assert (answer.status, answer.error["code"]) == (421, "unknown_host")

    def test_a_server_for_others_or_with_a_key_has_any_name(self, guarded):
        assert guarded(is_local=False)("/health", Host="shop.example").status == 200
        assert guarded(is_local=True, api_key="secret")("/health", Host="shop.example").status == 200


class TestBody:
    @pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
    def test_what_a_form_of_another_page_could_send_is_refused(self, guarded, kind):
        body = json.dumps({"items": [{"item": "new", "text": "x"}]}).encode()
        answer = guarded()("/items", body, Content_Type=kind)
        assert (answer.status, answer.error["code"]) == (415, "not_json")

    def test_json_may_name_its_encoding(self, guarded):
        answer = guarded()("/recommend", {"history": ["i1"]}, Content_Type="Application/JSON; charset=utf-8")
        assert answer.status == 200

    def test_the_limit_is_in_bytes(self, guarded):
        body = json.dumps({"history": ["i1"]}).encode()
        limits = Limits(body_bytes=len(body))
        client = guarded(limits=limits)
        assert client("/recommend", body).status == 200
        assert client("/recommend", body + b" ").error["message"] == f"the body has more than {len(body)} bytes"


def raw(messages, limits, path="/recommend", app=None):
    """Status and content of the answer to a body that comes in messages, each after its seconds."""
    from recbole_mpo.release.serving.guard import Guard
    from recbole_mpo.release.serving.measures import Measures

    sent, waiting = [], list(messages)

    async def receive():
        seconds, message = waiting.pop(0)
        await asyncio.sleep(seconds)
        return message

    async def send(message):
        sent.append(message)

    async def never(*_):
        raise AssertionError("the application is not reached")

    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers}
    asyncio.run(Guard(app or never, set(), Measures(), limits)(scope, receive, send))
    return sent[0]["status"], json.loads(sent[1]["body"])["error"]["code"]


def part(content, more=True):
    return {"type": "http.request", "body": content, "more_body": more}


def test_a_body_without_a_length_is_read_to_the_limit_alone():
    assert raw([(0, part(b"x" * 60)), (0, part(b"x" * 60))], Limits(body_bytes=100)) == (413, "too_large")


def test_a_body_that_comes_too_slowly_is_given_up():
    assert raw([(0, part(b"{")), (9, part(b"}"))], Limits(timeout=0.05)) == (504, "timeout")


def test_a_body_that_breaks_off_is_not_answered_as_if_it_were_whole():
    assert raw([(0, part(b"{}")), (0, {"type": "http.disconnect"})], Limits()) == (400, "incomplete")


def test_an_application_that_fails_is_an_internal_error(caplog):
    async def fail(*_):
        raise ZeroDivisionError("by nothing")

    assert raw([(0, part(b"{}", more=False))], Limits(), app=fail) == (500, "internal")
    assert "by nothing" in caplog.text


def test_answers_are_not_stored_or_taken_for_another_kind(guarded):
    headers = guarded()("/health").headers
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["Cache-Control"] == "no-store"

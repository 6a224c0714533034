"""The web server says when it answers, and ends when it is asked to."""

import os
import signal
import threading

import pytest

from recbole_mpo.release.serving.server import Place


def test_it_answers_on_a_bound_socket_until_it_is_asked_to_end(capsys):
    pytest.importorskip("uvicorn", reason="needs the extra [serve]")
    from recbole_mpo.release.serving.listening import listen

    answered = []

    async def app(scope, receive, send):
        if scope["type"] == "http":
            answered.append(scope["path"])

    with Place(port=0).bind() as bound:
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        listen(app, bound, 1.0, "here")
    assert capsys.readouterr().out == "here\n" and answered == []

"""A server in a process of its own: names, places, keys, kills and orderly ends."""

import os
import re
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from recbole_mpo.common.errors import ConfigError, DependencyError
from recbole_mpo.release.serving import Limits, Place, serve
from recbole_mpo.release.serving.server import KEY_VARIABLE, api_key, named_folders

TESTS = Path(__file__).resolve().parents[2]
# The command, with the stand-in for every folder; a history of the text "slow" takes a second.
SCRIPT = """
import sys, time
from stand_in import StandIn
from recbole_mpo.release.recommend import Recommender

class Slow(StandIn):
    def recommend(self, histories, **choices):
        if any(getattr(entry, "text", "") == "slow" for history in histories for entry in history):
            print("begun", flush=True)
            time.sleep(1)
        return super().recommend(histories, **choices)

Recommender.from_pretrained = lambda folder: Slow()
from recbole_mpo.cli.main import main
sys.exit(main(["serve", *sys.argv[1:]]))
"""


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """Starts ``serve`` in a folder of its own; yields the process and its address, and kills what is left of it."""
    pytest.importorskip("fastapi", reason="needs the extra [serve]")
    pytest.importorskip("uvicorn", reason="needs the extra [serve]")
    folder = tmp_path_factory.mktemp("server")

    @contextmanager
    def start(**environment):
        path = os.pathsep.join([str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, "PYTHONPATH": path, **environment}
        command = [sys.executable, "-c", SCRIPT, f"shop={folder}", "--port=0", f"--state_dir={folder}/state"]
        with subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                first, second = process.stdout.readline(), process.stdout.readline()
                assert re.match(r"serving shop \(\d+ items\)", first), process.stderr.read()
                yield process, re.search(r"http://\S+?(?=/ )", second)[0]
            finally:
                process.kill()

    return start


@pytest.fixture(scope="module")
def running(started):
    """A server with a key, which the last of its tests kills."""
    with started(**{KEY_VARIABLE: "secret"}) as (process, address):
        yield process, address


KEY = {"Authorization": "Bearer secret"}


def test_the_key_comes_from_the_environment(running, ask):
    _, address = running
    assert ask(f"{address}/models").error["code"] == "unauthorized"
    assert ask(f"{address}/models", **KEY).status == 200
    assert ask(f"{address}/health").status == 200


def test_many_clients_at_once_are_answered_each_its_own(running, ask):
    _, address = running

    def tokens_of(number):
        answers = [ask(f"{address}/recommend", {"history": [f"i{number}"], "k": 50}, **KEY) for _ in range(20)]
        return [{item["item"] for item in answer.json["items"]} for answer in answers]

    with ThreadPoolExecutor(8) as pool:
        for number, answers in enumerate(pool.map(tokens_of, range(8))):
            assert answers == [{f"i{other}" for other in range(20)} - {f"i{number}"}] * 20
    text = ask(f"{address}/metrics", **KEY).body.decode()
    assert 'recbole_mpo_requests_total{route="/recommend",status="200"} 160.0' in text


def test_items_outlive_a_kill_and_what_is_under_way_is_finished_at_an_end(running, started, ask):
    process, address = running
    for number in range(3):
        body = {"items": [{"item": f"new{number}", "text": "green chair"}]}
        assert ask(f"{address}/items", body, **KEY).status == 200
    process.kill()
    process.wait(20)
    with started() as (process, address):
        found = ask(f"{address}/items?query=chair").json["items"]
        assert [item["item"] for item in found] == ["new0", "new1", "new2"]
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(ask, f"{address}/recommend", {"history": [{"text": "slow"}], "k": 3})
            assert process.stdout.readline() == "begun\n"
            process.send_signal(signal.SIGTERM)
            assert answer.result(20).status == 200 and len(answer.result().json["items"]) == 3
        assert process.wait(20) == 0
        assert "Traceback" not in process.stderr.read()


def test_a_taken_port_is_told_before_the_models_are_read(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"cannot listen at --host=127.0.0.1 --port={port}: Address already"):
            serve([str(tmp_path)], Place(port=port), Limits())


@pytest.mark.parametrize("place", [Place(port=70_000), Place(host="no such host"), Place(host="203.0.113.7", port=0)])
def test_a_place_that_cannot_be_is_named(place):
    with pytest.raises(ConfigError, match=re.escape(f"--host={place.host} --port={place.port}")):
        place.bind()


@pytest.mark.parametrize(
    "host, is_local", [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("shop", False)]
)
def test_a_local_place_is_known(host, is_local):
    assert Place(host).is_local is is_local


class TestNames:
    def test_a_folder_gives_its_name_unless_it_has_another(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert named_folders(["models/a/", "b=models/c", f"{tmp_path}/x=y"]) == {
            "a": Path("models/a/"),
            "b": Path("models/c"),
            "x=y": Path(f"{tmp_path}/x=y"),
        }
        assert list(named_folders(["."])) == [tmp_path.name]

    @pytest.mark.parametrize(
        "folders, message",
        [
            ([], "give one or several"),
            (["a/b", "c/b"], "two models are named 'b'; name one of them: NAME=c/b"),
            (["x=a", "y=./a"], "models 'x' and 'y' are one folder"),
            (["=a"], "neither a folder nor"),
            (["a="], "neither a folder nor"),
            (["a\n=b"], "neither a folder nor"),
        ],
    )
    def test_names_that_cannot_be_are_refused(self, folders, message):
        with pytest.raises(ConfigError, match=message):
            named_folders(folders)


class TestKey:
    def test_an_option_wins(self, monkeypatch):
        assert api_key(None) is None
        monkeypatch.setenv(KEY_VARIABLE, "from outside")
        assert api_key("given") == "given"

    @pytest.mark.parametrize("key", ["", "two words", "schlüssel", "a\n"])
    def test_one_that_could_not_be_sent_is_refused(self, monkeypatch, key):
        monkeypatch.setenv(KEY_VARIABLE, key)
        with pytest.raises(ConfigError, match=KEY_VARIABLE):
            api_key(None)
        with pytest.raises(ConfigError, match="--api_key"):
            api_key(key)


@pytest.mark.parametrize("package", ["fastapi", "uvicorn", "prometheus_client"])
def test_a_missing_package_names_the_extra(monkeypatch, tmp_path, package):
    for name in ("app", "guard", "listening", "measures"):
        monkeypatch.delitem(sys.modules, f"recbole_mpo.release.serving.{name}", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DependencyError, match=rf"{package}; run: pip install 'recbole-mpo\[serve\]'"):
        serve([str(tmp_path)], Place(port=0), Limits())

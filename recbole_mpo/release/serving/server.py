"""A server process: it opens the models, answers until it is asked to end, and finishes what is under way."""

import ipaddress
import logging
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from recbole_mpo.common.errors import ConfigError, DependencyError
from recbole_mpo.common.terminal import has_control_characters
from recbole_mpo.release.serving.limits import Limits
from recbole_mpo.release.serving.served_model import ServedModel

LOG = logging.getLogger(__name__)
KEY_VARIABLE = "RECBOLE_MPO_API_KEY"
LARGEST_PORT = 65535


@dataclass(frozen=True)
class Place:
    """Where a server answers, and to whom.

    Attributes:
        host: name or address to listen at; by default this machine alone is answered.
        port: number of the port; 0 takes a free one.
        api_key: key that requests must carry; None for none.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    api_key: str | None = None

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the server."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def bind(self) -> socket.socket:
        """Return a socket that holds the port and does not listen yet.

        Raises:
            ConfigError: the host is unknown, or the port is taken or reserved.
        """
        place = f"--host={self.host} --port={self.port}"
        # The system would take the rest of a division by 65536.
        if self.port > LARGEST_PORT:
            raise ConfigError(f"cannot listen at {place}: ports are numbers up to {LARGEST_PORT}")
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            bound = socket.socket(family, kind, protocol)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
        except (OSError, UnicodeError) as problem:
            reason = problem.strerror if isinstance(problem, OSError) else problem
            raise ConfigError(f"cannot listen at {place}: {reason}; choose another") from problem
        return bound


def named_folders(folders: Iterable[str]) -> dict[str, Path]:
    """Return the folders by the names under which their models are served.

    Args:
        folders: each ``DIR``, served under the folder's name, or ``NAME=DIR``.

    Raises:
        ConfigError: there is none, a name is given twice, or a name is not one.
    """
    by_name: dict[str, Path] = {}
    for text in folders:
        name, equals, folder = text.partition("=")
        # A path may hold an equals sign; a name holds no slash.
        if not equals or "/" in name:
            name, folder = Path(text).resolve().name, text
        if not name or not folder or has_control_characters(name):
            raise ConfigError(f"{text!r} is neither a folder nor NAME=FOLDER")
        if name in by_name:
            raise ConfigError(f"two models are named {name!r}; name one of them: NAME={folder}")
        same = [other for other, path in by_name.items() if path.resolve() == Path(folder).resolve()]
        if same:
            raise ConfigError(f"models {same[0]!r} and {name!r} are one folder, {folder}; name it once")
        by_name[name] = Path(folder)
    if not by_name:
        raise ConfigError("serve needs a folder that export wrote; give one or several")
    return by_name


def api_key(given: str | None) -> str | None:
    """Return the key that was given, or else that of the environment.

    Raises:
        ConfigError: the key is empty or could not be sent as a header.
    """
    key = os.environ.get(KEY_VARIABLE) if given is None else given
    if key is not None and not (key and key.isascii() and key.isprintable() and " " not in key):
        source = KEY_VARIABLE if given is None else "--api_key"
        raise ConfigError(f"{source} must be printable ASCII characters without blanks, at least one")
    return key


def serve(
    folders: Iterable[str], place: Place, limits: Limits, threads: int | None = None, state_dir: Path | None = None
) -> int:
    """Answer requests until the process is asked to end; return its exit code.

    Requests that are under way then are answered first, as long as ``limits.grace`` allows.

    Args:
        folders: ``DIR`` or ``NAME=DIR`` of each model; the first is the default.
        place: where to answer.
        limits: the largest requests.
        threads: threads of a computation; None for all processors but one.
        state_dir: folder for the items that are added; by default they stand beside the models' folders.

    Raises:
        ConfigError: the names or the place cannot be used.
        RecboleMPOError: a folder is damaged.
    """
    by_name = named_folders(folders)
    try:
        from recbole_mpo.release.serving.app import make_app
        from recbole_mpo.release.serving.listening import listen
    except ModuleNotFoundError as problem:
        if problem.name not in ("fastapi", "uvicorn", "prometheus_client"):
            raise
        raise DependencyError(f"serve needs {problem.name}; run: pip install 'recbole-mpo[serve]'") from problem
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("sentence_transformers").setLevel(logging.WARNING)  # it tells where it lies
    with place.bind() as bound:
        # One processor is left to the thread that reads and writes requests.
        torch.set_num_threads(threads or max(1, (os.cpu_count() or 1) - 1))
        models = [ServedModel.open(name, folder, state_dir) for name, folder in by_name.items()]
        app = make_app(models, limits, place.api_key, place.is_local)
        listen(app, bound, limits.grace, _opening(place, bound, models))
    return 0


def _opening(place: Place, bound: socket.socket, models: list[ServedModel]) -> str:
    """Return the lines that say what is served where; warn of a server that everyone may ask."""
    if not place.is_local and place.api_key is None:
        LOG.warning("%s answers everyone who can reach it; set %s", place.host, KEY_VARIABLE)
    host = f"[{place.host}]" if ":" in place.host else place.host
    names = ", ".join(f"{model.name} ({model.items:,} items)" for model in models)
    return f"serving {names}\nat http://{host}:{bound.getsockname()[1]}/ until Ctrl-C"

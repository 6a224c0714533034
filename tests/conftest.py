"""Small datasets that the tests write themselves, and settings small enough to train in a second."""

import signal
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings as hypothesis_settings

# The machine's load must not decide whether a test passes.
hypothesis_settings.register_profile("unhurried", deadline=None)
hypothesis_settings.load_profile("unhurried")

WORDS = "red blue green small large steel wooden glass cotton lamp table chair cup brush paint paper tape".split()
SHARED_DATA = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"


def write_dataset(folder: Path, name: str = "tiny", users: int = 40, items: int = 30, seed: int = 0) -> Path:
    """``<folder>/<name>/<name>.inter`` and ``.text``: 4 to 14 interactions per user, next items mostly i + 1.

    Item tokens are ``i<number>``, user tokens ``u<number>``; times are unique. Rows are shuffled.
    """
    draw = np.random.default_rng(seed)
    rows = []
    for user in range(users):
        item = int(draw.integers(items))
        for step in range(int(draw.integers(4, 15))):
            rows.append((f"u{user}", f"i{item}", 1_600_000_000 + 1000 * user + step))
            item = (item + 1) % items if draw.random() < 0.8 else int(draw.integers(items))
    draw.shuffle(rows)
    target = folder / name
    target.mkdir(parents=True)
    lines = ["user_id:token\titem_id:token\ttimestamp:float", *("\t".join(map(str, row)) for row in rows)]
    (target / f"{name}.inter").write_text("\n".join(lines) + "\n", encoding="utf-8")
    texts = ["item_id:token\ttext:token_seq"]
    texts += [f"i{item}\t{' '.join(draw.choice(WORDS, 5))} number {item}." for item in range(items)]
    (target / f"{name}.text").write_text("\n".join(texts) + "\n", encoding="utf-8")
    return target


@pytest.fixture
def make_dataset():
    """:func:`write_dataset`, for tests that need several datasets."""
    return write_dataset


@pytest.fixture
def tiny_path(tmp_path) -> Path:
    """A data_path that holds the dataset ``tiny``."""
    write_dataset(tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def tiny_settings(tmp_path, tiny_path) -> dict:
    """Overrides for a run on ``tiny`` that takes about a second."""
    return {
        "data_path": str(tiny_path),
        "checkpoint_dir": str(tmp_path / "saved"),
        "cache_dir": str(tmp_path / "cache"),
        "text_encoder": "tfidf-svd",
        "show_progress": False,
        "use_gpu": False,
        "epochs": 2,
        "train_batch_size": 64,
        "hidden_size": 16,
        "inner_size": 16,
        "n_exps": 2,
        "seed": 7,
    }


@pytest.fixture(autouse=True)
def inside_tmp_path(tmp_path, monkeypatch):
    """Runs each test in its own folder: RecBole writes TensorBoard files below the current one."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def shared_data() -> Path:
    """The folder of real datasets beside the repository; skips where it is absent."""
    if not (SHARED_DATA / "Scientific" / "Scientific.train.inter").is_file():
        pytest.skip("real datasets are not at ../shared/data")
    return SHARED_DATA


class RawServer:
    """Serves raw files as a dataset's public site does: whole, by range, cut short, or an HTML page instead.

    Attributes:
        files: content by path.
        cut: bytes after which the next answer for a path breaks off.
        pages: paths answered with an HTML page.
        versioned: whether answers carry an ETag, without which nothing can be continued.
        requests: (path, Range header) of all requests.
    """

    def __init__(self):
        self.files, self.cut, self.pages, self.versioned, self.requests = {}, {}, set(), True, []
        self.address = ""

    def answer(self, handler):
        path = handler.path.lstrip("/")
        asked = handler.headers.get("Range")
        self.requests.append((path, asked))
        content = self.files.get(path)
        if content is None:
            return handler.send_error(404)
        version = f'"{len(content)}-{hash(content)}"'
        begin = 0
        if asked and handler.headers.get("If-Range") == version:
            begin = int(asked.removeprefix("bytes=").rstrip("-"))
        if begin >= len(content):
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(content)}")
            return handler.end_headers()
        handler.send_response(206 if begin else 200)
        handler.send_header("Content-Type", "text/html" if path in self.pages else "application/octet-stream")
        handler.send_header("Content-Length", str(len(content) - begin))
        if self.versioned:
            handler.send_header("ETag", version)
        handler.end_headers()
        handler.wfile.write(content[begin : self.cut.pop(path, None)])
        handler.close_connection = True

    @contextmanager
    def running(self):
        """Answers requests at :attr:`address` meanwhile."""

        class Handler(BaseHTTPRequestHandler):
            def do_GET(handler):  # noqa: N805, N802 - http.server's name; self is the outer one
                self.answer(handler)

            def log_message(handler, *_):  # noqa: N805
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{server.server_port}/"
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()


@pytest.fixture
def raw_server():
    """A local site of raw files, empty at first."""
    with RawServer().running() as server:
        yield server


@pytest.fixture
def default_signals():
    """Gives the signals that ask a process to end their default; a process under nohup ignores one of them."""
    numbers = (signal.SIGTERM, signal.SIGHUP)
    former = [signal.signal(number, signal.SIG_DFL) for number in numbers]
    yield
    for number, handler in zip(numbers, former, strict=True):
        signal.signal(number, handler)

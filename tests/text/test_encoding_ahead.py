"""Texts are encoded ahead by several processes, killed and resumed, with the same bits as in one go."""

import hashlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
from text.slow_encoder import SlowEncoder

from recbole_mpo.common.errors import ConfigError, FeatureError
from recbole_mpo.text import encoding, matrix_files, partial_store
from recbole_mpo.text.encoders import build_encoder
from recbole_mpo.text.encoding import encode_items
from recbole_mpo.text.encoding_ahead import encode_ahead
from recbole_mpo.text.item_text import TEXT_HEADER, read_item_text

# Chunks of 512 texts, of which the last has fewer; two texts are missing, and some are equal.
COUNT = 512 * 5 + 100


@pytest.fixture
def text_file(tmp_path):
    lines = [f"i{row}\ttext number {row % 2600}" for row in range(COUNT)]
    lines[7], lines[2000] = "i7\t?", "i2000\t"
    path = tmp_path / "Toy.text"
    path.write_text("\n".join([TEXT_HEADER, *lines]) + "\n")
    return path


@pytest.fixture
def notes(tmp_path):
    (tmp_path / "notes").mkdir()
    return tmp_path / "notes"


def expected(text_file, tmp_path):
    """The features as a run makes them."""
    return encode_items(read_item_text(text_file), SlowEncoder(), tmp_path / "run", "Toy", False).features


def files_hash(folder):
    contents = {}
    for path in sorted(folder.iterdir()):
        contents[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return contents


def test_it_writes_what_a_run_would(text_file, tmp_path, monkeypatch):
    monkeypatch.setattr(matrix_files, "ROWS_AT_A_TIME", 1000)
    assert encode_ahead(text_file, SlowEncoder(), tmp_path / "ahead" / "Toy", show_progress=False) == (COUNT, 6)
    features = expected(text_file, tmp_path)
    assert not features[[7, 2000]].any() and np.array_equal(features[0], features[2600])
    assert files_hash(tmp_path / "ahead" / "Toy") == files_hash(tmp_path / "run" / "Toy")


def test_two_processes_share_the_work_and_write_the_same(text_file, tmp_path, notes):
    encoder = SlowEncoder(notes, seconds=0.3)
    assert encode_ahead(text_file, encoder, tmp_path / "ahead" / "Toy", 2, show_progress=False) == (COUNT, 6)
    parts = [path.read_text().splitlines() for path in notes.iterdir()]
    assert len(parts) == 2 and str(os.getpid()) not in {path.name for path in notes.iterdir()}
    together = [text for part in parts for text in part]
    assert len(together) == len(set(together)) == 2599
    expected(text_file, tmp_path)
    assert files_hash(tmp_path / "ahead" / "Toy") == files_hash(tmp_path / "run" / "Toy")


def test_killed_and_resumed_it_gives_the_same_bits(text_file, tmp_path, notes):
    folder = tmp_path / "ahead" / "Toy"
    context = multiprocessing.get_context("spawn")
    arguments = text_file, SlowEncoder(notes, seconds=0.3), folder, 1, False
    process = context.Process(target=encode_ahead, args=arguments)
    process.start()
    end = time.monotonic() + 60
    # A header and two whole chunks.
    while sum(path.stat().st_size for path in folder.glob("*.partial")) < 2 * 512 * 24 and time.monotonic() < end:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    (partial,) = folder.glob("*.partial")
    before = partial.stat().st_size
    assert before >= 2 * 512 * 24 and not (folder / "slow.json").exists()
    (notes / str(process.pid)).unlink()
    encode_ahead(text_file, SlowEncoder(notes), folder, 1, False)
    ours = (notes / str(os.getpid())).read_text().splitlines()
    assert 0 < len(ours) <= 2599 - 2 * 512
    expected(text_file, tmp_path)
    assert files_hash(folder) == files_hash(tmp_path / "run" / "Toy")


def test_what_is_there_is_not_encoded_again_and_stays_on_the_disk(text_file, tmp_path, notes):
    encode_ahead(text_file, SlowEncoder(), tmp_path / "Toy", 1, False)
    assert encode_ahead(text_file, SlowEncoder(notes), tmp_path / "Toy", 1, False) == (COUNT, 6)
    assert not [*notes.iterdir()]


def test_a_few_new_texts_are_all_that_is_encoded(text_file, tmp_path, notes):
    encode_ahead(text_file, SlowEncoder(), tmp_path / "Toy", 1, False)
    before = encoding.load_cached(tmp_path / "Toy", "slow").features.copy()
    text_file.write_text(text_file.read_text() + "new\tone more\n")
    assert encode_ahead(text_file, SlowEncoder(notes), tmp_path / "Toy", 1, False) == (COUNT + 1, 6)
    assert (notes / str(os.getpid())).read_text() == "one more\n"
    after = encoding.load_cached(tmp_path / "Toy", "slow").features
    np.testing.assert_array_equal(after[:COUNT], before)
    assert after[COUNT].any()


def test_a_process_that_comes_late_finds_all_done(text_file, tmp_path, notes, monkeypatch):
    """Others finish, and delete their file, between its look at the cache and its own file."""
    folder = tmp_path / "Toy"
    enter = partial_store.PartialStore.__enter__

    def late(store):
        monkeypatch.setattr(partial_store.PartialStore, "__enter__", enter)
        encode_ahead(text_file, SlowEncoder(), folder, 1, False)
        return enter(store)

    monkeypatch.setattr(partial_store.PartialStore, "__enter__", late)
    assert encode_ahead(text_file, SlowEncoder(notes), folder, 1, False) == (COUNT, 6)
    assert not [*notes.iterdir()] and json.loads((folder / "slow.json").read_text())["rows"] == COUNT


def test_what_others_store_while_a_process_reads_its_texts_stays(text_file, tmp_path, notes, monkeypatch):
    folder, distinct = tmp_path / "Toy", encoding._distinct

    def late(item_text):
        monkeypatch.setattr(encoding, "_distinct", distinct)
        encode_ahead(text_file, SlowEncoder(), folder, 1, False)
        assert (folder / "slow.json").is_file()
        return distinct(item_text)

    monkeypatch.setattr(encoding, "_distinct", late)
    assert encode_ahead(text_file, SlowEncoder(notes), folder, 1, False) == (COUNT, 6)
    assert not [*notes.iterdir()]


def test_an_error_of_all_processes_is_told_once(text_file, tmp_path, caplog):
    with pytest.raises(FeatureError, match="encoder slow returned numbers that are not finite"):
        encode_ahead(text_file, SlowEncoder(fails=True), tmp_path / "Toy", 2, False)
    assert "2 of 2 processes ended early" in caplog.text


def test_an_encoder_that_is_fitted_has_one_process(text_file, tmp_path):
    with pytest.raises(ConfigError, match="text_encoder tfidf-svd is fitted to all texts at once; leave processes out"):
        encode_ahead(text_file, build_encoder("tfidf-svd"), tmp_path / "Toy", 2, False)
    assert encode_ahead(text_file, build_encoder("tfidf-svd"), tmp_path / "Toy", 1, False)[0] == COUNT


def test_processes_share_the_cores(text_file, tmp_path, notes, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    encode_ahead(text_file, SlowEncoder(notes, seconds=0.2), tmp_path / "Toy", 2, False)
    assert {path.read_text() for path in tmp_path.glob("threads-*")} == {"3"} and "OMP_NUM_THREADS" not in os.environ


SCRIPT = """
import sys
from recbole_mpo.common.process import raising_at_the_end
from recbole_mpo.text.encoding_ahead import encode_ahead
from text.slow_encoder import SlowEncoder

if __name__ == "__main__":
    try:
        with raising_at_the_end():
            encode_ahead(sys.argv[1], SlowEncoder(seconds=300), sys.argv[2], 2, False)
    except KeyboardInterrupt:
        print("interrupted")
"""


@pytest.mark.parametrize(
    ("number", "send"), [(signal.SIGINT, os.killpg), (signal.SIGTERM, os.kill), (signal.SIGKILL, os.kill)]
)
def test_interrupted_it_takes_its_processes_along(text_file, tmp_path, number, send):
    """A terminal sends Ctrl-C to all processes, and of them only one says something; other signals reach that one."""
    (tmp_path / "main.py").write_text(SCRIPT)
    folder = tmp_path / "Toy"
    process = subprocess.Popen(
        [sys.executable, tmp_path / "main.py", text_file, folder],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    started = psutil.Process(process.pid)
    end = time.monotonic() + 120
    while not [*folder.glob("*.partial")] and time.monotonic() < end:
        time.sleep(0.05)
    family = started.children(recursive=True)
    assert len(family) >= 2 and process.poll() is None
    send(process.pid, number)
    try:
        said, _ = process.communicate(timeout=20)
    finally:
        _, left = psutil.wait_procs([started, *family], timeout=20)
        for one in left:
            one.kill()
    assert not left
    assert said == ("" if number == signal.SIGKILL else "interrupted\n")

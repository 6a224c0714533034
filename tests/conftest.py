"""Small data sets that the tests write themselves, and settings small enough to train in a second."""

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
    """``<folder>/<name>/<name>.inter`` and ``.text``: 4 to 14 interactions a user, next items mostly i + 1.

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
def tiny_path(tmp_path) -> Path:
    """A data_path that holds the data set ``tiny``."""
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
    """The folder of real data sets beside the repository; skips where it is absent."""
    if not (SHARED_DATA / "Scientific" / "Scientific.train.inter").is_file():
        pytest.skip("real data sets are not at ../shared/data")
    return SHARED_DATA

"""1,300 damaged feature files, caches and unfinished encodings: refused or encoded again, never used."""

import random
from pathlib import Path

import numpy as np
import pytest
from fuzz.damage import BYTES, TEXTS, changed, damaged, odd_value, places_in
from fuzz.trial import Attempt, try_cases
from safetensors.numpy import save_file

from recbole_mpo.text import partial_store
from recbole_mpo.text.encoding import encode_items
from recbole_mpo.text.feature_files import read_feature_file
from recbole_mpo.text.item_text import ItemText

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
ROWS, SIZE = 40, 6
TEXT = ItemText([f"i{row}" for row in range(ROWS)], [f"text {row}" for row in range(ROWS)], Path("shop.text"))


class Encoder:
    """Encodes a text as numbers drawn from it, and can stop half-way as a killed process does."""

    name, needs_fit = "drawn", False

    def __init__(self, texts_until_it_stops: int | None = None):
        self.left = texts_until_it_stops

    def fingerprint(self) -> dict:
        return {"name": self.name, "version": 1}

    def encode(self, texts):
        if self.left is not None:
            self.left -= len(texts)
            if self.left < 0:
                raise InterruptedError
        return np.array([[random.Random(f"{text} {column}").random() for column in range(SIZE)] for text in texts])


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(partial_store, "CHUNK_SIZE", 8)


def encoded(folder: Path):
    return encode_items(TEXT, Encoder(), folder, "shop", False).features


def files_below(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def put_back(folder: Path, contents: dict[Path, bytes]):
    for path in set(folder.rglob("*")) - contents.keys():
        if path.is_file():
            path.unlink()
    for path, content in contents.items():
        path.write_bytes(content)


@pytest.mark.parametrize("stops_after", [None, 20])
def test_a_damaged_cache_is_never_used(tmp_path, small_chunks, record_property, stops_after):
    """The finished matrix and its manifest, and the rows of an unfinished encoding."""
    if stops_after is None:
        encode_items(TEXT, Encoder(), tmp_path, "shop", False)
    else:
        with pytest.raises(InterruptedError):
            encode_items(TEXT, Encoder(stops_after), tmp_path, "shop", False)
    contents, right = files_below(tmp_path), Encoder().encode(TEXT.texts).astype(np.float32)
    assert [path.suffix for path in sorted(contents)] == ([".partial"] if stops_after else [".json", ".safetensors"])

    def attempt(draw):
        put_back(tmp_path, contents)
        path = draw.choice(sorted(contents))
        data, ways = damaged(contents[path], draw, TEXTS if path.suffix == ".json" else BYTES)
        if draw.random() < 0.05:
            path.unlink()
        else:
            path.write_bytes(data)
        return Attempt(f"{path.name} {ways}", (), lambda: encoded(tmp_path), fault)

    def fault(features):
        if not np.array_equal(features, right):
            return "other features"
        left = [path.name for path in files_below(tmp_path) if path.suffix in (".partial", ".part")]
        return f"leftovers {left}" if left else None

    try_cases(record_property, f"features, {'partial' if stops_after else 'cache'}", 450, attempt, never_refused=True)


def write_matrix(kind: str, path: Path):
    matrix = np.random.default_rng(1).normal(size=(ROWS, SIZE)).astype(np.float32)
    if kind == "npy":
        np.save(path, matrix)
    elif kind == "safetensors":
        save_file({"features": matrix}, path)
    else:
        matrix.tofile(path)


def test_feature_files_of_others_give_finite_numbers_of_the_right_shape(tmp_path, record_property):
    """They have no checksum, so of other finite numbers nobody can say that they are wrong."""
    paths = {kind: tmp_path / f"sound.{kind}" for kind in ("npy", "safetensors", "feat1CLS")}
    for kind, path in paths.items():
        write_matrix(kind, path)

    def attempt(draw):
        kind = draw.choice(sorted(paths))
        data, ways = damaged(paths[kind].read_bytes(), draw)
        path = tmp_path / f"damaged.{kind}"
        path.write_bytes(data)
        dimension = draw.choice((None, SIZE))
        return Attempt(
            f"{kind} {ways}", (str(path),), lambda: read_feature_file(path, ROWS, dimension, TEXT.tokens), fault
        )

    def fault(matrix):
        is_right = matrix.dtype == np.float32 and len(matrix) == ROWS and np.isfinite(matrix).all()
        return None if is_right else f"{matrix.dtype} of shape {matrix.shape}"

    try_cases(record_property, "features, files of others", 300, attempt)


def test_a_manifest_with_other_values_is_not_believed(tmp_path, small_chunks, record_property):
    """Valid JSON with a value of another kind or meaning."""
    import json

    encode_items(TEXT, Encoder(), tmp_path, "shop", False)
    contents, right = files_below(tmp_path), Encoder().encode(TEXT.texts).astype(np.float32)
    path = tmp_path / "shop/drawn.json"
    manifest = json.loads(path.read_text())
    places = list(places_in(manifest))

    def attempt(draw):
        put_back(tmp_path, contents)
        place, value = draw.choice(places), odd_value(draw)
        try:
            path.write_text(json.dumps(changed(manifest, place, value)))
        except TypeError:
            path.write_text(json.dumps(value, default=str))
        return Attempt(
            f"{place} {value!r}"[:200],
            (),
            lambda: encoded(tmp_path),
            lambda features: None if np.array_equal(features, right) else "other features",
        )

    try_cases(record_property, "features, manifest", 100, attempt, never_refused=True)

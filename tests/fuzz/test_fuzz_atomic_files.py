"""1,800 damaged interaction, text and index files: refused, or read as a reader of lines and tabs reads them."""

import random
from pathlib import Path

import numpy as np
import pytest
from conftest import write_dataset
from fuzz.damage import TEXTS, damaged
from fuzz.trial import Attempt, try_cases
from support import built_run

from recbole_mpo.data.atomic_reader import read_atomic
from recbole_mpo.data.histories import read_dataset_histories
from recbole_mpo.text.item_text import read_dataset_text

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
SPLIT_ROWS = {
    "train": ("u1\t0\t1", "u1\t0 1\t2", "u2\t2\t3", "u3\t3 4 0\t1"),
    "valid": ("u1\t0 1 2\t3", "u2\t2 3\t0", "u3\t3 4 0 1\t2"),
    "test": ("u1\t0 1 2 3\t4", "u2\t2 3 0\t4", "u3\t3 4 0 1 2\t4"),
}


@pytest.fixture
def sound(tmp_path) -> Path:
    """A data_path with the single dataset ``tiny`` and the pre-split ``parts``, which has texts and an index."""
    write_dataset(tmp_path, users=12, items=10)
    folder = tmp_path / "parts"
    folder.mkdir()
    for split, rows in SPLIT_ROWS.items():
        lines = ("user_id:token\titem_id_list:token_seq\titem_id:token", *rows)
        (folder / f"parts.{split}.inter").write_text("\n".join(lines) + "\n")
    texts = [f"raw{letter}\tA {letter} of wood." for letter in "abcde"]
    (folder / "parts.text").write_text("\n".join(["item_id:token\ttext:token_seq", *texts]) + "\n")
    (folder / "parts.item2index").write_text("".join(f"raw{letter}\t{n}\n" for n, letter in enumerate("abcde")))
    return tmp_path


def damage_file(path: Path, draw: random.Random) -> str:
    """Damage a file in place; return how."""
    data, ways = damaged(path.read_bytes(), draw, TEXTS)
    path.write_bytes(data)
    return f"{path.name} {ways}"


def cells_of(path: Path) -> list[list[str]]:
    """Return the cells of a file of tabs as plain Python sees them; blank lines are no rows."""
    with open(path, encoding="utf-8-sig") as file:
        return [line.rstrip("\n").split("\t") for line in file if line.strip(" \r\n")]


def difference(frame, path: Path) -> str | None:
    """Return where a frame differs from the cells of its file."""
    header, *rows = cells_of(path)
    if len(frame) != len(rows):
        return f"{len(frame)} rows of {len(rows)}"
    for place, column in enumerate(header):
        name, kind = column.split(":")
        cells = [row[place] for row in rows]
        read = {"token": str, "token_seq": list, "float": float, "float_seq": lambda cell: list(map(float, cell))}[kind]
        expected = [cell.split(" ") if kind.endswith("seq") else cell for cell in cells]
        expected = [[part for part in cell if part] if kind.endswith("seq") else cell for cell in expected]
        for number, (got, cell) in enumerate(zip(frame[name], expected, strict=True)):
            if read(got) != read(cell):
                return f"row {number}, {name}: {got!r} for {cell!r}"
    return None


def test_columns_are_those_of_the_file_or_refused(sound, tmp_path, record_property):
    files = [sound / "tiny/tiny.inter", *sorted((sound / "parts").glob("*.inter")), tmp_path / "more.inter"]
    files[-1].write_text("user_id:token\tprices:float_seq\nu1\t1.5 2\nu2\t\nu1\t3 4 5e3\n")
    contents = {path: path.read_bytes() for path in files}

    def attempt(draw):
        path = tmp_path / "damaged.inter"
        path.write_bytes(contents[draw.choice(files)])
        ways = damage_file(path, draw)
        return Attempt(ways, (str(path),), lambda: read_atomic(path, None)[0], lambda frame: difference(frame, path))

    try_cases(record_property, "atomic files, columns", 1000, attempt)


def test_texts_are_those_of_the_file_or_refused(sound, record_property):
    files = [sound / "tiny/tiny.text", sound / "parts/parts.text", sound / "parts/parts.item2index"]
    contents = {path: path.read_bytes() for path in files}

    def attempt(draw):
        for file, content in contents.items():
            file.write_bytes(content)
        path = draw.choice(files)
        ways = damage_file(path, draw)
        return Attempt(ways, (str(path),), lambda: read_dataset_text(path.with_suffix(".text")), fault)

    def fault(texts):
        if len(set(texts.tokens)) != len(texts.tokens) or "" in texts.tokens:
            return "a token twice or empty"
        lines = texts.source.read_bytes().decode("utf-8-sig").rstrip("\r\n").split("\n")[1:]
        known = {line.partition("\t")[2].removesuffix("\r") for line in lines} | {""}
        return None if set(texts.texts) <= known else f"texts that are not in the file: {set(texts.texts) - known}"

    try_cases(record_property, "atomic files, texts", 500, attempt)


SETTINGS = {"show_progress": False, "use_gpu": False, "text_encoder": "tfidf-svd", "hidden_size": 8, "inner_size": 8}


@pytest.mark.parametrize(("name", "count"), [("tiny", 200), ("parts", 100)])
def test_runs_and_histories_see_the_same_rows(sound, tmp_path, record_property, name, count):
    """The whole way: files to split, numbered data and features, and to histories for ``inspect``."""
    files = [path for path in sorted((sound / name).iterdir()) if path.suffix in (".inter", ".text", ".item2index")]
    contents = {path: path.read_bytes() for path in files}
    settings = {**SETTINGS, "data_path": str(sound), "cache_dir": str(tmp_path / "cache"), "n_exps": 2}

    def attempt(draw):
        for file, content in contents.items():
            file.write_bytes(content)
        path = draw.choice(files)
        ways = damage_file(path, draw)
        # What is wrong with the dataset as a whole names the dataset.
        return Attempt(f"{name}: {ways}", (path.name, f"{name} ", f"{name}.text"), read, fault)

    def read():
        run = built_run("UniSRec", name, (), settings)
        return run.dataset, run.loaders, run.dataset.features.table, read_dataset_histories(sound, name)

    def fault(parts):
        dataset, _, features, histories = parts
        seen, expected = set(dataset.field2id_token["item_id"][1:]), set(histories.item_tokens)
        return None if seen == expected and np.isfinite(features).all() else f"items {seen ^ expected}"

    try_cases(record_property, f"atomic files, whole: {name}", count, attempt)

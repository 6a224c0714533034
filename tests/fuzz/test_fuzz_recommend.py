"""500 odd histories, checkpoints and texts at ``recommend``: refused, or answered as the sound ones are."""

import csv
import io
import json

import numpy as np
import pytest
from conftest import write_dataset
from fuzz.damage import BYTES, TEXTS, damaged
from fuzz.trial import Attempt, quiet, try_cases
from support import folder_of

from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.release import answers
from recbole_mpo.release.history_files import History, read_histories
from recbole_mpo.release.recommend import Recommender

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
HISTORIES = [History(f"u{n}", [f"i{(n + step) % 10}" for step in range(n % 4 + 1)]) for n in range(12)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The settings and the folder of a trained model."""
    root = tmp_path_factory.mktemp("recommend")
    write_dataset(root / "data", users=12, items=10)
    settings = {"show_progress": False, "use_gpu": False, "epochs": 1, "hidden_size": 8, "inner_size": 8, "n_exps": 2}
    settings |= {"data_path": str(root / "data"), "checkpoint_dir": str(root / "saved"), "n_layers": 1}
    settings |= {"cache_dir": str(root / "cache"), "text_encoder": "tfidf-svd"}
    with quiet():
        return settings, folder_of(run("MPORec", "tiny", (), settings))


def written(form: str) -> bytes:
    """Return the histories in one of the forms."""
    if form == "jsonl":
        return "".join(json.dumps({"items": one.items, "user_id": one.name}) + "\n" for one in HISTORIES).encode()
    if form == "txt":
        return "".join(" ".join(one.items) + "\n" for one in HISTORIES).encode()
    rows = [(one.name, item, 100 + place) for one in HISTORIES for place, item in enumerate(one.items)]
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t" if form == "tsv" else ",", lineterminator="\n")
    writer.writerows([("user_id", "item_id", "timestamp"), *rows])
    return text.getvalue().encode()


def as_lines_say(path) -> list[list[str]] | None:
    """Return the histories of a file of lines, read without care; None for a table."""
    lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").decode().replace("\r\n", "\n").replace("\r", "\n")
    lines = lines.removesuffix("\n").split("\n")
    if path.suffix == ".jsonl":
        entries = map(json.loads, lines)
        return [list(map(str, entry["items"] if isinstance(entry, dict) else entry)) for entry in entries]
    return [line.replace(",", " ").split() for line in lines] if path.suffix == ".txt" else None


def fault_of_answers(asked: list[History], said: dict[str, str]) -> str | None:
    """Return what is wrong with the answers to histories, in all three forms."""
    objects = [json.loads(line) for line in said["json"].removesuffix("\n").split("\n")]
    if len(objects) != len(asked):
        return f"{len(objects)} answers to {len(asked)} histories"
    numbers = [item["score"] for answer in objects for item in answer["recommended"]]
    if not np.isfinite(numbers).all():
        return "a score that is not a number"
    for one, answer in zip(asked, objects, strict=True):
        if {item["item_id"] for item in answer["recommended"]} & set(one.items):
            return f"an item of the history {one.items}"
    return None


def test_histories(trained, tmp_path, record_property):
    with quiet():
        recommender = Recommender.from_checkpoint(trained[1] / "best.pth")

    def attempt(draw):
        form = draw.choice(("txt", "jsonl", "csv", "tsv"))
        path = tmp_path / f"odd.{form}"
        data, ways = damaged(written(form), draw, TEXTS)
        path.write_bytes(data)
        topk = draw.choice((1, 3, 10, 1000))

        def answer():
            asked = read_histories(path)
            assert as_lines_say(path) in (None, [one.items for one in asked])
            # Of an unknown item the message says the token.
            return asked, {kind: answers.format_answers(recommender, asked, topk, kind) for kind in forms}

        forms = ("text", "json", "csv")
        names = (str(path), "unknown item")
        return Attempt(f"{form} {ways}", names, answer, lambda result: fault_of_answers(*result))

    try_cases(record_property, "recommend, histories", 300, attempt)


def test_damaged_checkpoints_and_texts(trained, tmp_path, record_property):
    _, folder = trained
    data_path = tmp_path / "data"
    text = data_path / "tiny" / "tiny.text"
    text.parent.mkdir(parents=True)
    sound = {path.name: path.read_bytes() for path in (folder.parents[1] / "data" / "tiny").iterdir()}
    weights = (folder / "best.pth").read_bytes()
    path = tmp_path / "odd.pth"
    overrides = {"data_path": str(data_path), "cache_dir": str(tmp_path / "cache")}
    with quiet():
        right = Recommender.from_checkpoint(folder / "best.pth").recommend([one.items for one in HISTORIES])

    def attempt(draw):
        for name, content in sound.items():
            (text.parent / name).write_bytes(content)
        path.write_bytes(weights)
        target = draw.choice((path, path, text))
        data, ways = damaged(target.read_bytes(), draw, TEXTS if target == text else BYTES)
        target.write_bytes(data)

        def recommend():
            return Recommender.from_checkpoint(path, overrides).recommend([one.items for one in HISTORIES])

        def fault(result):
            if target == text:
                scores = [item.score for items in result for item in items]
                return None if np.isfinite(scores).all() else "a score that is not a number"
            return None if result == right else "other answers"

        # Of an item that only the damaged text knows, or of lost ones, the data's name is said.
        return Attempt(f"{target.name} {ways}", (str(path), str(text), "tiny"), recommend, fault)

    try_cases(record_property, "recommend, other files", 200, attempt)

"""1,500 damaged checkpoints of three kinds: refused, or read as what was written."""

from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from conftest import write_dataset
from fuzz.damage import GONE, changed, damaged, odd_value, places_in
from fuzz.trial import Attempt, quiet, try_cases
from support import built_run, folder_of, numbers

from recbole_mpo.quick_start.evaluate import evaluate_checkpoint
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.trainer.checkpoint import HASH_KEY, load_checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
SHARED = {"show_progress": False, "use_gpu": False, "epochs": 2, "train_batch_size": 4000, "hidden_size": 8, "seed": 7}
TEXT = {**SHARED, "text_encoder": "tfidf-svd", "inner_size": 8, "n_exps": 2, "n_layers": 1}
IDS = {**SHARED, "item_input": "id", "dilations": [1, 4]}
KINDS = {"MPORec": TEXT, "PeterRec": IDS, "SASRec": {**SHARED, "inner_size": 8, "n_layers": 1}}
TENSORS = (torch.zeros(3), torch.zeros(0), torch.zeros(2, 2, dtype=torch.uint8), torch.tensor(torch.nan))


class Trained(NamedTuple):
    """A finished run.

    Attributes:
        model: its name.
        settings: its settings.
        folder: its folder.
        record: its record.
    """

    model: str
    settings: dict
    folder: Path
    record: dict

    def go_on(self) -> dict:
        """Return the record of the run, resumed for one epoch more."""
        settings = {**self.settings, "epochs": 3}
        return run(self.model, "tiny", (), settings, resume=str(self.folder))


@pytest.fixture(scope="module", params=KINDS)
def trained(request, tmp_path_factory) -> Trained:
    root = tmp_path_factory.mktemp(request.param)
    write_dataset(root / "data")
    places = {"data_path": str(root / "data"), "checkpoint_dir": str(root / "saved"), "cache_dir": str(root / "cache")}
    settings = {**KINDS[request.param], **places}
    if request.param != "MPORec":
        del settings["cache_dir"]
    with quiet():
        record = run(request.param, "tiny", (), settings)
    return Trained(request.param, settings, folder_of(record), record)


def equal(one, other) -> bool:
    """Return whether nested data are equal, tensors bit by bit."""
    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and one.shape == other.shape and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == other


def test_damaged_bytes_are_noticed(trained, record_property):
    path = trained.folder / "fuzzed.pth"
    contents = {name: (trained.folder / name).read_bytes() for name in ("best.pth", "last.pth")}
    states = {name: load_checkpoint(trained.folder / name) for name in contents}

    def attempt(draw):
        name = draw.choice(sorted(contents))
        data, ways = damaged(contents[name], draw)
        path.write_bytes(data)

        def fault(state):
            return None if equal(state, states[name]) else "other content"

        return Attempt(f"{name} {ways}", (str(path),), lambda: load_checkpoint(path), fault)

    try_cases(record_property, f"checkpoints, bytes, {trained.model}", 300, attempt)


def restore(trained: Trained, contents: dict[str, bytes]):
    for name, content in contents.items():
        (trained.folder / name).write_bytes(content)


def test_other_content_is_refused(trained, record_property):
    """Files that torch wrote with sound checksums, in which one part is another value or missing.

    A third of them have no hash of the content, as those of older versions; of these another figure goes unnoticed.
    """
    path = trained.folder / "last.pth"
    contents = {name: (trained.folder / name).read_bytes() for name in ("last.pth", "best.pth", "record.json")}
    state = torch.load(path, weights_only=True)
    places = [place for place in places_in(state) if place != (HASH_KEY,)]
    with quiet():
        right = {"evaluate": evaluate_checkpoint(path), "resume": numbers(trained.go_on())}

    def attempt(draw):
        restore(trained, contents)
        place, value, is_old = draw.choice(places), odd_value(draw, TENSORS), draw.random() < 1 / 3
        other = changed(state, place, value)
        torch.save({key: entry for key, entry in other.items() if not is_old or key != HASH_KEY}, path)
        way = draw.choice(("evaluate", "resume", "start"))
        do = {"evaluate": lambda: evaluate_checkpoint(path), "resume": trained.go_on, "start": start}[way]

        def fault(result):
            if is_old or way == "start" or equal(numbers(result) if way == "resume" else result, right[way]):
                return None
            return "other figures"

        what = f"{way}{' old' * is_old} {place} {'gone' if value is GONE else repr(value)}"[:200]
        # What a stored setting may be is said of the setting.
        return Attempt(what, (str(path), str(trained.folder), *map(str, place[1:])), do, fault)

    def start():
        return built_run(trained.model, "tiny", (), {**trained.settings, "pretrained": str(path)}).model

    try_cases(record_property, f"checkpoints, content, {trained.model}", 200, attempt)

"""1,200 damaged records and ranks: refused, or shown as one row of a table; damaged ranks are never read."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import write_dataset
from fuzz.damage import TEXTS, changed, damaged, odd_value, places_in
from fuzz.trial import Attempt, quiet, try_cases
from support import folder_of

from recbole_mpo.common.terminal import has_control_characters
from recbole_mpo.quick_start.experiment import Experiment
from recbole_mpo.quick_start.record import read_ranks, read_record
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.quick_start.resume import find_resume
from recbole_mpo.study.table import make_table

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
RESULTS = Path(__file__).resolve().parents[2] / "results" / "scientific"
FORMS = {"markdown": 2, "csv": 1, "text": 2}


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder with a committed record and the first rows of its ranks."""
    target = tmp_path / "run"
    target.mkdir()
    shutil.copy(RESULTS / "UniSRec" / "record.json", target)
    with np.load(RESULTS / "UniSRec" / "ranks.npz") as ranks:
        np.savez_compressed(target / "ranks.npz", **{name: ranks[name][:80] for name in ranks.files})
    return target


def lines_of_table(folder: Path, form: str, mix: bool) -> tuple[str, str]:
    return make_table([str(folder), str(RESULTS / "MPORec")], form, mix=mix), form


def fault_of_table(result: tuple[str, str]) -> str | None:
    """Return what is wrong with a table of two runs."""
    table, form = result
    table.encode()
    if any(has_control_characters(line) for line in table.splitlines()):
        return "control characters"
    rows = len(table.removesuffix("\n").split("\n")) - FORMS[form]
    return None if rows == 2 else f"{rows} rows:\n{table[-600:]}"


def test_records(folder, record_property):
    path = folder / "record.json"
    data, record = path.read_bytes(), read_record(path)
    places = list(places_in(record, depth=3))

    def attempt(draw):
        if draw.random() < 0.4:
            changed_data, what = damaged(data, draw, TEXTS)
            path.write_bytes(changed_data)
        else:
            place, value = draw.choice(places), odd_value(draw)
            what = f"{place} {value!r}"[:200]
            path.write_text(json.dumps(changed(record, place, value), default=str))
        form, mix = draw.choice(sorted(FORMS)), draw.random() < 0.7
        # Records that are not comparable are named by their runs' folders or models.
        names = (str(folder), "--mix", "UniSRec")
        return Attempt(f"{form} mix={mix} {what}", names, lambda: lines_of_table(folder, form, mix), fault_of_table)

    try_cases(record_property, "records, tables", 600, attempt)


def test_ranks(folder, record_property):
    path = folder / "ranks.npz"
    data, sound = path.read_bytes(), {split: read_ranks(path, split) for split in ("valid", "test")}

    def attempt(draw):
        changed_data, ways = damaged(data, draw)
        path.write_bytes(changed_data)
        split = draw.choice(sorted(sound))

        def fault(columns):
            right = sound[split]
            is_same = columns.keys() == right.keys() and all(np.array_equal(columns[key], right[key]) for key in right)
            return None if is_same else "other ranks"

        return Attempt(ways, (str(path),), lambda: read_ranks(path, split), fault)

    try_cases(record_property, "records, ranks", 450, attempt)


def test_a_neighbour_with_a_damaged_record_is_stepped_over(tmp_path, record_property):
    """``--resume=auto`` finds the unfinished run, whatever lies beside it."""
    write_dataset(tmp_path / "data", users=12, items=10)
    settings = {"show_progress": False, "use_gpu": False, "epochs": 1, "hidden_size": 8, "inner_size": 8, "n_layers": 1}
    settings |= {"data_path": str(tmp_path / "data"), "checkpoint_dir": str(tmp_path / "saved")}
    with quiet():
        unfinished = folder_of(run("SASRec", "tiny", (), settings))
    record = json.loads((unfinished / "record.json").read_text())
    places = list(places_in(record, depth=2))
    path = unfinished / "record.json"
    path.write_text(json.dumps({**record, "status": "failed"}))
    neighbour = unfinished.with_name(unfinished.name + "-neighbour")
    shutil.copytree(unfinished, neighbour)

    def attempt(draw):
        if draw.random() < 0.5:
            changed_data, what = damaged(path.read_bytes(), draw, TEXTS)
            (neighbour / "record.json").write_bytes(changed_data)
        else:
            place, value = draw.choice(places), odd_value(draw)
            what = f"{place} {value!r}"[:200]
            (neighbour / "record.json").write_text(json.dumps(changed(record, place, value), default=str))
        return Attempt(what, (str(neighbour),), find, fault)

    def find():
        return find_resume(Experiment.of("SASRec", "tiny", (), {**settings, "epochs": 2}), "auto")

    def fault(found):
        return None if found in (unfinished / "last.pth", neighbour / "last.pth") else f"found {found}"

    try_cases(record_property, "records, neighbours", 150, attempt, never_refused=True)

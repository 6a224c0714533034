"""100 processes killed at random moments of all they do: nothing finished is lost, and the results are bit-equal."""

import json
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from conftest import write_dataset
from fuzz.commands import in_parallel, is_killed_after, run_command
from fuzz.trial import SHARE, quiet, report
from support import folder_of, numbers

from recbole_mpo.data.histories import read_dataset_histories
from recbole_mpo.data.prepare.whole_folder import is_there
from recbole_mpo.quick_start.record import read_ranks, read_record
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.text.feature_files import read_safetensors
from recbole_mpo.trainer.checkpoint import load_checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
IN_A_ROW = 5
SETTINGS = {"show_progress": "false", "use_gpu": "false", "hidden_size": "8", "inner_size": "8", "n_exps": "2"}
TEXT = {**SETTINGS, "n_layers": "1", "text_encoder": "tfidf-svd", "seed": "7", "train_batch_size": "64"}


class Job(NamedTuple):
    """A command that is killed and given again.

    Attributes:
        arguments: the command, the same each time.
        prepare: makes what the command needs in a folder.
        check: checks, after a kill, that what is there is whole; returns how far the work has come.
        results: reads what the finished command made, as data that compare with ``==``.
    """

    arguments: list[str]
    prepare: Callable[[Path], None]
    check: Callable[[Path], int]
    results: Callable[[Path, str], dict]


def options(settings: dict) -> list[str]:
    return [f"--{key}={value}" for key, value in settings.items()]


def bits(array) -> tuple:
    """Return an array or tensor so that ``==`` compares every bit."""
    array = array.numpy() if isinstance(array, torch.Tensor) else array
    return array.dtype.str, array.shape, np.ascontiguousarray(array).tobytes()


def make_data(folder: Path, users: int = 40, items: int = 30):
    write_dataset(folder / "data", users=users, items=items)


def runs_in(folder: Path) -> list[Path]:
    return [path for path in (folder / "saved").glob("*") if path.is_dir()]


def check_runs(folder: Path) -> int:
    """Check that each file of each run is whole; return the number of epochs that are safe."""
    epochs = 0
    for path in runs_in(folder):
        for name in ("best.pth", "last.pth"):
            if (path / name).exists():
                epochs = max(epochs, load_checkpoint(path / name)["epoch"] + 1)
        if (path / "record.json").exists():
            read_record(path)
        if (path / "ranks.npz").exists():
            read_ranks(path / "ranks.npz", "test")
    return epochs


def results_of_training(folder: Path, _) -> dict:
    # A run that was killed before its first epoch was saved is left behind: a new one took up the work.
    records = {path: read_record(path) for path in runs_in(folder) if (path / "record.json").is_file()}
    # One that was killed when all was written is finished, and the same command makes another one, which is equal.
    finished, *others = [path for path, record in records.items() if record["status"] == "completed"]
    assert all(numbers(records[path]) == numbers(records[finished]) for path in others)
    weights = load_checkpoint(finished / "best.pth")["state_dict"]
    ranks = {split: read_ranks(finished / "ranks.npz", split) for split in ("valid", "test")}
    return {
        "record": numbers(read_record(finished)),
        "weights": {name: bits(weight) for name, weight in weights.items()},
        "ranks": {split: {name: bits(column) for name, column in ranks[split].items()} for split in ranks},
    }


TRAINING = Job(
    ["run", "--model=MPORec", "--dataset=tiny", "--data_path=data", "--checkpoint_dir=saved", "--cache_dir=cache"]
    + options({**TEXT, "epochs": 12, "resume": "auto"}),
    make_data,
    check_runs,
    results_of_training,
)


def make_trained(folder: Path):
    """Train a run in ``run``, without the cache that its evaluation would use."""
    make_data(folder, users=400, items=200)
    settings = {key: json.loads(value) if value != "tfidf-svd" else value for key, value in TEXT.items()}
    places = {"data_path": str(folder / "data"), "checkpoint_dir": str(folder / "saved")}
    with quiet():
        record = run("MPORec", "tiny", (), {**settings, **places, "cache_dir": str(folder / "other"), "epochs": 1})
    folder_of(record).rename(folder / "run")


def check_trained(folder: Path) -> int:
    read_ranks(folder / "run" / "ranks.npz", "test")
    return load_checkpoint(folder / "run" / "best.pth")["epoch"]


def results_of_evaluation(folder: Path, out: str) -> dict:
    record = read_record(folder / "run")
    figures = {split: {name: f"{value:.6f}" for name, value in record[split].items()} for split in ("valid", "test")}
    lines = [f"{split}: " + "  ".join(f"{name} {value}" for name, value in figures[split].items()) for split in figures]
    assert out.splitlines() == lines
    return {"out": out, "weights": (folder / "run" / "best.pth").stat().st_size}


EVALUATION = Job(
    ["evaluate", "--checkpoint=run/best.pth", "--data_path=data", "--cache_dir=cache"],
    make_trained,
    check_trained,
    results_of_evaluation,
)


def results_of_encoding(folder: Path, _) -> dict:
    manifest = json.loads((folder / "cache/tiny/tfidf-svd.json").read_text())
    return {"manifest": manifest, "features": bits(read_safetensors(folder / "cache/tiny/tfidf-svd.safetensors"))}


ENCODING = Job(
    ["run", "--model=UniSRec", "--dataset=tiny", "--data_path=data", "--checkpoint_dir=saved", "--cache_dir=cache"]
    + options({**TEXT, "dry_run": "true"}),
    lambda folder: make_data(folder, users=200, items=8000),
    check_runs,
    results_of_encoding,
)


def make_tables(folder: Path):
    draw = random.Random(1)
    rows = [f"u{draw.randrange(900)},i{draw.randrange(300)},{1_600_000_000 + n}" for n in range(60_000)]
    (folder / "shop.csv").write_text("\n".join(["user,item,time", *rows]) + "\n")
    (folder / "items.csv").write_text("item,title\n" + "".join(f"i{n},Lamp no. {n}\n" for n in range(300)))


def check_prepared(folder: Path) -> int:
    """An interaction file says that the dataset is whole."""
    if not is_there(folder / "dataset", "shop"):
        return 0
    assert len(read_dataset_histories(folder / "dataset", "shop").items) > 50_000
    return len((folder / "dataset/shop/shop.text").read_text().splitlines()) == 301


PREPARING = Job(
    ["prepare", "shop", "--interactions=shop.csv", "--items=items.csv", "--user=user", "--item=item", "--time=time"]
    + ["--text=title", "--overwrite=true"],
    make_tables,
    check_prepared,
    lambda folder, _: {name: (folder / "dataset/shop" / name).read_bytes() for name in ("shop.inter", "shop.text")},
)
JOBS = {"training": (40, TRAINING), "evaluation": (20, EVALUATION)}
JOBS |= {"encoding": (20, ENCODING), "preparing": (20, PREPARING)}


def leftovers(folder: Path) -> list[str]:
    """Return temporary files and folders."""
    hidden_folders = [path for path in folder.rglob(".*") if path.is_dir()]
    return [str(path) for path in (*hidden_folders, *folder.rglob("*.part"), *folder.rglob("*.partial"))]


def killed_until_done(
    job: Job, name: str, sequence: int, prepared: Path, folder: Path, seconds: float
) -> tuple[int, dict]:
    """Kill a job several times in a row and let it end; return the number of kills, and the results."""
    draw = random.Random(f"{name} {sequence}")
    shutil.copytree(prepared, folder)
    kills = far = 0
    while kills < IN_A_ROW and is_killed_after(draw.uniform(0, seconds), job.arguments, folder):
        kills += 1
        before, far = far, job.check(folder)
        assert far >= before, f"{name} {sequence}: {far} after kill {kills}, {before} before"
    # Also if the last one ended before its kill: given again, an ended command changes nothing of its results.
    done = run_command(job.arguments, folder)
    assert done.code == 0, done.said
    assert not leftovers(folder), f"{name} {sequence}"
    return kills, job.results(folder, done.out)


@pytest.mark.parametrize("name", JOBS)
def test_nothing_is_lost_and_results_are_equal(tmp_path, record_property, name):
    count, job = JOBS[name]
    prepared, undisturbed = tmp_path / "prepared", tmp_path / "undisturbed"
    prepared.mkdir()
    job.prepare(prepared)
    shutil.copytree(prepared, undisturbed)
    began = time.perf_counter()
    done = run_command(job.arguments, undisturbed)
    seconds = time.perf_counter() - began
    assert done.code == 0, done.said
    right = job.results(undisturbed, done.out)
    kills = sequences = 0
    while kills < count * SHARE:
        missing = -(-round(count * SHARE - kills) // IN_A_ROW)
        numbers_of = range(sequences, sequences + max(1, missing))
        sequences += len(numbers_of)

        def one(number: int):
            return killed_until_done(job, name, number, prepared, tmp_path / str(number), seconds)

        for number, (some, results) in zip(numbers_of, in_parallel(one, numbers_of), strict=True):
            kills += some
            assert results == right, f"{name} {number}"
    total = time.perf_counter() - began
    report(record_property, f"kills, {name}", kills, sequences=sequences, seconds=total, undisturbed_seconds=seconds)

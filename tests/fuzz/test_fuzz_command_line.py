"""200 damaged files and odd arguments through the command line: exit code 0, or 2 with one line; no traceback."""

import random
import shutil
import time
from pathlib import Path

import pytest
from conftest import write_dataset
from fuzz.commands import in_parallel, run_command
from fuzz.damage import BYTES, FRAGMENTS, TEXTS, damaged
from fuzz.trial import ONLY, SHARE, quiet, report
from support import folder_of

from recbole_mpo.quick_start.recorded_run import run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
ODD = ("null", "", "-1", "0", "1e400", "nan", "[[", "{a: 1}", "..", "/", "\x1b[2J", "é", "x" * 5000, "a b", "=1+1")


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    """A folder with data, tables, histories, settings and a run."""
    root = tmp_path_factory.mktemp("sound")
    write_dataset(root / "data", users=12, items=10)
    settings = {"show_progress": False, "use_gpu": False, "epochs": 1, "hidden_size": 8, "inner_size": 8, "n_exps": 2}
    settings |= {"n_layers": 1, "text_encoder": "tfidf-svd"}
    places = {"data_path": str(root / "data"), "checkpoint_dir": str(root / "saved"), "cache_dir": str(root / "cache")}
    with quiet():
        folder_of(run("MPORec", "tiny", (), {**settings, **places})).rename(root / "run")
    (root / "settings.yaml").write_text("".join(f"{key}: {value}\n" for key, value in settings.items()))
    rows = [f"u{n % 7},i{n % 5},{1_600_000_000 + n},5" for n in range(60)]
    (root / "shop.csv").write_text("\n".join(["user,item,time,stars", *rows]) + "\n")
    (root / "items.csv").write_text("item,title\n" + "".join(f'i{n},"A lamp, no. {n}"\n' for n in range(5)))
    (root / "histories.csv").write_text("user_id,item_id\nu1,i1\nu1,i2\nu2,i3\n")
    return root


# The arguments, the files to damage, and options that may have an odd value.
COMMANDS = {
    "inspect": (45, "tiny --data_path=data", ("data/tiny/tiny.inter", "data/tiny/tiny.text"), "users encoding page"),
    "prepare": (
        55,
        "shop --data_path=new --interactions=shop.csv --items=items.csv --user=user --item=item --time=time "
        "--text=title --k_core=0 --min_length=1",
        ("shop.csv", "items.csv"),
        "k_core min_length split split_ratio separator encoding time_format min_rating layout time text order",
    ),
    "table": (30, "run", ("run/record.json", "run/ranks.npz"), "format metrics mix reference published"),
    "recommend": (
        20,
        "--checkpoint=run/best.pth --histories=histories.csv --data_path=data --cache_dir=cache",
        ("histories.csv", "run/best.pth", "data/tiny/tiny.text"),
        "topk format items hidden_size",
    ),
    "evaluate": (
        20,
        "--checkpoint=run/last.pth --data_path=data --cache_dir=cache",
        ("run/last.pth", "data/tiny/tiny.inter", "cache/tiny/tfidf-svd.safetensors"),
        "topk metrics eval_mode encoding",
    ),
    "run": (
        30,
        "--model=MPORec --dataset=tiny --config_files=settings.yaml --data_path=data --cache_dir=cache --dry_run=true",
        ("settings.yaml", "data/tiny/tiny.inter", "data/tiny/tiny.text"),
        "model dataset seed learning_rate topk metrics eval_args resume pretrained feature_file mpo_num_cores",
    ),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_ends_with_0_or_with_one_line(sound, tmp_path, record_property, name):
    count, arguments, files, options = COMMANDS[name]
    outcomes, faults, begin = {"accepted": 0, "refused": 0}, {}, time.perf_counter()

    def try_one(number: int):
        draw = random.Random(f"{name} {number}")
        folder = tmp_path / str(number)
        shutil.copytree(sound, folder)
        given = arguments.split()
        if draw.random() < 0.3:
            value = draw.choice((*ODD, *(text.decode("utf-8", "replace") for text in FRAGMENTS))).replace("\0", "")
            given.append(what := f"--{draw.choice(options.split())}={value[:10_000]}")
        else:
            path = folder / draw.choice(files)
            data, ways = damaged(path.read_bytes(), draw, BYTES if path.suffix in (".pth", ".npz") else TEXTS)
            path.write_bytes(data)
            what = f"{path.name} {ways}"
        done = run_command([name, *given], folder)
        shutil.rmtree(folder)
        return number, what, done

    for number, what, done in in_parallel(try_one, [int(ONLY)] if ONLY else range(max(2, round(count * SHARE)))):
        *before, last = done.said.removesuffix("\n").split("\n")
        if "Traceback" in done.out + done.said or done.code not in (0, 2):
            faults[number] = f"{what[:200]}: code {done.code}: {done.said[-600:]}"
        elif done.code == 2 and (not last.startswith("error: ") or any(line.startswith("error: ") for line in before)):
            faults[number] = f"{what[:200]}: not one line: {done.said[-600:]}"
        else:
            outcomes["refused" if done.code else "accepted"] += 1
    cases = sum(outcomes.values()) + len(faults)
    seconds = time.perf_counter() - begin
    report(record_property, f"command line, {name}", cases, **outcomes, faults=len(faults), seconds=seconds)
    if faults:
        pytest.fail("\n".join(f"FUZZ_ONLY={number}: {fault}" for number, fault in faults.items()), pytrace=False)


def test_there_are_200():
    assert sum(command[0] for command in COMMANDS.values()) == 200

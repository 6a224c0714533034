"""A run that was killed goes on as if it never had been."""

import json
import os
import platform
import signal
import subprocess
import sys
import time

import psutil
import pytest
import torch

from recbole_mpo.common.errors import CheckpointError, ConfigError
from recbole_mpo.data.prepare.ml100k import prepare_ml100k
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.release.merge import merge_checkpoint


def comparable(record):
    return {key: record[key] for key in ("valid", "test", "best_epoch", "epochs_run")} | {
        "history": [(epoch["epoch"], epoch["train_loss"], epoch["valid"]) for epoch in record["history"]]
    }


def weights(folder):
    return torch.load(folder / "last.pth", weights_only=True)["state_dict"]


@pytest.mark.parametrize("overrides", [{}, {"train_mode": "pairwise"}, {"mpo_expand": 2}])
def test_resumed_run_is_bit_identical(tiny_settings, tmp_path, overrides):
    model = "MPORecExpand" if overrides.get("mpo_expand") else "MPORec"
    settings = {**tiny_settings, **overrides}
    whole = run(model, "tiny", (), {**settings, "epochs": 4, "checkpoint_dir": str(tmp_path / "whole")})
    first = run(model, "tiny", (), {**settings, "epochs": 2, "checkpoint_dir": str(tmp_path / "parts")})
    folder = tmp_path / "parts" / first["run_id"]
    resumed = run(
        model, "tiny", (), {**settings, "epochs": 4, "checkpoint_dir": str(tmp_path / "parts")}, resume=str(folder)
    )
    assert comparable(resumed) == comparable(whole)
    assert resumed["run_id"] == first["run_id"]
    whole_weights = weights(tmp_path / "whole" / whole["run_id"])
    assert all(torch.equal(value, whole_weights[name]) for name, value in weights(folder).items())


def write_ml100k_subset(tmp_path, users=60):
    folder = prepare_ml100k(tmp_path / "data")
    path = folder / "ml-100k.inter"
    header, *rows = path.read_text().splitlines()
    rows = [row for row in rows if int(row.split("\t")[0]) <= users]
    path.write_text("\n".join([header, *rows]) + "\n")


def command(tmp_path, saved, *extra):
    return [
        *(sys.executable, "-m", "recbole_mpo", "run", "--model=MPORec", "--dataset=ml-100k"),
        *(f"--data_path={tmp_path / 'data'}", f"--checkpoint_dir={tmp_path / saved}"),
        *(f"--cache_dir={tmp_path / 'cache'}", "--text_encoder=tfidf-svd", "--show_progress=false"),
        *("--epochs=6", "--train_batch_size=512", "--hidden_size=32", "--inner_size=32", "--use_gpu=false"),
        *extra,
    ]


def read_only_record(folder):
    (path,) = folder.glob("*/record.json")
    return json.loads(path.read_text())


def test_killed_in_mid_epoch_and_resumed(tmp_path):
    """SIGKILL after the second epoch's checkpoint, while the third epoch trains."""
    write_ml100k_subset(tmp_path)
    subprocess.run(command(tmp_path, "whole"), check=True, capture_output=True)
    killed = subprocess.Popen(command(tmp_path, "killed"), stdout=subprocess.PIPE, text=True)
    for line in killed.stdout:
        if line.startswith("epoch 1 evaluating"):
            break
    (folder,) = (tmp_path / "killed").iterdir()
    deadline = time.monotonic() + 60
    while not ((folder / "last.pth").exists() and saved_epoch(folder) >= 1):
        assert time.monotonic() < deadline, "no checkpoint after the second epoch"
        time.sleep(0.01)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    killed.stdout.close()
    assert read_only_record(tmp_path / "killed")["status"] == "running"
    done = subprocess.run(
        command(tmp_path, "killed", "--resume=auto"), check=True, capture_output=True, text=True
    )
    assert "at epoch 2" in done.stdout or "at epoch 3" in done.stdout
    resumed, whole = read_only_record(tmp_path / "killed"), read_only_record(tmp_path / "whole")
    assert resumed["status"] == "completed"
    assert comparable(resumed) == comparable(whole)


def saved_epoch(folder):
    return torch.load(folder / "last.pth", weights_only=True)["epoch"]


def test_finished_run_is_not_trained_again(tiny_settings, tmp_path):
    first = run("UniSRec", "tiny", (), tiny_settings)
    again = run("UniSRec", "tiny", (), tiny_settings, resume=str(tmp_path / "saved" / first["run_id"]))
    assert comparable(again) == comparable(first)


def test_other_settings_are_refused(tiny_settings, tmp_path):
    first = run("UniSRec", "tiny", (), {**tiny_settings, "epochs": 1})
    folder = str(tmp_path / "saved" / first["run_id"])
    with pytest.raises(ConfigError, match="other settings.*learning_rate was 0.001, is 0.01"):
        run("UniSRec", "tiny", (), {**tiny_settings, "learning_rate": 0.01}, resume=folder)
    with pytest.raises(ConfigError, match="model was 'UniSRec', is 'MPORec'"):
        run("MPORec", "tiny", (), tiny_settings, resume=folder)


def interrupted(tiny_settings, tmp_path, process):
    """A run of two epochs made to look interrupted after them; its folder."""
    record = run("UniSRec", "tiny", (), tiny_settings)
    folder = tmp_path / "saved" / record["run_id"]
    record = {**record, "status": "running", "process": process}
    (folder / "record.json").write_text(json.dumps(record))
    return folder


def test_auto_continues_the_run_of_a_process_that_is_gone(tiny_settings, tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    folder = interrupted(tiny_settings, tmp_path, {"pid": gone.pid, "host": platform.node(), "started": 0.0})
    continued = run("UniSRec", "tiny", (), {**tiny_settings, "epochs": 3}, resume="auto")
    assert (continued["run_id"], continued["epochs_run"]) == (folder.name, 3)


def test_auto_leaves_a_run_alone_that_another_process_trains(tiny_settings, tmp_path):
    parent = psutil.Process(os.getppid())
    process = {"pid": parent.pid, "host": platform.node(), "started": parent.create_time()}
    folder = interrupted(tiny_settings, tmp_path, process)
    with pytest.raises(ConfigError, match=f"is still training, in process {parent.pid}"):
        run("UniSRec", "tiny", (), {**tiny_settings, "epochs": 3}, resume=str(folder))
    other = run("UniSRec", "tiny", (), {**tiny_settings, "epochs": 3}, resume="auto")
    assert other["run_id"] != folder.name


def test_dry_run_and_resume_exclude_each_other(tiny_settings):
    with pytest.raises(ConfigError, match="give one of them"):
        run("UniSRec", "tiny", (), tiny_settings, resume="auto", dry_run=True)


def test_a_refused_resume_leaves_the_record_as_it_was(tiny_settings, tiny_path, tmp_path):
    first = run("UniSRec", "tiny", (), tiny_settings)
    folder = tmp_path / "saved" / first["run_id"]
    before = (folder / "record.json").read_text()
    text = tiny_path / "tiny" / "tiny.text"
    text.write_text(text.read_text().replace("number 3.", "number three."))
    with pytest.raises(CheckpointError, match=r"was trained on other data: tiny\.text changed since"):
        run("UniSRec", "tiny", (), {**tiny_settings, "epochs": 3}, resume=str(folder))
    assert (folder / "record.json").read_text() == before


def test_weights_alone_cannot_be_resumed(tiny_settings, tmp_path):
    first = run("MPORec", "tiny", (), tiny_settings)
    merge_checkpoint(tmp_path / "saved" / first["run_id"] / "best.pth", tmp_path / "dense.pth")
    with pytest.raises(CheckpointError, match="holds weights alone; start a new run from them with --pretrained"):
        run("UniSRec", "tiny", (), tiny_settings, resume=str(tmp_path / "dense.pth"))


def test_auto_starts_anew_where_nothing_is_unfinished(tiny_settings, capsys):
    first = run("UniSRec", "tiny", (), {**tiny_settings, "epochs": 1})
    second = run("UniSRec", "tiny", (), {**tiny_settings, "epochs": 1}, resume="auto")
    assert first["run_id"] != second["run_id"]
    assert "No unfinished run" in capsys.readouterr().out

"""Which run goes on and whether it may; and that a run that was killed goes on as if it never had been."""

import json
import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from support import folder_of

from recbole_mpo.common.errors import CheckpointError, ConfigError, RecordError
from recbole_mpo.data.prepare.ml100k import prepare_ml100k
from recbole_mpo.quick_start.experiment import Experiment
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.quick_start.resume import FREE_ON_RESUME, find_resume
from recbole_mpo.quick_start.run_folder import this_process, training_in
from recbole_mpo.release.merge import merge_checkpoint
from recbole_mpo.trainer import checkpoint
from recbole_mpo.trainer.random_state import rng_state


def comparable(record):
    return {key: record[key] for key in ("valid", "test", "best_epoch", "epochs_run")} | {
        "history": [(epoch["epoch"], epoch["train_loss"], epoch["valid"]) for epoch in record["history"]]
    }


def ml100k_subset(tmp_path, users=12):
    """Write the first users of ml-100k; return the settings of a short run on it."""
    folder = prepare_ml100k(tmp_path / "data")
    path = folder / "ml-100k.inter"
    header, *rows = path.read_text().splitlines()
    rows = [row for row in rows if int(row.split("\t")[0]) <= users]
    path.write_text("\n".join([header, *rows]) + "\n")
    return {
        "data_path": str(tmp_path / "data"),
        "cache_dir": str(tmp_path / "cache"),
        "text_encoder": "tfidf-svd",
        "show_progress": False,
        "use_gpu": False,
        "epochs": 4,
        "train_batch_size": 256,
        "hidden_size": 32,
        "inner_size": 32,
        "n_exps": 2,
    }


def command(settings):
    values = [f"--{key}={value}" for key, value in settings.items()]
    return [sys.executable, "-m", "recbole_mpo", "run", "--model=MPORec", "--dataset=ml-100k", *values]


def read_only_record(folder):
    (path,) = folder.glob("*/record.json")
    return json.loads(path.read_text())


def test_killed_in_mid_epoch_and_resumed(tmp_path, capsys):
    """SIGKILL after the second epoch's checkpoint, while the third epoch trains; another process goes on."""
    settings = ml100k_subset(tmp_path)
    whole = run("MPORec", "ml-100k", (), {**settings, "checkpoint_dir": str(tmp_path / "whole")})
    settings["checkpoint_dir"] = str(tmp_path / "killed")
    killed = subprocess.Popen(command(settings), stdout=subprocess.PIPE, text=True)
    for line in killed.stdout:
        if line.startswith("epoch 1 "):
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
    capsys.readouterr()
    run("MPORec", "ml-100k", (), settings, resume="auto")
    said = capsys.readouterr().out
    assert "at epoch 2" in said or "at epoch 3" in said
    resumed = read_only_record(tmp_path / "killed")
    assert resumed["status"] == "completed"
    assert comparable(as_written(resumed)) == comparable(as_written(whole))


def as_written(record):
    """A record as JSON has it."""
    return json.loads(json.dumps(record))


def saved_epoch(folder):
    return torch.load(folder / "last.pth", weights_only=True)["epoch"]


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
    with pytest.raises(CheckpointError, match="holds only weights; start a new run from them with --pretrained"):
        run("UniSRec", "tiny", (), tiny_settings, resume=str(tmp_path / "dense.pth"))


def test_auto_starts_anew_where_nothing_is_unfinished(tiny_settings, capsys):
    first = run("UniSRec", "tiny", (), {**tiny_settings, "epochs": 1})
    second = run("UniSRec", "tiny", (), {**tiny_settings, "epochs": 1}, resume="auto")
    assert first["run_id"] != second["run_id"]
    assert "No unfinished run" in capsys.readouterr().out


class TestFindResume:
    """On folders written by hand, of which nothing is trained."""

    @pytest.fixture
    def wanted(self, tiny_settings):
        return Experiment.of("UniSRec", "tiny", (), tiny_settings)

    @pytest.fixture
    def write(self, wanted):
        """Writes a run's folder; keywords change its settings, record and checkpoint."""
        numbers = iter(range(1, 100))

        def make(settings=None, record=None, state=None, status="failed"):
            number = next(numbers)
            folder = Path(wanted.config["checkpoint_dir"]) / f"UniSRec-tiny-{number}"
            folder.mkdir(parents=True)
            config = {**wanted.config.plain(), **(settings or {})}
            content = {
                "state_dict": {}, "optimizer": {"state": {}, "param_groups": []}, "config": config, "model": "UniSRec",
                "epoch": 0, "cur_step": 0, "best_valid_score": 0.0, "best_valid_result": None, "loader_rng": None,
                "history": [{"epoch": 0, "train_loss": 1.0, "train_seconds": 1.0}],
                "rng": rng_state(torch.device("cpu")), **(state or {}),
            }  # fmt: skip
            checkpoint.save_checkpoint(content, folder / "last.pth")
            data = {"files": wanted.file_hashes(), "item_num": 31, "targets": {"valid": 40, "test": 40}}
            content = {
                "status": status, "model": "UniSRec", "dataset": "tiny", "seed": 7, "item_input": "text",
                "params": {}, "valid": {}, "test": {}, "seconds": {}, "config": config, "data": data, **(record or {}),
            }  # fmt: skip
            (folder / "record.json").write_text(json.dumps(content), encoding="utf-8")
            os.utime(folder, (number, number))
            return folder

        return make

    def test_takes_a_folder_or_its_file(self, wanted, write):
        folder = write()
        for path in (folder, folder / "last.pth"):
            assert find_resume(wanted, str(path)) == folder / "last.pth"

    def test_takes_a_file_that_stands_alone(self, wanted, write, tmp_path):
        (write() / "last.pth").rename(tmp_path / "moved.pth")
        assert find_resume(wanted, "moved.pth") == Path("moved.pth")

    def test_auto_takes_the_newest_unfinished_run_of_these_settings(self, wanted, write):
        older, newer = write(), write()
        write(status="completed"), write(settings={"seed": 8})
        unfinished = write()
        (unfinished / "last.pth").unlink()
        lost = write()
        (lost / "record.json").unlink()
        for folder in (unfinished, lost):
            os.utime(folder, (200, 200))
        assert find_resume(wanted, "auto") == newer / "last.pth"
        os.utime(older, (300, 300))
        assert find_resume(wanted, "auto") == older / "last.pth"

    @pytest.mark.parametrize("key", sorted(FREE_ON_RESUME))
    def test_what_does_not_touch_the_numbers_may_differ(self, wanted, write, key):
        folder = write(settings={key: "other"})
        assert find_resume(wanted, str(folder)) == find_resume(wanted, "auto") == folder / "last.pth"

    def test_a_run_of_a_version_without_eval_history_kept_it(self, wanted, write, tiny_settings):
        folder = write()
        state = checkpoint.load_checkpoint(folder / "last.pth")
        del state["config"]["eval_history"]
        checkpoint.save_checkpoint(state, folder / "last.pth")
        assert find_resume(wanted, str(folder)) == folder / "last.pth"
        masked = Experiment.of("UniSRec", "tiny", (), {**tiny_settings, "eval_history": "masked"})
        with pytest.raises(ConfigError, match="eval_history was 'kept', is 'masked'"):
            find_resume(masked, str(folder))

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"seed": 8}, "seed was 8, is 7"),
            ({"eval_history": "masked"}, "eval_history was 'masked', is 'kept'"),
            ({"hidden_size": 8, "seed": 9}, "hidden_size was 8, is 16, seed was 9, is 7"),
            ({"strange": 1}, "strange was 1, is None"),
        ],
    )
    def test_other_settings_are_named(self, wanted, write, settings, message):
        folder = write(settings=settings)
        with pytest.raises(ConfigError, match=f"other settings, so it cannot be resumed: {message}"):
            find_resume(wanted, str(folder))
        assert find_resume(wanted, "auto") is None

    def test_weights_alone_are_refused(self, wanted, write):
        folder = write(state={"optimizer": None})
        with pytest.raises(CheckpointError, match="last.pth holds only weights; start a new run .* --pretrained"):
            find_resume(wanted, str(folder))

    def test_changed_files_are_named(self, wanted, write):
        hashes = {**wanted.file_hashes(), "tiny.text": "other"}
        folder = write(record={"data": {"files": hashes, "item_num": 31, "targets": {"valid": 40, "test": 40}}})
        with pytest.raises(CheckpointError, match=r"was trained on other data: tiny\.text changed since"):
            find_resume(wanted, str(folder))
        # A run that failed before its data were read says nothing of them.
        assert find_resume(wanted, str(write(record={"data": {}})))

    def test_a_run_that_another_process_trains_is_left_alone(self, wanted, write):
        parent = psutil.Process(os.getppid())
        process = {"pid": parent.pid, "host": platform.node(), "started": parent.create_time()}
        folder = write(status="running", record={"process": process})
        with pytest.raises(ConfigError, match=f"is still training, in process {parent.pid}"):
            find_resume(wanted, str(folder))
        assert find_resume(wanted, "auto") is None

    def test_a_folder_that_a_run_holds_is_left_alone(self, wanted, write, tiny_settings):
        folder = write()
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        with training_in(folder):
            assert find_resume(wanted, "auto") is None
            with pytest.raises(ConfigError, match=f"is still training, in process {os.getpid()}"):
                run("UniSRec", "tiny", (), tiny_settings, resume=str(folder))
        assert {name: (folder / name).read_bytes() for name in before} == before
        assert find_resume(wanted, "auto") == folder / "last.pth"

    @pytest.mark.parametrize("content", ["{", "[]", '{"status": "failed"}', "", "\udcff", '{"config": {"a": NaN}}'])
    def test_auto_steps_over_a_damaged_record_and_says_so(self, wanted, write, capsys, content):
        folder, damaged = write(), write()
        (damaged / "record.json").write_text(content, encoding="utf-8", errors="surrogateescape")
        assert find_resume(wanted, "auto") == folder / "last.pth"
        said = capsys.readouterr().out
        assert said.startswith(f"Not looked at: record {damaged / 'record.json'} ") and said.count("\n") == 1
        with pytest.raises(RecordError, match="record"):
            find_resume(wanted, str(damaged))

    @pytest.mark.parametrize("process", [None, "own"])
    def test_a_run_that_no_other_process_trains_goes_on(self, wanted, write, process):
        folder = write(status="running", record={"process": process and this_process()})
        assert find_resume(wanted, str(folder)) == find_resume(wanted, "auto") == folder / "last.pth"

    def test_what_is_no_checkpoint_is_named(self, wanted, tmp_path, capsys):
        with pytest.raises(CheckpointError, match=r"none\.pth does not exist"):
            find_resume(wanted, "none.pth")
        (tmp_path / "empty").mkdir()
        with pytest.raises(CheckpointError, match=r"empty.last\.pth does not exist"):
            find_resume(wanted, "empty")
        assert find_resume(wanted, "auto") is None
        assert capsys.readouterr().out == "No unfinished run with these settings; starting a new one.\n"


def test_a_falling_learning_rate_fixes_the_number_of_epochs(tiny_settings):
    """Its value in each epoch depends on how many there are."""
    settings = {**tiny_settings, "lr_schedule": "linear", "epochs": 1}
    folder = folder_of(run("MPORec", "tiny", (), settings))
    longer = Experiment.of("MPORec", "tiny", (), {**settings, "epochs": 3})
    with pytest.raises(ConfigError, match="other settings, so it cannot be resumed: epochs was 1, is 3"):
        find_resume(longer, str(folder))
    same = Experiment.of("MPORec", "tiny", (), settings)
    assert find_resume(same, str(folder)) == folder / "last.pth"


def test_a_run_of_a_version_without_a_setting_goes_on_with_its_default(tiny_settings):
    settings = {**tiny_settings, "epochs": 1}
    folder = folder_of(run("MPORec", "tiny", (), settings))
    state = checkpoint.load_checkpoint(folder / "last.pth")
    new = {"eval_history", "lr_schedule", "warmup_epochs", "tasks", "unisrec_compat", "held_out_users", "domains"}
    state["config"] = {key: value for key, value in state["config"].items() if key not in new}
    checkpoint.save_checkpoint(state, folder / "last.pth")
    longer = {**settings, "epochs": 2}
    assert find_resume(Experiment.of("MPORec", "tiny", (), longer), str(folder)) == folder / "last.pth"
    with pytest.raises(ConfigError, match="tasks was .*'nip'.*, is .*'si'"):
        find_resume(Experiment.of("MPORec", "tiny", (), {**longer, "tasks": ["nip", "si"]}), str(folder))


def test_a_run_that_trained_longer_than_asked_is_not_resumed(tiny_settings):
    record = run("UniSRec", "tiny", (), {**tiny_settings, "epochs": 3})
    with pytest.raises(ConfigError, match=r"has trained 3 epochs already, more than epochs=2; start a new run"):
        run("UniSRec", "tiny", (), {**tiny_settings, "epochs": 2}, resume=str(folder_of(record)))

"""Several processes compute what one does: losses, weights, ranks; and a job goes on after one of them was killed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sharded import shard_dataset

from recbole_mpo.common.errors import ConfigError, RecboleMPOError
from recbole_mpo.layers.ranks import ALONE, Ranks
from recbole_mpo.model.unisrec import UniSRec
from recbole_mpo.trainer import distributed

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port=0", "--standalone")
# Without noise, all processes together compute what one does.
QUIET = {"hidden_dropout_prob": 0, "attn_dropout_prob": 0, "adaptor_dropout_prob": 0, "noisy_gating": False}


def launch(processes, settings, model="MPORec", dataset="tiny", command="run", **more):
    values = {**settings, **more}
    start = TORCHRUN if processes == 2 else (sys.executable,)
    # torchrun takes -m for the module after it.
    words = [*start, "-m", "recbole_mpo", command, f"--model={model}"]
    words += [f"--dataset={dataset}"] if command == "run" else []
    words += [f"--{key}={value}" for key, value in values.items()]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def finish(process):
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0, output
    return output


def record_of(path):
    return json.loads(Path(path).read_text())


def curves(record):
    return [epoch["train_loss"] for epoch in record["history"]]


@pytest.fixture
def settings(tiny_settings):
    return {**tiny_settings, "epochs": 3, "learning_rate": 0.003, "train_batch_size": 40}


@pytest.mark.parametrize(
    "objective",
    [
        {"tasks": "nip,si,rel", "loss": "sampled", "sampled_items": 10, "task_weighting": "average"},
        pytest.param({"loss": "full", "clip_grad_norm": "{max_norm: 0.1}"}, marks=pytest.mark.slow),
        pytest.param({"loss": "chunked", "learner": "adamw", "weight_decay": 0.1}, marks=pytest.mark.slow),
    ],
)
def test_two_processes_compute_what_one_does(settings, objective):
    settings = {**settings, **QUIET, **objective}
    finish(launch(1, settings, record="one.json"))
    output = finish(launch(2, settings, record="two.json"))
    one, two = record_of("one.json"), record_of("two.json")
    assert curves(two) == pytest.approx(curves(one), rel=1e-5)
    assert two["test"] == pytest.approx(one["test"], abs=1e-6) and two["valid"] == pytest.approx(one["valid"], abs=1e-6)
    assert (one["processes"], two["processes"]) == (1, 2)
    for before, after in zip(one["history"], two["history"], strict=True):
        assert after.get("task_losses", {}) == pytest.approx(before.get("task_losses", {}), rel=1e-5)
    # The first process alone speaks and writes.
    assert output.count("best test:") == 1
    assert len(list(Path(settings["checkpoint_dir"]).iterdir())) == 2
    columns = [np.load(Path(settings["checkpoint_dir"]) / record["run_id"] / "ranks.npz") for record in (one, two)]
    assert all(np.array_equal(columns[0][name], columns[1][name]) for name in columns[0] if "user" in name)


@pytest.fixture
def sharded(settings):
    """Settings of runs on shards, of which one process has three and the other two; steps of few targets."""
    shard_dataset(settings["data_path"], parts=5)
    return {**settings, **QUIET, "train_batch_size": 16, "loss": "sampled", "sampled_items": 10}


@pytest.mark.parametrize(
    "objective",
    [
        {"eval_batch_size": 7},
        # Most steps of most processes have nothing.
        pytest.param({"train_batch_size": 1, "epochs": 1}, marks=pytest.mark.slow),
        pytest.param({"loss": "full", "tasks": "nip,si,rel"}, marks=pytest.mark.slow),
    ],
)
def test_two_processes_with_shards_of_their_own_compute_what_one_does(sharded, objective):
    finish(launch(1, sharded, dataset="shards", record="one.json", **objective))
    finish(launch(2, sharded, dataset="shards", record="two.json", **objective))
    one, two = record_of("one.json"), record_of("two.json")
    assert curves(two) == pytest.approx(curves(one), rel=1e-5)
    assert two["test"] == pytest.approx(one["test"], abs=1e-6) and two["valid"] == pytest.approx(one["valid"], abs=1e-6)
    assert one["data"] == two["data"] and (one["processes"], two["processes"]) == (1, 2)
    columns = [np.load(Path(sharded["checkpoint_dir"]) / record["run_id"] / "ranks.npz") for record in (one, two)]
    for name in columns[0]:
        assert np.array_equal(columns[0][name], columns[1][name]), name


@pytest.mark.slow
def test_a_job_on_shards_goes_on_with_another_number_of_processes(sharded):
    first = {**sharded, "checkpoint_dir": str(Path("stopped").absolute())}
    finish(launch(2, {**first, "epochs": 2}, dataset="shards"))
    (last,) = Path(first["checkpoint_dir"]).glob("*/last.pth")
    finish(launch(1, first, dataset="shards", resume=last, record="resumed.json"))
    finish(launch(1, sharded, dataset="shards", record="whole.json"))
    assert curves(record_of("resumed.json")) == pytest.approx(curves(record_of("whole.json")), rel=1e-5)
    assert record_of("resumed.json")["test"] == pytest.approx(record_of("whole.json")["test"], abs=1e-6)


def test_parts_and_collectives_are_those_of_the_whole():
    """One job runs all checks of ``together.py``, which needs no files."""
    command = [*TORCHRUN, str(Path(__file__).with_name("together.py"))]
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{root}{os.pathsep}{root / 'tests'}"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr


class TestAJobOfWhichOneProcessIsKilled:
    @pytest.fixture
    def killed(self, settings):
        """Kill the second process in the third epoch; return the settings."""
        settings = {**settings, "epochs": 5, "checkpoint_dir": str(Path("killed").absolute())}
        job = launch(2, settings)
        pids = []
        for line in job.stdout:
            if line.startswith("epoch 1 "):
                pids = [child for child in _children(job.pid) if "recbole_mpo" in child[1]]
                break
        # The last of the job's processes to be started has the highest rank.
        os.kill(max(pid for pid, _ in pids), signal.SIGKILL)
        output = job.communicate(timeout=200)[0]
        assert job.returncode != 0
        assert "another process of this job has ended" in output or "ended by" in output
        return settings

    @pytest.mark.slow
    def test_it_goes_on_with_two_bit_for_bit(self, killed, tmp_path):
        finish(launch(2, killed, resume="auto", record="resumed.json"))
        finish(launch(2, {**killed, "checkpoint_dir": str(tmp_path / "whole")}, record="whole.json"))
        assert curves(record_of("resumed.json")) == curves(record_of("whole.json"))
        assert record_of("resumed.json")["test"] == record_of("whole.json")["test"]

    @pytest.mark.slow
    def test_it_goes_on_with_one(self, settings, tmp_path, request):
        settings.update(QUIET)
        killed = request.getfixturevalue("killed")
        finish(launch(1, killed, resume="auto", record="resumed.json"))
        finish(launch(1, {**killed, "checkpoint_dir": str(tmp_path / "whole")}, record="whole.json"))
        assert curves(record_of("resumed.json")) == pytest.approx(curves(record_of("whole.json")), rel=1e-5)


def _children(pid):
    import psutil

    return [(child.pid, " ".join(child.cmdline())) for child in psutil.Process(pid).children(recursive=True)]


class TestAlone:
    def test_the_device_is_the_chosen_one(self):
        assert distributed.own_device(ALONE, torch.device("cuda:1")) == torch.device("cuda:1")

    def test_the_only_process_decides(self):
        assert distributed.told_by_first(ALONE, lambda: 5) == 5

    def test_a_failure_keeps_its_own_name(self):
        with pytest.raises(RuntimeError, match="closed by peer"), distributed.losses_named(ALONE):
            raise RuntimeError("Connection closed by peer")


class TestOfSeveral:
    ranks = Ranks(1, 2)

    def test_a_lost_process_is_named(self):
        with pytest.raises(RecboleMPOError, match="has ended .*--resume=auto"), distributed.losses_named(self.ranks):
            raise RuntimeError("Connection closed by peer [127.0.0.1]:1")

    def test_each_has_a_gpu_of_its_own(self, monkeypatch):
        monkeypatch.setenv("LOCAL_RANK", "3")
        assert distributed.own_device(self.ranks, torch.device("cuda:1")) == torch.device("cuda:3")
        assert distributed.own_device(self.ranks, torch.device("cpu")) == torch.device("cpu")

    def test_another_failure_stays(self):
        with pytest.raises(RuntimeError, match="shape"), distributed.losses_named(self.ranks):
            raise RuntimeError("wrong shape")

    def test_noise_is_a_function_of_seed_epoch_and_process(self):
        def draw(ranks, seed, epoch):
            torch.manual_seed(1)
            distributed.seed_noise(ranks, seed, epoch)
            return torch.rand(1).item()

        cases = ((self.ranks, 1, 0), (self.ranks, 1, 1), (self.ranks, 2, 0), (Ranks(2, 3), 1, 0))
        draws = [draw(*given) for given in cases]
        assert len(set(draws)) == 4 and draw(self.ranks, 1, 0) == draws[0]
        assert draw(Ranks(0, 2), 1, 0) == draw(ALONE, 1, 0) == draw(ALONE, 1, 1)

    @pytest.mark.parametrize(
        ("model", "settings", "message"),
        [
            (object, {}, "GRU4Rec is trained by one process: start it without torchrun"),
            (UniSRec, {"train_mode": "pairwise"}, "train_mode=pairwise is for one process"),
            (UniSRec, {"task_weighting": "pcgrad"}, "task_weighting=pcgrad needs the losses of the whole batch"),
            (UniSRec, {"task_weighting": "gradnorm"}, "take static or average, or start without torchrun"),
        ],
    )
    def test_what_needs_one_process_is_refused(self, model, settings, message):
        class Model(model):
            shares_batches = model is UniSRec

        config = {"model": "GRU4Rec", "train_mode": "packed", "task_weighting": None, **settings}
        with pytest.raises(ConfigError, match=message):
            distributed.check_processes(Model, config, self.ranks)
        distributed.check_processes(Model, config, ALONE)

"""From a name to a finished run: what a finished, a failed and a dry run leave behind."""

import json
import logging
import signal
from datetime import datetime
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from support import built_run

from recbole_mpo.common.errors import ConfigError, DataError
from recbole_mpo.common.files import file_hash
from recbole_mpo.common.process import Terminated
from recbole_mpo.quick_start import record as records
from recbole_mpo.quick_start.experiment import Experiment
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.quick_start.resume import find_resume
from recbole_mpo.trainer.item_vector_trainer import ItemVectorTrainer


def run_dir(record, settings):
    return Path(settings["checkpoint_dir"]) / record["run_id"]


class TestCompletedRun:
    @pytest.fixture
    def finished(self, tiny_settings):
        """A record as written, and its folder."""
        record = run("mporec", "tiny", (), tiny_settings)
        folder = run_dir(record, tiny_settings)
        return json.loads((folder / "record.json").read_text(encoding="utf-8")), folder

    def test_holds_every_key(self, finished, tiny_path):
        record, folder = finished
        keys = """format_version status run_id model label dataset seed processes item_input data params features
                  valid test seconds started finished config packages device git best_epoch epochs_run hit_epoch_limit
                  history peak_memory_mb recommended checkpoint_mb scale"""
        assert set(record) == set(keys.split())
        assert (record["status"], record["model"], record["dataset"]) == ("completed", "MPORec", "tiny")
        assert (record["seed"], record["item_input"], record["format_version"]) == (7, "text", 1)
        assert record["run_id"] == folder.name
        assert record["config"]["epochs"] == 2 and record["config"]["data_path"] == str(tiny_path)
        assert {"recbole", "torch", "numpy", "recbole-mpo"} <= set(record["packages"])
        assert record["device"]["type"] == "cpu" and set(record["git"]) == {"commit", "dirty"}
        assert datetime.fromisoformat(record["started"]) <= datetime.fromisoformat(record["finished"])

    def test_counts_data_by_hand(self, finished, tiny_path):
        record, _ = finished
        lines = (tiny_path / "tiny" / "tiny.inter").read_text(encoding="utf-8").splitlines()[1:]
        users, items, _ = zip(*(line.split("\t") for line in lines), strict=True)
        data = record["data"]
        assert data["users"] == len(set(users)) and data["items"] == len(set(items)) == data["item_num"] - 1
        # Leave-one-out: of n interactions the last two are tested and validated, the first is no target.
        assert data["targets"] == {"train": len(lines) - 3 * 40, "valid": 40, "test": 40}
        assert data["files"] == {name: file_hash(tiny_path / "tiny" / name) for name in ("tiny.inter", "tiny.text")}

    def test_parameter_groups_sum_to_the_totals(self, finished):
        params = finished[0]["params"]
        for kind in ("total", "trainable"):
            assert params[kind] == sum(group[kind] for group in params["by_group"].values())
        frozen = params["by_group"]["item_features (frozen text)"]
        dimension, items = finished[0]["features"]["dimension"], finished[0]["data"]["item_num"]
        assert frozen == {"total": dimension * items, "trainable": 0}
        assert params["trainable"] == params["total"] - frozen["total"]

    def test_metrics_are_unrounded_and_follow_from_the_ranks(self, finished):
        record, folder = finished
        with np.load(folder / "ranks.npz") as ranks:
            for split in ("valid", "test"):
                rank = ranks[f"{split}_rank"].astype(float)
                assert len(record[split]) == 6
                for k in (10, 50):
                    inside = rank <= k
                    assert record[split][f"hit@{k}"] == inside.mean()
                    assert record[split][f"ndcg@{k}"] == pytest.approx((inside / np.log2(rank + 1)).mean(), abs=1e-15)
                    assert record[split][f"mrr@{k}"] == pytest.approx((inside / rank).mean(), abs=1e-15)
                assert record[split]["ndcg@10"] != round(record[split]["ndcg@10"], 4)

    def test_best_epoch_and_its_metrics_are_those_of_the_history(self, finished):
        record, _ = finished
        scores = [epoch["valid"]["ndcg@10"] for epoch in record["history"]]
        assert [epoch["epoch"] for epoch in record["history"]] == [0, 1] and record["epochs_run"] == 2
        assert record["best_epoch"] == int(np.argmax(scores)) and record["hit_epoch_limit"] is True
        assert record["valid"] == record["history"][record["best_epoch"]]["valid"]

    def test_times_and_memory_are_positive_and_add_up(self, finished):
        record, _ = finished
        seconds = record["seconds"]
        assert set(seconds) == {"total", "per_epoch", "evaluate", "test"} and min(seconds.values()) > 0
        assert seconds["per_epoch"] == np.mean([epoch["train_seconds"] for epoch in record["history"]])
        assert seconds["total"] > 2 * seconds["per_epoch"] + seconds["test"]
        assert record["peak_memory_mb"] > 50

    def test_ranks_file_has_one_typed_row_per_user(self, finished, tiny_path):
        record, folder = finished
        lines = (tiny_path / "tiny" / "tiny.inter").read_text(encoding="utf-8").splitlines()[1:]
        per_user = np.unique([line.split("\t")[0] for line in lines], return_counts=True)[1]
        with np.load(folder / "ranks.npz") as ranks:
            columns = ("user", "rank", "history_length", "popularity")
            assert set(ranks) == {f"{split}_{column}" for split in ("valid", "test") for column in columns}
            assert {(ranks[name].dtype, ranks[name].shape) for name in ranks} == {(np.dtype(np.int32), (40,))}
            assert sorted(ranks["test_user"]) == sorted(ranks["valid_user"]) == list(range(1, 41))
            assert 1 <= ranks["test_rank"].min() and ranks["test_rank"].max() <= record["data"]["items"]
            assert sorted(ranks["test_history_length"]) == sorted(per_user - 1)
            assert sorted(ranks["valid_history_length"]) == sorted(per_user - 2)

    def test_popularity_counts_training_interactions(self, tiny_settings, tiny_path):
        record = run("MPORec", "tiny", (), tiny_settings)
        dataset = built_run("MPORec", "tiny", (), tiny_settings).dataset
        lines = [line.split("\t") for line in (tiny_path / "tiny" / "tiny.inter").read_text().splitlines()[1:]]
        histories = {}
        for user, item, _ in sorted(lines, key=lambda row: int(row[2])):
            histories.setdefault(user, []).append(item)
        trained = [item for history in histories.values() for item in history[:-2]]
        users = dataset.field2id_token[dataset.uid_field]
        with np.load(run_dir(record, tiny_settings) / "ranks.npz") as ranks:
            for split, place in (("valid", -2), ("test", -1)):
                targets = [histories[users[user]][place] for user in ranks[f"{split}_user"]]
                assert ranks[f"{split}_popularity"].tolist() == [trained.count(target) for target in targets]

    def test_one_seed_gives_one_result(self, finished, tiny_settings):
        again = run("MPORec", "tiny", (), tiny_settings)
        assert (again["valid"], again["test"]) == (finished[0]["valid"], finished[0]["test"])
        other = run("MPORec", "tiny", (), {**tiny_settings, "seed": 8})
        assert other["valid"] != again["valid"]


def test_two_runs_in_one_process_have_folders_and_logs_of_their_own(tiny_settings):
    before = (logging.getLogger().handlers[:], logging.getLogger().level)
    found = [run(model, "tiny", (), {**tiny_settings, "epochs": 1}) for model in ("MPORec", "UniSRec")]
    assert (logging.getLogger().handlers[:], logging.getLogger().level) == before
    assert found[0]["run_id"] != found[1]["run_id"]
    for own, other in (found, found[::-1]):
        folder = run_dir(own, tiny_settings)
        assert {path.name for path in folder.iterdir()} == {
            "best.pth", "last.pth", "ranks.npz", "record.json", "run.lock", f"{own['run_id']}.log"
        }  # fmt: skip
        log = (folder / f"{own['run_id']}.log").read_text(encoding="utf-8")
        assert own["run_id"] in log and "parameters:" in log and "best test:" in log
        assert log.count("epoch 0   loss") == 1
        assert other["run_id"] not in log and f"{other['model']} on tiny" not in log
        assert "\x1b[" not in log


def test_a_failed_run_leaves_its_error(tiny_settings, monkeypatch):
    def fail(*_args, **_settings):
        raise RuntimeError("out of ideas")

    monkeypatch.setattr(ItemVectorTrainer, "_valid_epoch", fail)
    with pytest.raises(RuntimeError, match="out of ideas"):
        run("MPORec", "tiny", (), tiny_settings, record_path="copy.json")
    record = records.read_record("copy.json")
    assert (record["status"], record["error"]) == ("failed", "RuntimeError: out of ideas")
    assert record["params"]["total"] > 0 and record["test"] == {} and record["finished"]
    assert record == records.read_record(run_dir(record, tiny_settings))


def test_a_run_that_cannot_start_leaves_nothing_that_looks_finished(tiny_settings):
    with pytest.raises(ConfigError):
        run("MPORec", "tiny", (), {**tiny_settings, "freeze": "nothing"}, record_path="copy.json")
    for path in [Path("copy.json"), *Path(tiny_settings["checkpoint_dir"]).rglob("record.json")]:
        assert not path.is_file() or json.loads(path.read_text(encoding="utf-8"))["status"] == "failed"


def test_a_missing_dataset_leaves_no_folder(tiny_settings):
    with pytest.raises(DataError, match="dataset 'nowhere' not found"):
        run("MPORec", "nowhere", (), tiny_settings)
    assert not Path(tiny_settings["checkpoint_dir"]).exists()


@pytest.mark.parametrize("problem", [KeyboardInterrupt, partial(Terminated, signal.SIGTERM)])
@pytest.mark.parametrize("epochs", [0, 1])
def test_a_run_that_is_interrupted_is_recorded_as_failed_and_says_how_it_goes_on(
    tiny_settings, monkeypatch, problem, epochs
):
    train = ItemVectorTrainer._train_epoch

    def interrupt(trainer, train_data, epoch, *args, **settings):
        if epoch == epochs:
            raise problem()
        return train(trainer, train_data, epoch, *args, **settings)

    monkeypatch.setattr(ItemVectorTrainer, "_train_epoch", interrupt)
    with pytest.raises(KeyboardInterrupt) as caught:
        run("MPORec", "tiny", (), tiny_settings, record_path="copy.json")
    record = records.read_record("copy.json")
    assert record["status"] == "failed" and record["error"].startswith(caught.type.__name__)
    assert "process" not in record and record["valid"] == {}
    # Only a run that --resume=auto finds is promised to go on.
    assert bool(find_resume(Experiment.of("MPORec", "tiny", (), tiny_settings), "auto")) == bool(epochs)
    assert ("--resume=auto" in caught.value.__notes__[0]) == bool(epochs)


def test_a_label_is_the_users_or_the_models(tiny_settings):
    plain, labelled = (
        run("MPORecExpand", "tiny", (), {**tiny_settings, "run_label": label}, dry_run=True)["label"]
        for label in (None, "mine")
    )
    assert (plain, labelled) == ("MPORecExpand (t = 2)", "mine")


@pytest.mark.parametrize(
    ("shares", "words"),
    [
        ({"eval_users": 0.5}, "evaluated on 50 % of users"),
        ({"train_users": 0.25, "eval_users": 0.5}, "25 % of users, evaluated on 50 % of users"),
    ],
)
def test_a_label_names_the_shares_of_users(tiny_settings, shares, words):
    label = run("MPORec", "tiny", (), {**tiny_settings, **shares}, dry_run=True)["label"]
    assert label == f"MPORec ({words})"


def test_a_dry_run_trains_nothing(tiny_settings):
    record = run("MPORec", "tiny", (), tiny_settings, dry_run=True, record_path="deep/er/copy.json")
    written = records.read_record("deep/er/copy.json")
    assert written["status"] == record["status"] == "dry_run"
    assert written["valid"] == {} and "history" not in written
    assert written["params"] == record["params"] and written["data"]["targets"]["test"] == 40
    assert not list(run_dir(record, tiny_settings).glob("*.pth"))


def test_a_model_that_cannot_be_built_leaves_a_failed_record(tiny_settings, tmp_path):
    """Also where what is wrong is among the settings that its label is made of."""
    keys = "data_path checkpoint_dir show_progress use_gpu seed hidden_size".split()
    settings = {**{key: tiny_settings[key] for key in keys}, "item_input": "id", "patch_reduction": 100}
    with pytest.raises(ConfigError, match="patch_reduction 100 is larger than hidden_size"):
        run("PeterRec", "tiny", (), settings, record_path=tmp_path / "copy.json")
    record = json.loads((tmp_path / "copy.json").read_text(encoding="utf-8"))
    assert record["status"] == "failed" and "patch_reduction 100" in record["error"]
    assert record["label"] == "PeterRec (pretrain)"

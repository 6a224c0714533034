"""Metrics and ranks of a trained model and of a checkpoint, and how popular the targets are."""

from collections import Counter

import numpy as np
import pytest
from support import RestoredRun, built_run

from recbole_mpo.common.errors import CheckpointError
from recbole_mpo.data.training_counts import training_popularity
from recbole_mpo.quick_start.evaluate import evaluate_checkpoint, evaluate_split, keep_ranks
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.trainer.ranking import metrics_from_ranks


@pytest.fixture
def trained(tiny_settings, tmp_path):
    """A finished run: (settings, record, folder)."""
    record = run("MPORec", "tiny", (), tiny_settings)
    return tiny_settings, record, tmp_path / "saved" / record["run_id"]


def test_checkpoint_evaluates_to_the_recorded_metrics(trained):
    _, record, folder = trained
    results = evaluate_checkpoint(folder / "best.pth")
    for split in ("valid", "test"):
        assert results[split] == pytest.approx(record[split], abs=1e-12)


def test_settings_given_besides_change_what_is_computed(trained):
    _, record, folder = trained
    results = evaluate_checkpoint(folder / "best.pth", {"metrics": ["Hit"], "topk": [10], "valid_metric": "Hit@10"})
    assert results == {split: {"hit@10": pytest.approx(record[split]["hit@10"])} for split in ("valid", "test")}


def test_a_checkpoint_that_is_none_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"none\.pth does not exist"):
        evaluate_checkpoint(tmp_path / "none.pth")


class TestSplit:
    @pytest.fixture
    def best(self, trained):
        return RestoredRun(trained[2] / "best.pth", {"topk": [5, 10], "metric_decimal_place": 12})

    def test_of_ranks_gives_both_and_one_follows_from_the_other(self, best, trained):
        metrics, ranks = evaluate_split(best.trainer("run"), best.loaders[2])
        assert metrics["ndcg@10"] == pytest.approx(trained[1]["test"]["ndcg@10"], abs=1e-12)
        assert set(ranks) == {"user", "rank", "history_length", "target"}
        assert metrics == metrics_from_ranks(ranks["rank"], best.config["metrics"], best.config["topk"])

    def test_of_recboles_evaluator_gives_metrics_alone(self, best):
        by_rank, _ = evaluate_split(best.trainer("run"), best.loaders[2])
        best.config.final_config_dict["eval_mode"] = "recbole"
        trainer = best.trainer("run")
        trainer.eval_collector.data_collect(best.loaders[0])
        metrics, ranks = evaluate_split(trainer, best.loaders[2])
        assert ranks is None and metrics == pytest.approx(by_rank, abs=1e-9)
        assert {type(value) for value in metrics.values()} == {float}

    def test_of_no_rows_is_nothing(self, best):
        class Empty:
            _dataset = ()

        assert evaluate_split(best.trainer("run"), Empty()) == ({}, None)


class TestKeptRanks:
    def test_targets_become_their_popularity(self, tiny_settings, tmp_path):
        train = built_run("UniSRec", "tiny", (), tiny_settings).splits[0]
        targets = np.array([1, 5, 5], dtype=np.int32)
        columns = {"user": np.array([3, 1, 2], np.int32), "rank": np.array([9, 1, 4], np.int32), "target": targets}
        keep_ranks({"valid": None, "test": columns}, train, tmp_path / "ranks.npz")
        with np.load(tmp_path / "ranks.npz") as ranks:
            assert set(ranks) == {"test_user", "test_rank", "test_popularity"}
            assert ranks["test_popularity"].tolist() == training_popularity(train)[targets].tolist()
            assert ranks["test_user"].tolist() == [3, 1, 2] and ranks["test_rank"].tolist() == [9, 1, 4]
        assert "target" in columns

    def test_without_ranks_nothing_is_written(self, tmp_path):
        keep_ranks({"valid": None, "test": None}, None, tmp_path / "ranks.npz")
        assert not (tmp_path / "ranks.npz").exists()


@pytest.mark.parametrize("longest", [50, 1])
def test_popularity_counts_every_training_interaction_once(tiny_settings, tiny_path, longest):
    experiment = built_run("UniSRec", "tiny", (), {**tiny_settings, "MAX_ITEM_LIST_LENGTH": longest})
    popularity = training_popularity(experiment.splits[0])
    rows = [line.split("\t") for line in (tiny_path / "tiny" / "tiny.inter").read_text().splitlines()[1:]]
    histories = {}
    for user, item, _ in sorted(rows, key=lambda row: int(row[2])):
        histories.setdefault(user, []).append(item)
    expected = Counter(item for history in histories.values() for item in history[:-2])
    tokens = experiment.dataset.field2id_token["item_id"]
    assert {tokens[row]: count for row, count in enumerate(popularity) if count} == expected


def test_popularity_of_files_without_first_rows(tmp_path, tiny_settings):
    """A pre-split train file may hold each user's longest row alone."""
    folder = tmp_path / "split" / "cut"
    folder.mkdir(parents=True)
    header = "user_id:token\titem_id_list:token_seq\titem_id:token\n"
    (folder / "cut.train.inter").write_text(header + "u\ta b c\td\nv\tb c\ta\n")
    (folder / "cut.valid.inter").write_text(header + "u\ta b c d\te\n")
    (folder / "cut.test.inter").write_text(header + "u\ta b c d e\tf\n")
    (folder / "cut.text").write_text("item_id:token\ttext:token_seq\n" + "".join(f"{i}\titem {i}\n" for i in "abcdef"))
    experiment = built_run("UniSRec", "cut", (), {**tiny_settings, "data_path": str(tmp_path / "split")})
    tokens = experiment.dataset.field2id_token["item_id"]
    counts = dict(zip(tokens, training_popularity(experiment.splits[0]).tolist(), strict=True))
    assert counts == {"[PAD]": 0, "a": 2, "b": 2, "c": 2, "d": 1, "e": 0, "f": 0}

"""RecBole's own models through the same entry point: records, safe checkpoints, exact resume, same evaluation."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from support import built_run

from recbole_mpo.common.errors import CheckpointError
from recbole_mpo.quick_start.evaluate import evaluate_checkpoint
from recbole_mpo.quick_start.record import read_record
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.trainer.trimmed_batches import TRIMMED_MODELS

SMALL = {
    "SASRec": {"hidden_size": 16, "inner_size": 16},
    "GRU4Rec": {"hidden_size": 16, "embedding_size": 16},
    "BERT4Rec": {"hidden_size": 16, "inner_size": 16},
    "S3Rec": {"hidden_size": 16, "inner_size": 16},
}
SHARED = ("data_path", "checkpoint_dir", "show_progress", "use_gpu", "train_batch_size", "seed")
NAMES = pytest.mark.parametrize("name", SMALL)
TRIMMED = pytest.mark.parametrize("name", TRIMMED_MODELS)


@pytest.fixture
def settings(tiny_settings):
    """Settings of one epoch of a small model of RecBole's, by name."""

    def make(name, **changes):
        shared = {key: tiny_settings[key] for key in SHARED}
        return {**shared, "epochs": 1, **SMALL.get(name, {}), **changes}

    return make


def folder_of(record):
    return Path(record["config"]["checkpoint_dir"]) / record["run_id"]


def targets_by_user(experiment, part):
    split = experiment.splits[part]
    users, items = (
        split.field2id_token[field][split.inter_feat[field].numpy()].tolist()
        for field in (split.uid_field, split.iid_field)
    )
    return dict(zip(users, items, strict=True))


@NAMES
def test_a_run_is_recorded_and_its_checkpoint_is_plain_data(settings, name):
    record = run(name.lower(), "tiny", (), settings(name))
    assert record == {key: value for key, value in read_record(folder_of(record)).items() if key != "format_version"}
    assert (record["status"], record["model"], record["item_input"]) == ("completed", name, "id")
    assert record["features"] is None
    assert set(record["test"]) == {f"{metric}@{k}" for metric in ("hit", "ndcg", "mrr") for k in (10, 50)}
    params = record["params"]
    assert params["total"] == params["trainable"] == sum(group["total"] for group in params["by_group"].values())
    for file in ("best.pth", "last.pth"):
        state = torch.load(folder_of(record) / file, weights_only=True)
        assert state["model"] == name and state["config"] == record["config"]
        assert sum(value.numel() for value in state["state_dict"].values()) == params["total"]
    assert evaluate_checkpoint(folder_of(record) / "best.pth") == {split: record[split] for split in ("valid", "test")}


@NAMES
def test_resuming_runs_the_missing_epochs_as_if_never_stopped(settings, name, capsys):
    whole = run(name, "tiny", (), settings(name, epochs=2))
    first = run(name, "tiny", (), settings(name))
    capsys.readouterr()
    resumed = run(name, "tiny", (), settings(name, epochs=2), resume=folder_of(first))
    out = capsys.readouterr().out
    assert re.findall(r"^epoch (\d+) ", out, flags=re.MULTILINE) == ["1"]
    assert resumed["run_id"] == first["run_id"] and resumed["epochs_run"] == 2
    losses = [[epoch["train_loss"] for epoch in record["history"]] for record in (whole, resumed)]
    assert losses[0] == losses[1]
    assert (resumed["valid"], resumed["test"]) == (whole["valid"], whole["test"])


@NAMES
def test_candidates_and_targets_are_those_of_the_text_models(settings, tiny_settings, name):
    text = built_run("MPORec", "tiny", (), tiny_settings)
    other = built_run(name, "tiny", (), settings(name))
    assert other.dataset.item_num == text.dataset.item_num == 31
    assert other.experiment.statistics()["targets"] == text.experiment.statistics()["targets"]
    field = text.dataset.iid_field
    assert other.dataset.field2id_token[field].tolist() == text.dataset.field2id_token[field].tolist()
    for part in (1, 2):
        assert targets_by_user(other, part) == targets_by_user(text, part)


@NAMES
def test_rank_metrics_are_recboles_own(settings, name):
    more = {"metrics": ["Hit", "NDCG", "MRR", "Recall", "Precision", "MAP"], "topk": [1, 5, 10, 29]}
    record = run(name, "tiny", (), settings(name, **more))
    recboles = evaluate_checkpoint(folder_of(record) / "best.pth", {"eval_mode": "recbole"})
    for split in ("valid", "test"):
        assert set(recboles[split]) == set(record[split]) and len(record[split]) == 24
        for metric, value in recboles[split].items():
            assert round(record[split][metric], 4) == pytest.approx(float(value), abs=1.01e-4), metric
        assert record[split]["hit@29"] > record[split]["hit@1"]


def test_recboles_evaluator_serves_during_the_run_too(settings):
    # RecBole cannot cut at more than the 31 items there are.
    by_ranks, by_recbole = (
        run("SASRec", "tiny", (), settings("SASRec", topk=[5, 10], eval_mode=mode)) for mode in ("ranks", "recbole")
    )
    assert not (folder_of(by_recbole) / "ranks.npz").exists()
    for split in ("valid", "test"):
        assert by_recbole[split] == pytest.approx(by_ranks[split], abs=1.01e-4)


def test_a_sampled_evaluation_is_left_to_recbole(settings):
    record = run("SASRec", "tiny", (), settings("SASRec", topk=10, eval_args={"mode": "uni5"}))
    assert record["status"] == "completed" and record["test"]["hit@10"] == 1.0
    assert not (folder_of(record) / "ranks.npz").exists()


@pytest.mark.parametrize(("name", "changes"), [("FPMC", {"embedding_size": 8}), ("SASRec", {"loss_type": "BPR"})])
def test_pairwise_losses_train_with_sampled_negatives(settings, name, changes):
    record = run(name, "tiny", (), settings(name, epochs=3, **changes))
    losses = [epoch["train_loss"] for epoch in record["history"]]
    assert record["status"] == "completed" and np.isfinite(losses).all() and losses[-1] < losses[0]


def test_a_checkpoint_of_another_model_is_refused(settings):
    record = run("GRU4Rec", "tiny", (), settings("GRU4Rec"))
    with pytest.raises(CheckpointError, match="of another architecture: .*gru_layers"):
        run("SASRec", "tiny", (), settings("SASRec", pretrained=str(folder_of(record) / "best.pth")))


@TRIMMED
def test_trimmed_batches_train_and_rank_alike(settings, name):
    dropout = ("dropout_prob",) if name == "GRU4Rec" else ("hidden_dropout_prob", "attn_dropout_prob")
    quiet = {**dict.fromkeys(dropout, 0.0), "epochs": 2}
    trimmed, padded = (run(name, "tiny", (), settings(name, **quiet, trim_batches=trims)) for trims in (True, False))
    losses = [[epoch["train_loss"] for epoch in record["history"]] for record in (trimmed, padded)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5) and losses[0] != losses[1]
    assert trimmed["test"] == pytest.approx(padded["test"], abs=1e-6)


# The other sequential models need item attributes, knowledge graphs or labels.
FROM_IDS_ALONE = """
    BERT4Rec CORE Caser FEARec FOSSIL FPMC GCSAN GRU4Rec GRU4RecCPR HGN HRM LightSANs NARM NPE NextItNet RepeatNet S3Rec
    SASRec SASRecCPR SHAN SINE SRGNN STAMP TransRec
""".split()


@pytest.mark.slow
@pytest.mark.parametrize("name", FROM_IDS_ALONE)
def test_every_sequential_model_that_reads_ids_alone_runs(settings, make_dataset, tmp_path, name):
    # The CPR models rank a hundred candidates anew.
    make_dataset(tmp_path / "wide", items=150)
    record = run(name, "tiny", (), settings(name, epochs=2, data_path=str(tmp_path / "wide")))
    assert record["status"] == "completed" and np.isfinite([epoch["train_loss"] for epoch in record["history"]]).all()
    ranked = evaluate_checkpoint(folder_of(record) / "best.pth")
    assert ranked == {split: record[split] for split in ("valid", "test")}

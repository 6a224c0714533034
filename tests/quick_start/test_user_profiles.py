"""Runs whose targets are classes of users: their record, their checkpoints, and what has no effect on them."""

import json

import numpy as np
import pytest
import torch
from data.profiles import write_users
from model.baselines.peterrec_runs import small_settings, write_start
from support import built_run, folder_of

from recbole_mpo.common.errors import CheckpointError, ConfigError, DataError
from recbole_mpo.common.files import file_hash
from recbole_mpo.quick_start.evaluate import evaluate_checkpoint
from recbole_mpo.quick_start.record import read_ranks
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.quick_start.user_profiles import UserProfiles
from recbole_mpo.quick_start.without_data import model_of_checkpoint
from recbole_mpo.release.recommend import Recommender
from recbole_mpo.trainer import checkpoint


@pytest.fixture
def settings(tiny_settings, tiny_path, tmp_path):
    """Fine-tuning on the shelves of the users of ``tiny``, from an untrained network."""
    write_users(tiny_path)
    settings = {**write_start(small_settings(tiny_settings), tmp_path), "user_profile": "shelf"}
    # Left to what such a run has by itself.
    del settings["train_batch_size"]
    return settings


def test_a_run_is_recorded_with_accuracy_and_the_largest_class(settings, tiny_path):
    record = run("PeterRec", "tiny", (), settings)
    assert record["status"] == "completed" and record["label"] == "PeterRec (serial, shelf)"
    ranks = read_ranks(folder_of(record) / "ranks.npz", "test")
    assert record["test"] == {"hit@1": float((ranks["rank"] == 1).mean())}
    data = record["data"]
    assert data["targets"]["test"] == len(ranks["rank"]) and sum(data["targets"].values()) == data["users"] == 40
    assert set(ranks) == {"user", "rank", "history_length", "popularity"}
    built = built_run("PeterRec", "tiny", (), settings)
    test, counts = built.splits[2], built.splits[0].target_popularity()
    class_of = dict(zip(test.inter_feat["user_id"].tolist(), test.classes(), strict=True))
    assert ranks["popularity"].tolist() == [counts[class_of[user]] for user in ranks["user"].tolist()]
    assert data["profile"]["majority"].keys() == {"class", "valid", "test"}
    assert data["files"]["tiny.user"] == file_hash(tiny_path / "tiny" / "tiny.user")
    assert record["config"]["train_batch_size"] == 64 and record["params"]["by_group"]["head"]["total"] == 4 * 16
    assert json.loads((folder_of(record) / "record.json").read_text())["data"] == data


def test_the_network_stays_frozen(settings):
    before = checkpoint.load_checkpoint(settings["pretrained"])["state_dict"]
    record = run("PeterRec", "tiny", (), {**settings, "epochs": 2})
    after = checkpoint.load_checkpoint(folder_of(record) / "last.pth")["state_dict"]
    frozen = [name for name in before if not name.startswith("head.")]
    assert frozen and all(torch.equal(before[name], after[name]) for name in frozen)
    assert {name.split(".")[0] for name in after.keys() - set(frozen)} == {"head", "patches", "cls_vector"}


@pytest.mark.parametrize("mode", ["causal", "masked"])
def test_classes_that_histories_show_are_learned(settings, tiny_path, mode):
    """Users of the class ``even`` have even items alone."""
    lines = ["user_id:token\titem_id:token\ttimestamp:float"]
    draw = np.random.default_rng(0)
    for user in range(80):
        lines += [f"u{user}\ti{2 * item + user % 2}\t{step}" for step, item in enumerate(draw.integers(15, size=8))]
    (tiny_path / "plain").mkdir()
    (tiny_path / "plain" / "plain.inter").write_text("\n".join(lines) + "\n")
    users = [f"u{user}\t{('even', 'odd')[user % 2]}" for user in range(80)]
    (tiny_path / "plain" / "plain.user").write_text("\n".join(["user_id:token\tkind:token", *users]) + "\n")
    changes = {"finetune_mode": "FineAll", "pretrained": None, "user_profile": "kind", "epochs": 12}
    changes |= {"dilations": [1, 4], "pretrain_mode": mode, "learning_rate": 0.01, "train_batch_size": 16}
    assert run("PeterRec", "plain", (), {**settings, **changes})["test"]["hit@1"] > 0.9


def test_a_checkpoint_is_evaluated_and_resumed_but_recommends_nothing(settings):
    short = run("PeterRec", "tiny", (), settings)
    best = folder_of(short) / "best.pth"
    assert evaluate_checkpoint(best)["test"] == short["test"]
    whole, resumed = (
        run("PeterRec", "tiny", (), {**settings, "epochs": 2}, resume=resume) for resume in (None, folder_of(short))
    )
    assert resumed["test"] == whole["test"] and resumed["epochs_run"] == 2
    with pytest.raises(DataError, match="this checkpoint predicts shelf of users, not items"):
        Recommender.from_checkpoint(best)
    assert model_of_checkpoint(best)[0].head.weight.shape == (4, 16)


def test_other_classes_are_refused(settings, tiny_path):
    record = run("PeterRec", "tiny", (), settings)
    path = tiny_path / "tiny" / "tiny.user"
    path.write_text(path.read_text().replace("middle", "centre"))
    with pytest.raises(CheckpointError, match="was trained on other data: tiny.user changed since"):
        run("PeterRec", "tiny", (), {**settings, "epochs": 2}, resume=folder_of(record))
    with pytest.raises(CheckpointError, match="tells low, middle, top, but the file of users has centre, low, top"):
        evaluate_checkpoint(folder_of(record) / "best.pth")


def test_figures_of_other_columns_are_not_compared(settings):
    hashes = {
        built_run("PeterRec", "tiny", (), {**settings, "user_profile": column}).experiment.statistics()["test_pairs"]
        for column in ("shelf", "sex")
    }
    assert len(hashes) == 2


def test_metrics_may_be_others(settings):
    changes = {"metrics": ["Hit", "MRR"], "topk": [1, 2], "valid_metric": "MRR@2"}
    assert run("PeterRec", "tiny", (), {**settings, **changes})["test"].keys() == {"hit@1", "hit@2", "mrr@1", "mrr@2"}


def test_the_setting_chooses_the_source(settings):
    built = built_run("PeterRec", "tiny", (), settings)
    assert isinstance(built.experiment.source, UserProfiles)
    assert built.experiment.source.files(built.config).keys() == {"tiny.inter", "tiny.text", "tiny.user"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_stage": "pretrain", "pretrained": None}, "user_profile=shelf is a target of fine-tuning"),
        ({"loss": "chunked"}, "loss is for items as targets, and has no effect with user_profile=shelf"),
        ({"mask_pad": True}, "mask_pad is for items as targets"),
        ({"evidence": ["covisit"]}, "evidence is for items as targets"),
        ({"eval_history": "masked"}, "eval_history is for items as targets"),
        ({"eval_mode": "recbole"}, "user_profile=shelf needs eval_mode=ranks"),
        ({"user_profile": ""}, "user_profile must be text that is not empty"),
    ],
)
def test_settings_without_effect_are_refused(settings, changes, message):
    with pytest.raises(ConfigError, match=message):
        built_run("PeterRec", "tiny", (), {**settings, **changes})


def test_other_models_have_no_classes(tiny_settings):
    with pytest.raises(ConfigError, match="UniSRec does not use user_profile"):
        built_run("UniSRec", "tiny", (), {**tiny_settings, "user_profile": "shelf"})

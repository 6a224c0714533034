"""A run on a sharded dataset, from its settings to its record."""

import json

import numpy as np
import pytest
from sharded import shard_dataset
from support import built_run, interrupted_in, numbers

from recbole_mpo.common.errors import ConfigError, DataError
from recbole_mpo.common.files import file_hash
from recbole_mpo.data.shard_loader import ShardLoader
from recbole_mpo.quick_start.evaluate import evaluate_checkpoint
from recbole_mpo.quick_start.experiment import Experiment
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.quick_start.sharded_source import ShardedSource
from recbole_mpo.study.protocol import check_protocol


@pytest.fixture
def manifest(tiny_path):
    return shard_dataset(tiny_path)


def test_the_source_is_found_by_the_layout(tiny_settings, tiny_path, manifest):
    experiment = Experiment.of("UniSRec", "shards", (), tiny_settings)
    assert isinstance(experiment.source, ShardedSource)
    names = {"shards.shards/manifest.json": manifest, "shards.text": tiny_path / "shards" / "shards.text"}
    assert experiment.file_hashes() == {name: file_hash(path) for name, path in names.items()}
    assert isinstance(experiment.data.loaders[0], ShardLoader) and experiment.data.splits[0] is experiment.data.dataset


def test_the_file_of_features_counts(tiny_settings, tiny_path, manifest):
    np.save(tiny_path / "shards" / "features.npy", np.random.default_rng(0).random((30, 6), np.float32))
    settings = {**tiny_settings, "feature_file": "features.npy"}
    experiment = Experiment.of("UniSRec", "shards", (), settings)
    assert "features.npy" in experiment.file_hashes()
    summary = experiment.feature_summary(experiment.build_model())
    assert (summary["source"], summary["dimension"], summary["items"]) == ("features.npy", 6, 30)


@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_a_run_on_mapped_features_is_that_on_features_in_memory(tiny_settings, tiny_path, manifest, monkeypatch, kind):
    np.save(tiny_path / "shards" / "features.npy", np.random.default_rng(0).normal(0, 1, (30, 6)).astype(kind))
    settings = {**tiny_settings, "feature_file": "features.npy", "loss": "sampled", "sampled_items": 10}
    held = run("MPORec", "shards", (), settings)
    monkeypatch.setattr("recbole_mpo.text.mapped_features.LARGE_BYTES", 1)
    mapped = run("MPORec", "shards", (), settings)
    if kind == np.float32:
        assert numbers(mapped) == numbers(held) and mapped["features"]["hash"] == held["features"]["hash"]
    losses = [[epoch["train_loss"] for epoch in record["history"]] for record in (held, mapped)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-2)


def test_one_model_ranks_as_on_the_text_file(tiny_settings, tmp_path, manifest):
    text, shards = (built_run("MPORec", name, (), tiny_settings) for name in ("tiny", "shards"))
    shards.model.load_state_dict(text.model.state_dict())
    for split in (1, 2):
        ranks = [one.trainer(tmp_path / "run").target_ranks(one.loaders[split]) for one in (text, shards)]
        rows = [sorted(zip(*(one[name].tolist() for name in one), strict=True)) for one in ranks]
        assert rows[0] == rows[1] and len(rows[0]) == 40


def test_a_run_is_recorded_and_evaluated_again(tiny_settings, tmp_path, manifest):
    text, record = (run("MPORec", name, (), tiny_settings) for name in ("tiny", "shards"))
    assert record["status"] == "completed" and record["epochs_run"] == 2
    for key in ("users", "items", "item_num", "targets", "test_pairs"):
        assert record["data"][key] == text["data"][key], key
    assert record["data"]["rows_hash"] == json.loads(manifest.read_text())["rows_hash"]
    check_protocol([({**text, "dataset": "shards"}, "text"), (record, "shards")], mix=False, paired=True)
    assert record["history"][0]["train_loss"] == pytest.approx(text["history"][0]["train_loss"], rel=0.1)
    folder = tmp_path / "saved" / record["run_id"]
    ranks = np.load(folder / "ranks.npz")
    assert sorted(ranks["test_user"]) == list(range(1, 41)) and (ranks["test_popularity"] >= 0).all()
    assert evaluate_checkpoint(folder / "best.pth")["test"] == record["test"]
    assert json.loads((folder / "record.json").read_text())["recommended"].keys() == {"coverage@10", "popularity@10"}


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        ("SASRecCE", {"item_input": "id"}),
        ("LoRA", {"lora_rank": 2, "tasks": ["nip", "si", "mip"]}),
        ("PeterRec", {"item_input": "id"}),
        ("MPORecLight", {"item_input": "text+id", "loss": "chunked", "ema_decay": 0.9}),
    ],
)
def test_other_models_are_trained_too(tiny_settings, manifest, model, changes):
    keys = ("data_path", "checkpoint_dir", "cache_dir", "show_progress", "use_gpu", "train_batch_size", "hidden_size")
    extra = ("text_encoder", "inner_size") if model in ("LoRA", "MPORecLight") else ()
    record = run(model, "shards", (), {**{key: tiny_settings[key] for key in (*keys, *extra)}, "epochs": 1, **changes})
    assert record["status"] == "completed" and 0 <= record["test"]["hit@10"] <= 1


def test_size_compute_and_loss_are_recorded_as_on_the_text_file(tiny_settings, manifest):
    settings = {**tiny_settings, "eval_loss": True, "count_flops": True, "eval_users": 0.25, "train_users": 0.75}
    text, record = (run("UniSRec", name, (), settings) for name in ("tiny", "shards"))
    for key in ("train_users", "train_rows", "train_tokens", "non_embedding", "examples_seen", "flops_6nd"):
        assert record["scale"][key] == text["scale"][key], key
    assert record["scale"]["train_users"] == 30 and record["data"]["test_pairs"] == text["data"]["test_pairs"]
    assert record["scale"]["flops"] == pytest.approx(text["scale"]["flops"], rel=0.2)
    assert record["test"]["loss"] == pytest.approx(text["test"]["loss"], rel=0.1)


def test_an_interrupted_run_goes_on_as_if_it_was_not(tiny_settings, tmp_path, manifest):
    settings = {**tiny_settings, "epochs": 4}
    with interrupted_in(2):
        run("MPORec", "shards", (), settings)
    resumed = run("MPORec", "shards", (), settings, resume="auto")
    whole = run("MPORec", "shards", (), {**settings, "checkpoint_dir": str(tmp_path / "whole")})
    assert numbers(resumed) == numbers(whole)


@pytest.mark.parametrize(
    ("model", "changes", "needed"),
    [
        ("UniSRec", {"train_mode": "pairwise"}, "train_mode=packed"),
        ("UniSRec", {"eval_history": "masked"}, "eval_history=kept"),
        ("UniSRec", {"eval_mode": "recbole"}, "eval_mode=ranks"),
        ("UniSRec", {"metrics": ["GAUC"], "valid_metric": "GAUC"}, "metrics that follow from ranks"),
        ("UniSRec", {"evidence": ["covisit"]}, "no evidence"),
        ("UniSRec", {"eval_args": {"split": {"LS": "valid_only"}}}, "eval_args with LS: valid_and_test"),
        *(
            ("UniSRec", {"train_batch_size": 64, **changes}, f"all interactions as they are: leave out {key}")
            for changes, key in [
                ({"user_inter_num_interval": "[5,inf)"}, "user_inter_num_interval"),
                ({"item_inter_num_interval": "[5,inf)", "rm_dup_inter": "first"}, "item_inter_num_interval and rm_dup"),
                ({"val_interval": {"timestamp": "[3,inf)"}}, "val_interval"),
                ({"threshold": {"timestamp": 3}}, "threshold"),
                ({"normalize_all": True}, "normalize_all"),
                ({"benchmark_filename": ["train", "valid", "test"]}, "benchmark_filename"),
                ({"load_col": {"inter": ["user_id", "item_id", "rating"]}}, "load_col"),
                ({"load_col": {"inter": ["user_id", "item_id"], "item": ["item_id"]}}, "load_col"),
            ]
        ),
        ("PeterRec", {"user_profile": "gender", "train_stage": "finetune"}, "items as targets"),
        ("GRU4Rec", {}, "a model that is trained on windows of histories"),
        ("BERT4RecFair", {}, "a model that is trained on windows of histories"),
        ("CountText", {}, "a model that is trained on windows of histories"),
        ("CCDR", {"ccdr_source": "tiny"}, "a model that is trained on windows of histories"),
    ],
)
def test_what_needs_all_interactions_in_memory_is_refused(tiny_settings, manifest, model, changes, needed):
    keys = ("data_path", "checkpoint_dir", "cache_dir", "use_gpu")
    settings = {**{key: tiny_settings[key] for key in keys}, **changes}
    with pytest.raises(ConfigError, match=f"shards is sharded, and training on it needs {needed}"):
        Experiment.of(model, "shards", (), settings)


def test_settings_of_tables_that_change_nothing_are_taken(tiny_settings, manifest):
    changes = {"load_col": {"inter": ["user_id", "item_id", "timestamp"]}, "item_inter_num_interval": "[0,inf)"}
    assert Experiment.of("UniSRec", "shards", (), {**tiny_settings, **changes}).data.dataset.item_num == 31


def test_histories_too_short_for_three_splits_are_refused(tiny_settings, tiny_path):
    path = tiny_path / "tiny" / "tiny.inter"
    header, *rows = path.read_text().splitlines()
    newest = sorted(rows, key=lambda row: (row.split("\t")[0], float(row.split("\t")[2])))
    users = [row.split("\t")[0] for row in newest]
    short = [row for place, row in enumerate(newest) if users[max(0, place - 3)] != users[place] or place < 3]
    path.write_text("\n".join([header, *short]) + "\n")
    shard_dataset(tiny_path)
    with pytest.raises(DataError, match="the valid split of shards is empty: leave-one-out needs users"):
        Experiment.of("UniSRec", "shards", (), tiny_settings).data  # noqa: B018 - reading it builds it


def test_pre_training_on_domains_is_for_text_files(tiny_settings, manifest):
    settings = {**tiny_settings, "domains": ["tiny", "shards"]}
    with pytest.raises(DataError, match=r"shards\.shards is a sharded dataset"):
        Experiment.of("UniSRec", "tiny+shards", (), settings)

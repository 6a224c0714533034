"""Which settings a model uses is what properties/schema.yaml says: runs are watched for the settings they read."""

import numpy as np
import pytest
from support import LetterEncoder, folder_of

from recbole_mpo.common.config import MPOConfig
from recbole_mpo.common.schema import for_model, read_schema
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.quick_start.registry import OWN_MODELS

SCHEMA = read_schema()
MODELS = [*OWN_MODELS, "S3Rec", "GRU4Rec", "SASRec", "BERT4Rec"]
# What is read only under other values than a model's own: (settings of one more dry run, models).
VARIANTS = (
    ({"feature_file": "features.f32", "feature_size": 8, "text_encoder": None}, "features"),
    ({"evidence": ["covisit", "words", "two_hop"]}, "sequence"),
    ({"evidence": ["covisit", "words", "two_hop"], "evidence_fit": "late"}, "recbole"),
    ({"loss": "sampled"}, "sequence"),
    ({"item_input": "text"}, "SASRecCE"),
    ({"item_input": "text+id"}, "unisrec"),
    ({"item_input": "text", "feature_file": "features.f32", "feature_size": 8}, "SASRecCE"),
    ({"train_stage": "finetune", "finetune_mode": "PeterZero"}, "PeterRec"),
    ({"pretrain_mode": "masked"}, "PeterRec"),
    ({"ccdr_source": "other"}, "CCDR"),
    ({"adapter": "patches", "pretrained": "best.pth"}, "UniSRec"),
    ({"mpo_strategy": "progressive", "mpo_expand": 2}, "mpo"),
    ({"domains": ["tiny", "other"]}, "unisrec"),
    ({"tasks": ["si", "mip"]}, "unisrec"),
    ({"tasks": ["nip", "si"], "task_weighting": "gradnorm", "cross_task": "residual"}, "unisrec"),
)
COUNTING = ("Pop", "CoVisit", "TextKNN", "CountText")
# Read, and of no consequence: (settings, models, why).
IDLE = (
    (
        {"epochs", "stopping_step", "eval_step", "train_batch_size", "learner", "learning_rate", "clip_grad_norm"},
        COUNTING,
        "RecBole's trainer and the loader of training histories are made, and never train",
    ),
    ({"item_input"}, ("recbole",), "the record of a run says 'id' where there is no such setting"),
    ({"train_mode"}, ("recbole",), "a run asks before it makes loaders of either kind"),
    (
        {"domains", "tasks"},
        ("recbole", "SASRecCE", "PeterRec", "S3RecFixed", "BERT4RecFair", "CCDR", *COUNTING),
        "a run asks for every model",
    ),
    ({"freeze"}, ("recbole", "BERT4RecFair", *COUNTING), "a run asks for every model"),
    ({"user_profile"}, ("recbole", "own"), "a run asks for every model"),
    ({"feature_file", "ccdr_source"}, ("recbole", "own"), "a run asks for all files that may decide its figures"),
    ({"mpo_strategy"}, ("recbole", "own"), "a run and the trainer ask for every model"),
    ({"evidence_fit"}, ("BERT4RecFair", "CCDR", *COUNTING), "a run asks for every model"),
    ({"adapter"}, ("UniSRec_F", "mpo", "LoRA"), "they are built as UniSRec is"),
    ({"train_users", "eval_users"}, ("recbole",), "a run asks for every model"),
    ({"eval_loss", "count_flops"}, ("recbole", "own"), "a run asks for every model"),
    ({"trim_batches"}, ("recbole", "BERT4RecFair", *COUNTING), "the trainer asks the setting before the model"),
    (
        {"mpo_lr_multiplier", "evidence_lr_multiplier", "weighting_lr_multiplier", "id_lr_multiplier"},
        ("own",),
        "the trainer asks for the learning rates of all groups",
    ),
    ({"pre_model_path"}, ("S3Rec",), "RecBole's class asks, and is never let use it"),
    ({"save_step"}, ("S3RecFixed",), "empty where no setting says otherwise, and then nothing is saved"),
)


def idle_settings(model):
    return {key for keys, entries, _ in IDLE for key in keys if any(SCHEMA.stands_for(one, model) for one in entries)}


@pytest.fixture
def reads(monkeypatch):
    """The keys that runs have read from their settings so far."""
    keys, read = set(), MPOConfig.__getitem__

    def watched(config, key):
        keys.add(key)
        return read(config, key)

    monkeypatch.setattr(MPOConfig, "__getitem__", watched)
    return keys


@pytest.fixture
def block(tmp_path, make_dataset):
    """Settings of small runs of any model, from which each gets what it uses."""
    data_path = tmp_path / "data"
    make_dataset(data_path)
    make_dataset(data_path, "other", seed=1)
    np.random.default_rng(0).standard_normal((30, 8), dtype=np.float32).tofile(data_path / "tiny" / "features.f32")
    return {
        "data_path": str(data_path),
        "cache_dir": str(tmp_path / "cache"),
        "text_encoder": "tfidf-svd",
        "show_progress": False,
        "use_gpu": False,
        "epochs": 1,
        "pretrain_epochs": 1,
        "hidden_size": 16,
        "inner_size": 16,
        "n_exps": 2,
        "ccdr_clusters": 3,
    }


@pytest.mark.parametrize("model", MODELS)
def test_a_model_reads_the_settings_that_the_schema_names_for_it(model, block, reads, monkeypatch):
    settings = for_model(block, model)
    record = run(model, "tiny", (), settings)
    for changes, entry in VARIANTS:
        if SCHEMA.stands_for(entry, model):
            if "pretrained" in changes:
                changes = {**changes, "pretrained": str(folder_of(record) / changes["pretrained"])}
            if "domains" in changes:
                LetterEncoder.replace_all(monkeypatch)
            run(model, "+".join(changes.get("domains", ["tiny"])), (), {**settings, **changes}, dry_run=True)
    rows = SCHEMA.settings_of(model).keys()
    assert (reads & SCHEMA.settings.keys()) - rows - idle_settings(model) == set(), "read, and not declared"
    particular = {key for key in rows if "all" not in SCHEMA.settings[key].models}
    assert particular - reads == set(), "declared, and never read"

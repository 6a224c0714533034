"""What the tests of PeterRec build on: small runs, and checkpoints that fine-tuning starts from."""

from pathlib import Path

import torch
from support import built_run

from recbole_mpo.trainer import checkpoint

KEYS = "data_path checkpoint_dir cache_dir show_progress use_gpu seed train_batch_size hidden_size".split()
EXACT = {"rtol": 1e-9, "atol": 1e-9}


def small_settings(tiny_settings) -> dict:
    """Settings of a run on ``tiny`` by ids, of four blocks."""
    settings = {key: tiny_settings[key] for key in KEYS}
    return {**settings, "item_input": "id", "dilations": [1, 4, 1, 4], "epochs": 1, "patch_reduction": 4}


def write_start(settings: dict, folder: Path, dataset: str = "tiny", **changes) -> dict:
    """Write the checkpoint of an untrained pre-training run; return the settings of fine-tuning from it."""
    source = built_run("PeterRec", dataset, (), {**settings, **changes})
    path = folder / f"start-{dataset}.pth"
    model = source.model
    content = {"state_dict": model.state_dict(), "other_parameter": model.other_parameter()}
    content["item_hash"] = model.item_hash
    checkpoint.save_checkpoint({**content, "config": source.config.plain()}, path)
    return {**settings, **changes, "train_stage": "finetune", "pretrained": str(path)}


def of(settings, dataset="tiny", **changes):
    return built_run("PeterRec", dataset, (), {**settings, **changes})


def stir(model, size=0.3):
    """Random weights everywhere, so that nothing is zero by chance."""
    torch.manual_seed(5)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=size)
    return model

"""Runs of UniSRec with LoRA layers: the frozen matrices stay, and dense checkpoints start them."""

import hashlib

import torch
from support import built_run

from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.trainer import checkpoint


def digest(tensor):
    return hashlib.sha256(tensor.detach().numpy().tobytes()).hexdigest()


def test_a_run_leaves_the_frozen_matrices_as_they_were(tiny_settings):
    before = built_run("LoRA", "tiny", (), {**tiny_settings, "lora_rank": 2}).model.state_dict()
    record = run("LoRA", "tiny", (), {**tiny_settings, "lora_rank": 2})
    path = f"{tiny_settings['checkpoint_dir']}/{record['run_id']}/last.pth"
    after = checkpoint.load_checkpoint(path)["state_dict"]
    same = {name for name in before if digest(before[name]) == digest(after[name])}
    assert same == {name for name in before if name.endswith("lin.weight")}


def test_a_dense_checkpoint_starts_a_run(tiny_settings):
    dense = run("UniSRec", "tiny", (), tiny_settings)
    path = f"{tiny_settings['checkpoint_dir']}/{dense['run_id']}/best.pth"
    model = built_run("LoRA", "tiny", (), {**tiny_settings, "lora_rank": 2, "pretrained": path}).model
    weights = checkpoint.load_checkpoint(path)["state_dict"]
    for name, value in model.state_dict().items():
        assert "lora" in name or torch.equal(value, weights[name]), name

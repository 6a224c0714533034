"""The sizes that the command prints add up."""

import json

import torch

from recbole_mpo.release.adapter_parts import Parts
from recbole_mpo.release.adapter_report import GroupBytes, sizes_of


def report(tmp_path):
    weights = {
        "moe_adaptor.w_gate": torch.ones(2, 3),
        "moe_adaptor.experts.0.lin.cores.0": torch.ones(4),
        "moe_adaptor.experts.0.lin.cores.1": torch.ones(10),
        "trm_encoder.layer.0.weight": torch.ones(5),
    }
    parts = Parts(
        {name: weights[name] for name in list(weights)[:2]}, ["trm_encoder.layer.0.weight"], [list(weights)[2]], 2
    )
    for name, size in (("base", 10), ("checkpoint", 20), ("adapter", 40)):
        (tmp_path / name).write_bytes(bytes(size))
    files = {name: tmp_path / name for name in ("base", "checkpoint", "adapter")}
    return sizes_of(parts, weights, {"0": torch.ones(7, dtype=torch.uint8)}, files)


def test_bytes_by_group(tmp_path):
    sizes = report(tmp_path)
    assert sizes.groups == {
        "adaptor": GroupBytes(24, 24, 0, 0),
        "adaptor (cores)": GroupBytes(56, 16, 0, 40),
        "encoder": GroupBytes(20, 0, 20, 0),
        "items and texts": GroupBytes(7, 7, 0, 0),
    }
    assert sizes.tensors == {"stored": 2, "from_base": 1, "rebuilt": 1}
    assert (sizes.weights, sizes.share) == (100, 0.4)


def test_text_and_plain_data_hold_the_same(tmp_path):
    sizes = report(tmp_path)
    first, *rows = sizes.as_text().splitlines()
    assert first == "base 10 bytes, checkpoint 20 bytes (its weights 100), adapter 40 bytes: 40.0% of the weights"
    assert rows[-1].split() == ["all", "107", "47", "20", "40"]
    content = json.loads(json.dumps(sizes.as_object()))
    assert content["files"]["adapter"] == 40 and content["groups"]["encoder"]["from_base"] == 20
    assert content["share_of_weights"] == 0.4

"""What the benchmark runner writes, and the count of useful operations that a share of the matmul rate rests on."""

import importlib
import json
from pathlib import Path

import pytest
import torch

from recbole_mpo.data.batches import PackedBatch

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
MACHINE = {"device": {"name": "CPU", "threads": 2}, "git": {"commit": "0123456789abcdef", "dirty": False}}


@pytest.fixture
def module_of(monkeypatch):
    """Imports a benchmark as running it would."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


def test_useful_operations_by_hand(module_of):
    """Two histories of 3 and 2 inputs in rows of 3: 5 real positions, 3+2+1 + 2+1 = 9 pairs seen."""
    batch = PackedBatch(
        items=torch.tensor([[4, 5, 6], [7, 8, 0]]),
        positions=torch.tensor([[0, 1, 2], [0, 1, 0]]),
        predicting=torch.tensor([0, 1, 2, 4]),
        targets=torch.tensor([5, 6, 9, 9]),
        users=torch.tensor([1, 1, 1, 2]),
    )
    config = {"hidden_size": 10, "inner_size": 7, "n_layers": 2, "n_exps": 3}
    experts = 2 * (100 * 6 * 10 * 3 + 2 * 100 * 6 * 3)
    encoder = 3 * 2 * (5 * (4 * 10 * 10 + 2 * 10 * 7) + 9 * 2 * 10)
    softmax = 3 * 4 * 100 * 10
    found = module_of("common").useful_flops(batch, 100, config, feature_size=6)
    assert found == 2 * (experts + encoder + softmax)


def test_results_have_stable_keys_and_name_what_did_not_run(module_of, tmp_path):
    run = module_of("run")
    found = {
        "train_step": {
            "packed_vs_pairwise": 17.0,
            "packed_vs_published": 61.5,
            "packed_vs_published_as_run": 80.0,
            "matmul_share": 0.7,
            **MACHINE,
        },
        "peer": {"skipped": "no environment"},
        "epoch_time": {
            "seconds_per_epoch": {"1e4": 1.0, "1e5": 10.0, "1e6": 101.0},
            "largest_over_smallest": 1.01,
            **MACHINE,
        },
        "million_items": {
            **{task: {"peak_mb": 9000.0, "seconds": 60.0} for task in ("chunked", "sampled", "evaluate")},
            **MACHINE,
        },
        "evidence_tables": {"two_hop": {"rows": 1_000_001, "seconds": 600.0, "peak_mb": 8000.0}, **MACHINE},
    }
    run.write(tmp_path, found)
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["benchmarks"] == found
    assert results["packed_vs_published"] == 61.5
    assert results["seconds_per_epoch"]["1e6"] == 101.0
    assert results["million_items"] == {"train_peak_mb": {"chunked": 9000.0, "sampled": 9000.0}, "eval_peak_mb": 9000.0}
    assert "rectools" not in results and "mpo_vs_dense" not in results
    report = (tmp_path / "RESULTS.md").read_text()
    assert "| the same over the published form | >= 60 | 61.5 |" in report
    assert "| table of two_hop for 1,000,000 items |  | 600 s, 8,000 MB |" in report
    assert "| peer | | not run: no environment |" in report
    assert "0123456789 (train_step)" in report
    assert not list(tmp_path.glob("*.tmp"))

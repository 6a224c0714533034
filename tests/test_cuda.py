"""The same on a GPU; run by hand with ``-m gpu``."""

import pytest
import torch
from support import built_run

from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.release.recommend import Recommender

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.fixture
def cuda_settings(tiny_settings):
    return {**tiny_settings, "use_gpu": True}


@pytest.mark.parametrize("name", ["UniSRec", "MPORec", "MPORecExpand"])
def test_scores_are_the_cpus(tiny_settings, cuda_settings, name):
    on_cpu = built_run(name, "tiny", (), tiny_settings)
    on_gpu = built_run(name, "tiny", (), cuda_settings)
    on_gpu.model.load_state_dict(on_cpu.model.state_dict())
    rows = next(iter(on_cpu.loaders[1]))[0]
    expected = on_cpu.model.eval().full_sort_predict(rows)
    found = on_gpu.model.eval().full_sort_predict(rows.to(on_gpu.config["device"])).cpu()
    assert (found - expected).abs().max() < 1e-3


@pytest.mark.parametrize("loss", ["full", "chunked", "sampled"])
def test_losses_and_gradients_are_the_cpus(tiny_settings, cuda_settings, loss):
    quiet = dict.fromkeys(("hidden_dropout_prob", "attn_dropout_prob", "adaptor_dropout_prob"), 0.0)
    settings = {**quiet, "noisy_gating": False, "loss": loss, "sampled_items": 10**6, "item_chunk": 7}
    on_cpu, on_gpu = (built_run("MPORec", "tiny", (), {**s, **settings}) for s in (tiny_settings, cuda_settings))
    on_gpu.model.load_state_dict(on_cpu.model.state_dict())
    losses = []
    for experiment in (on_cpu, on_gpu):
        batch = next(iter(experiment.loaders[0])).to(experiment.config["device"])
        loss = experiment.model.train().calculate_loss(batch)
        loss.backward()
        losses.append(loss.item())
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    for (name, expected), found in zip(on_cpu.model.named_parameters(), on_gpu.model.parameters(), strict=True):
        if expected.grad is not None:
            assert (found.grad.cpu() - expected.grad).abs().max() <= 1e-3 * expected.grad.abs().max() + 1e-6, name


def test_bfloat16_trains(cuda_settings):
    exact = run("MPORec", "tiny", (), cuda_settings)
    low = run("MPORec", "tiny", (), {**cuda_settings, "enable_amp": True})
    first, second = (record["history"][-1]["train_loss"] for record in (exact, low))
    assert second == pytest.approx(first, rel=0.05)


def test_batches_come_from_pinned_memory(cuda_settings):
    batch = next(iter(built_run("MPORec", "tiny", (), cuda_settings).loaders[0]))
    assert batch.items.is_pinned() and batch.targets.is_pinned()


def test_trains_evaluates_resumes_and_recommends(cuda_settings, tmp_path):
    first = run("MPORec", "tiny", (), {**cuda_settings, "epochs": 1})
    assert first["device"]["type"] == "cuda"
    folder = tmp_path / "saved" / first["run_id"]
    resumed = run("MPORec", "tiny", (), {**cuda_settings, "epochs": 2}, resume=str(folder))
    assert resumed["epochs_run"] == 2
    (found,) = Recommender.from_checkpoint(folder / "best.pth").recommend([["i1", "i2"]], topk=3)
    assert len(found) == 3

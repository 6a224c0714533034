"""The same on a GPU; run by hand with ``-m gpu``."""

import pytest
import torch

from recbole_mpo.experiment import Experiment
from recbole_mpo.quick_start import run
from recbole_mpo.recommend import Recommender

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.fixture
def cuda_settings(tiny_settings):
    return {**tiny_settings, "use_gpu": True}


@pytest.mark.parametrize("name", ["UniSRec", "MPORec", "MPORecExpand"])
def test_scores_are_the_cpus(tiny_settings, cuda_settings, name):
    on_cpu = Experiment.of(name, "tiny", (), tiny_settings)
    on_gpu = Experiment.of(name, "tiny", (), cuda_settings)
    on_gpu.model.load_state_dict(on_cpu.model.state_dict())
    rows = next(iter(on_cpu.loaders[1]))[0]
    expected = on_cpu.model.eval().full_sort_predict(rows)
    found = on_gpu.model.eval().full_sort_predict(rows.to(on_gpu.config["device"])).cpu()
    assert (found - expected).abs().max() < 1e-3


def test_trains_evaluates_resumes_and_recommends(cuda_settings, tmp_path):
    first = run("MPORec", "tiny", (), {**cuda_settings, "epochs": 1})
    assert first["device"]["type"] == "cuda"
    folder = tmp_path / "saved" / first["run_id"]
    resumed = run("MPORec", "tiny", (), {**cuda_settings, "epochs": 2}, resume=str(folder))
    assert resumed["epochs_run"] == 2
    (found,) = Recommender.from_checkpoint(folder / "best.pth").recommend([["i1", "i2"]], topk=3)
    assert len(found) == 3

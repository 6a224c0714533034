"""The same on a GPU; run by hand with ``-m gpu``."""

import pytest
import torch
from support import LetterEncoder, built_run, folder_of, interrupted_in, numbers

from recbole_mpo.model.task_weighting import WEIGHTINGS
from recbole_mpo.quick_start.evaluate import evaluate_checkpoint
from recbole_mpo.quick_start.pretrain import pretrain
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.release.compress import Options, compress_checkpoint, load_compressed
from recbole_mpo.release.recommend import Recommender
from recbole_mpo.trainer.step_flops import step_flops
from recbole_mpo.trainer.target_losses import mean_cross_entropy

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

EVIDENCE = ["covisit", "words", "two_hop"]
TEXT = ("text_encoder", "n_exps")
WIDTHS = ("inner_size", "hidden_size")
# Model and what is set for it; TEXT and WIDTHS are left out for models that have no such settings.
RUNS = {
    "MPORec, evidence": ("MPORec", {"evidence": EVIDENCE}, ()),
    "MPORec, late evidence": ("MPORec", {"evidence": EVIDENCE, "evidence_fit": "late"}, ()),
    "MPORec, ids in the scores": ("MPORec", {"item_input": "text+id"}, ()),
    "MPORec, ids in the vectors": ("MPORec", {"item_input": "text+id", "id_side": "both"}, ()),
    "MPORec, sampled": ("MPORec", {"loss": "sampled", "sampled_items": 10}, ()),
    "MPORec, averaged": ("MPORec", {"ema_decay": 0.9}, ()),
    "MPORecLight": ("MPORecLight", {}, ()),
    "MPORecExpand, progressive": ("MPORecExpand", {"mpo_expand": 2, "mpo_strategy": "progressive"}, ()),
    "LoRA": ("LoRA", {}, ()),
    "SASRecCE": ("SASRecCE", {}, TEXT),
    "SASRecCE, text": ("SASRecCE", {"item_input": "text"}, ("n_exps",)),
    "BERT4RecFair": ("BERT4RecFair", {}, (*TEXT, "inner_size")),
    "CCDR": ("CCDR", {"ccdr_clusters": 4}, ("n_exps", "inner_size")),
    "PeterRec": ("PeterRec", {}, ("n_exps", *WIDTHS)),
    "S3RecFixed": ("S3RecFixed", {"pretrain_epochs": 1}, TEXT),
    "CountText": ("CountText", {}, (*TEXT, *WIDTHS, "epochs", "train_batch_size")),
    "SASRec of RecBole, evidence": ("SASRec", {"evidence": EVIDENCE, "evidence_fit": "late"}, TEXT),
    "GRU4Rec of RecBole": ("GRU4Rec", {}, (*TEXT, "inner_size")),
    "BERT4Rec of RecBole": ("BERT4Rec", {}, TEXT),
}


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


@pytest.mark.parametrize("name", ["UniSRec", "MPORec"])
def test_losses_and_operations_are_the_cpus(tiny_settings, cuda_settings, name):
    on_cpu, on_gpu = (built_run(name, "tiny", (), settings) for settings in (tiny_settings, cuda_settings))
    on_gpu.model.load_state_dict(on_cpu.model.state_dict())
    losses, operations = [], []
    for one in (on_cpu, on_gpu):
        device = one.config["device"]
        losses.append(mean_cross_entropy(one.model, one.loaders[2], device, 16, mask_pad=False))
        operations.append(step_flops(one.model, next(iter(one.loaders[0])), device))
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert operations[1] == pytest.approx(operations[0], rel=0.05)


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


@pytest.mark.parametrize("name", RUNS)
def test_what_was_trained_there_is_ranked_the_same_on_the_cpu(cuda_settings, name):
    model, changes, without = RUNS[name]
    settings = {key: value for key, value in cuda_settings.items() if key not in without}
    record = run(model, "tiny", (), {**settings, **changes})
    assert record["device"]["type"] == "cuda"
    found = evaluate_checkpoint(folder_of(record) / "best.pth", {"use_gpu": False})
    for split in ("valid", "test"):
        assert found[split] == pytest.approx(record[split], abs=1e-6)


def test_an_interrupted_run_goes_on_as_the_whole_one(cuda_settings):
    settings = {**cuda_settings, "epochs": 3}
    whole = run("MPORec", "tiny", (), settings)
    with interrupted_in(1):
        run("MPORec", "tiny", (), settings)
    assert numbers(run("MPORec", "tiny", (), settings, resume="auto")) == numbers(whole)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_pretrains_with_several_tasks(cuda_settings, tiny_path, make_dataset, monkeypatch, tmp_path, weighting):
    LetterEncoder.replace_all(monkeypatch)
    make_dataset(tiny_path, "other", users=50, items=40, seed=1)
    settings = {**cuda_settings, "tasks": ["nip", "si", "ss", "rel"], "task_weighting": weighting}
    record = pretrain("UniSRec", ["tiny", "other"], tmp_path / "weights.pth", (), settings)
    before, after = record["history"]
    assert record["device"]["type"] == "cuda" and after["train_loss"] != before["train_loss"]
    start = {**cuda_settings, "pretrained": str(tmp_path / "weights.pth")}
    assert run("MPORec", "tiny", (), start)["pretrained"]


def test_compressing_trains_further_there_and_measures_on_the_cpu(cuda_settings, tmp_path):
    record = run("MPORec", "tiny", (), cuda_settings)
    asked = Options("prune:0.5,mpo:4,squeeze:0.3,ffn:0.5+int8-fast,feature-pca:0.5", [0, 1], target_ratio=[])
    settings = {key: cuda_settings[key] for key in ("data_path", "cache_dir", "use_gpu")}
    rows = compress_checkpoint(folder_of(record) / "best.pth", tmp_path / "out", asked, settings)
    assert {(row["finetune_epochs"], row["trained_on"]) for row in rows} == {(0, None), (1, "cuda")}
    before, after = (
        load_compressed(tmp_path / "out" / name, cached=False) for name in ("prune-0.5", "prune-0.5-trained-1")
    )
    for (name, first), second in zip(before.state_dict().items(), after.state_dict().values(), strict=True):
        if ".experts." in name and name.endswith("lin.weight"):
            assert torch.equal(first == 0, second == 0) and not torch.equal(first, second)

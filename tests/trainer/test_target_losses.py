"""The cross-entropy over all items beside the metrics: equal to a naive one, whatever the chunks."""

import pytest
import torch
import torch.nn.functional as F
from support import built_run, folder_of

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.quick_start.evaluate import evaluate_checkpoint
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.trainer import target_losses
from recbole_mpo.trainer.target_losses import cross_entropies, mean_cross_entropy


def naive(one, split: int, mask_pad: bool) -> float:
    """Return the mean cross-entropy of each row's scores, row by row, in float64."""
    model = one.model.double().eval()
    losses = []
    with torch.no_grad():
        for interaction, _, _, targets in one.loaders[split]:
            interaction = interaction.to("cpu")
            states = model.encode_sequences(
                model.encode_items(), interaction["item_id_list"], interaction["item_length"]
            )
            cosines = F.normalize(states, dim=1) @ F.normalize(model.encode_items(), dim=1).t()
            for row, target in zip(cosines / one.config["temperature"], targets.tolist(), strict=True):
                row = row[1:] if mask_pad else row
                losses.append(-row.log_softmax(0)[target - mask_pad].item())
    return sum(losses) / len(losses)


@pytest.mark.parametrize(("model", "mask_pad"), [("UniSRec", False), ("MPORec", True)])
def test_it_is_that_of_a_naive_computation(tiny_settings, model, mask_pad, monkeypatch):
    one = built_run(model, "tiny", (), {**tiny_settings, "mask_pad": mask_pad})
    # So that rows come in several chunks.
    monkeypatch.setattr("recbole_mpo.trainer.ranking.MAX_SCORES", 31 * 7)
    found = [mean_cross_entropy(one.model, one.loaders[split], torch.device("cpu"), 16, mask_pad) for split in (1, 2)]
    assert found == pytest.approx([naive(one, 1, mask_pad), naive(one, 2, mask_pad)], rel=1e-5)


def test_sums_over_many_items_are_in_float64():
    scores = torch.zeros(1, 20_000_001)
    scores[0, 1] = 20.0
    loss = cross_entropies(scores, torch.tensor([2]), mask_pad=True)
    assert loss.dtype == torch.float64
    exact = torch.log(torch.exp(torch.tensor(20.0, dtype=torch.float64)) + 19_999_999)
    assert loss.item() == pytest.approx(exact.item(), rel=1e-12)


def test_a_run_records_it_and_its_checkpoint_gives_it_again(tiny_settings):
    record = run("UniSRec", "tiny", (), {**tiny_settings, "eval_loss": True})
    assert {*record["valid"]} - {"loss"} == {*run("UniSRec", "tiny", (), tiny_settings)["valid"]}
    again = evaluate_checkpoint(folder_of(record) / "best.pth")
    for split in ("valid", "test"):
        assert again[split] == pytest.approx(record[split], rel=1e-6) and 0 < record[split]["loss"] < 20


def test_sampled_candidates_are_refused(tiny_settings):
    settings = {"eval_loss": True, "train_mode": "pairwise", "eval_args": {"mode": "uni10"}}
    with pytest.raises(ConfigError, match="eval_loss is over all items"):
        built_run("UniSRec", "tiny", (), {**tiny_settings, **settings})


def test_the_module_uses_the_chunks_of_ranking():
    assert target_losses.rows_per_batch(100, 1 << 25) == 1

"""BERT4Rec on whole histories: what is masked, what is learned from, and what a score depends on."""

from pathlib import Path

import numpy as np
import pytest
import torch

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.data.batches import HistoryBatch
from recbole_mpo.model.baselines import bert4rec
from recbole_mpo.model.baselines.masking import draw_masks, draw_prefixes
from recbole_mpo.quick_start.evaluate import evaluate_checkpoint
from recbole_mpo.quick_start.experiment import Experiment
from recbole_mpo.quick_start.recorded_run import run

KEYS = ("data_path", "checkpoint_dir", "show_progress", "use_gpu", "seed", "hidden_size", "inner_size")


@pytest.fixture
def settings(tiny_settings):
    return {**{key: tiny_settings[key] for key in KEYS}, "train_batch_size": 16}


def ragged(lengths, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    items = torch.randint(1, 31, (len(lengths), width), generator=generator)
    return items * (torch.arange(width) < torch.tensor(lengths)[:, None])


class TestMasks:
    def test_rates_and_what_is_never_masked(self):
        torch.manual_seed(0)
        items = ragged([20] * 3000 + [1] * 50, 25)
        masked = draw_masks(items, 0.3, 0.0)
        assert not masked[items == 0].any() and masked.any(dim=1).all()
        assert masked[:3000, :20].float().mean().item() == pytest.approx(0.3, abs=0.01)

    def test_the_last_item_alone_in_a_share_of_the_rows(self):
        torch.manual_seed(0)
        items = ragged([1, 2, 7] * 1000, 9)
        masked = draw_masks(items, 0.0, 1.0)
        assert masked.sum(dim=1).eq(1).all()
        assert (masked.float().argmax(dim=1) == (items > 0).sum(dim=1) - 1).all()
        mixed = draw_masks(ragged([7] * 4000, 9), 0.9, 0.5)
        assert (mixed.sum(dim=1) == 1).float().mean().item() == pytest.approx(0.5, abs=0.03)

    @pytest.mark.parametrize("ratio", [0.0, 1e-9])
    def test_every_row_has_a_label_however_small_the_ratio(self, ratio):
        assert draw_masks(ragged([1, 2, 3, 9], 9), ratio, 0.0).sum(dim=1).tolist() == [1, 1, 1, 1]


class TestPrefixes:
    def test_every_length_from_two_on_in_a_share_of_the_rows(self):
        torch.manual_seed(0)
        items = ragged([6] * 6000, 8)
        cut = draw_prefixes(items, 0.5)
        lengths = (cut != 0).sum(dim=1)
        # Half of the rows stay whole, and so does a fifth of the others.
        shares = torch.bincount(lengths, minlength=7) / len(items)
        torch.testing.assert_close(shares, torch.tensor([0, 0, 0.1, 0.1, 0.1, 0.1, 0.6]), atol=0.02, rtol=0)
        assert torch.equal(cut, items * (torch.arange(8) < lengths[:, None]))

    def test_short_rows_and_a_ratio_of_zero_stay_as_they_are(self):
        items = ragged([1, 2, 7], 9)
        assert torch.equal(draw_prefixes(items, 0), items)
        assert torch.equal(draw_prefixes(items, 1)[:2], items[:2])


def training_items(experiment):
    """Items of each training history, by user, the first and the last included."""
    train, values = experiment.splits[0], experiment.splits[0].flat_items
    rows = train.rows()
    return {
        int(user): values[rows.ends[rows.users == user].min() - 1 : rows.ends[rows.users == user].max() + 1].tolist()
        for user in np.unique(rows.users)
    }


@pytest.mark.parametrize("longest", [50, 5])
def test_a_batch_holds_whole_histories_and_an_epoch_all_of_them(settings, longest):
    """Histories longer than the model sees come as several windows, so nothing is left out."""
    experiment = Experiment.of("BERT4RecFair", "tiny", (), {**settings, "MAX_ITEM_LIST_LENGTH": longest})
    loader = experiment.loaders[0]
    loader.set_epoch(3)
    rows = [[item for item in row if item] for batch in loader for group in batch.groups for row in group.tolist()]
    assert max(map(len, rows)) <= longest + 1
    histories = training_items(experiment)
    if longest == 50:
        assert sorted(rows) == sorted(histories.values())
    covered = {tuple(row[i : i + 2]) for row in rows for i in range(len(row) - 1)}
    assert covered == {tuple(h[i : i + 2]) for h in histories.values() for i in range(len(h) - 1)}


@pytest.mark.parametrize("prefix_ratio", [0, 0.5])
def test_every_training_item_becomes_a_label(settings, monkeypatch, prefix_ratio):
    """Also the first and the last of each user, which RecBole's BERT4Rec never learns from."""
    changes = {"train_batch_size": 1, "prefix_ratio": prefix_ratio}
    experiment = Experiment.of("BERT4RecFair", "tiny", (), {**settings, **changes})
    seen, draw = {}, bert4rec.draw_masks

    def watched(items, *rates):
        masked = draw(items, *rates)
        for row, chosen in zip(items.tolist(), masked, strict=True):
            seen.setdefault(tuple(item for item in row if item), set()).update(chosen.nonzero().flatten().tolist())
        return masked

    monkeypatch.setattr(bert4rec, "draw_masks", watched)
    torch.manual_seed(0)
    loader, model = experiment.loaders[0], experiment.model
    for epoch in range(60):
        loader.set_epoch(epoch)
        for batch in loader:
            assert torch.isfinite(model.calculate_loss(batch))
    histories = [tuple(history) for history in training_items(experiment).values()]
    for history in histories:
        prefixes = [row for row in seen if row == history[: len(row)]]
        assert set().union(*(seen[row] for row in prefixes)) == set(range(len(history)))
    if prefix_ratio == 0:
        assert seen.keys() == set(histories)


def test_the_loss_is_the_cross_entropy_of_the_masked_items(settings, monkeypatch):
    model = Experiment.of("BERT4RecFair", "tiny", (), {**settings, "prefix_ratio": 0}).model.double().eval()
    torch.nn.init.normal_(model.output_bias)
    items = ragged([3, 8, 5], 8)
    masked = draw_masks(items, 0.4, 0.3)
    groups = {8: slice(0, 2), 5: slice(2, 3)}
    monkeypatch.setattr(
        bert4rec, "draw_masks", lambda some, *_: masked[groups[some.shape[1]], : some.shape[1]]
    )
    loss = model.calculate_loss(HistoryBatch(tuple(items[rows, :width] for width, rows in groups.items())))
    states = model.transform(model.encode(items.masked_fill(masked, model.mask_token)))
    logits = states @ model.item_embedding.weight[:-1].t() + model.output_bias
    expected = torch.nn.functional.cross_entropy(logits[masked][:, 1:], items[masked] - 1)
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-9)


@pytest.fixture
def scored(settings):
    """Scores [B, N] of histories of internal ids."""
    model = Experiment.of("BERT4RecFair", "tiny", (), {**settings, "MAX_ITEM_LIST_LENGTH": 6}).model.eval()

    def score(items):
        rows = torch.tensor(items)
        return model.full_sort_predict({"item_id_list": rows, "item_length": (rows > 0).sum(dim=1)})

    return score


def test_the_oldest_item_counts(scored):
    """RecBole's deletes it from every history."""
    assert not torch.allclose(scored([[4, 5, 6, 0, 0, 0]]), scored([[9, 5, 6, 0, 0, 0]]), atol=1e-6)
    assert not torch.allclose(scored([[4, 5, 6, 7, 8, 9]]), scored([[3, 5, 6, 7, 8, 9]]), atol=1e-6)


def test_padding_does_not_count(scored):
    torch.testing.assert_close(scored([[4, 5, 6, 0, 0, 0]]), scored([[4, 5, 6]]), rtol=1e-5, atol=1e-5)
    together = scored([[4, 5, 6, 0, 0, 0], [1, 2, 3, 4, 5, 6]])
    torch.testing.assert_close(together[:1], scored([[4, 5, 6]]), rtol=1e-5, atol=1e-5)


def test_a_run_learns_resumes_and_ranks_again_from_its_checkpoint(settings, capsys):
    whole = run("BERT4RecFair", "tiny", (), {**settings, "epochs": 4, "eval_step": 2})
    losses = [epoch["train_loss"] for epoch in whole["history"]]
    assert losses[-1] < losses[0] and np.isfinite(losses).all()
    first = run("BERT4RecFair", "tiny", (), {**settings, "epochs": 2, "eval_step": 2})
    folder = Path(settings["checkpoint_dir"]) / first["run_id"]
    resumed = run("BERT4RecFair", "tiny", (), {**settings, "epochs": 4, "eval_step": 2}, resume=folder)
    assert [epoch["train_loss"] for epoch in resumed["history"]] == losses
    assert resumed["test"] == whole["test"]
    assert evaluate_checkpoint(folder / "best.pth") == {split: resumed[split] for split in ("valid", "test")}


@pytest.mark.parametrize("key", ["mask_ratio", "ft_ratio", "prefix_ratio"])
def test_rates_are_checked(settings, key):
    with pytest.raises(ConfigError, match=f"{key} must be between 0 and 1"):
        Experiment.of("BERT4RecFair", "tiny", (), {**settings, key: 1.5}).model  # noqa: B018

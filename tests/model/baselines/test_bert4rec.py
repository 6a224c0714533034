"""BERT4Rec on whole histories: what is learned from, and what a score depends on."""

from pathlib import Path

import numpy as np
import pytest
import torch
from support import built_run

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.data.batches import HistoryBatch
from recbole_mpo.model.baselines import bert4rec
from recbole_mpo.model.baselines.masking import draw_masks
from recbole_mpo.quick_start.evaluate import evaluate_checkpoint
from recbole_mpo.quick_start.recorded_run import run

KEYS = ("data_path", "checkpoint_dir", "show_progress", "use_gpu", "seed", "hidden_size", "inner_size")


@pytest.fixture
def settings(tiny_settings):
    return {**{key: tiny_settings[key] for key in KEYS}, "train_batch_size": 16}


def ragged(lengths, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    items = torch.randint(1, 31, (len(lengths), width), generator=generator)
    return items * (torch.arange(width) < torch.tensor(lengths)[:, None])


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
    experiment = built_run("BERT4RecFair", "tiny", (), {**settings, "MAX_ITEM_LIST_LENGTH": longest})
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
    changes = {"train_batch_size": 256, "prefix_ratio": prefix_ratio}
    experiment = built_run("BERT4RecFair", "tiny", (), {**settings, **changes})
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


def test_a_batch_of_one_history_has_a_loss(settings):
    experiment = built_run("BERT4RecFair", "tiny", (), {**settings, "train_batch_size": 1})
    torch.manual_seed(0)
    for batch in experiment.loaders[0]:
        assert [len(group) for group in batch.groups] == [1]
        assert torch.isfinite(experiment.model.calculate_loss(batch))


def test_the_loss_is_the_cross_entropy_of_the_masked_items(settings, monkeypatch):
    model = built_run("BERT4RecFair", "tiny", (), {**settings, "prefix_ratio": 0}).model.double().eval()
    torch.nn.init.normal_(model.output_bias)
    items = ragged([3, 8, 5], 8)
    masked = draw_masks(items, 0.4, 0.3)
    groups = {8: slice(0, 2), 5: slice(2, 3)}
    monkeypatch.setattr(bert4rec, "draw_masks", lambda some, *_: masked[groups[some.shape[1]], : some.shape[1]])
    loss = model.calculate_loss(HistoryBatch(tuple(items[rows, :width] for width, rows in groups.items())))
    states = model.transform(model.encode(items.masked_fill(masked, model.mask_token)))
    logits = states @ model.item_embedding.weight[:-1].t() + model.output_bias
    expected = torch.nn.functional.cross_entropy(logits[masked][:, 1:], items[masked] - 1)
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-9)


@pytest.fixture
def scored(settings):
    """Scores [B, N] of histories of internal ids."""
    model = built_run("BERT4RecFair", "tiny", (), {**settings, "MAX_ITEM_LIST_LENGTH": 6}).model.eval()

    def score(items):
        rows = torch.tensor(items)
        return model.full_sort_predict({"item_id_list": rows, "item_length": (rows > 0).sum(dim=1)})

    return score


@torch.no_grad()
def test_scores_are_read_at_the_mask_that_follows_the_history(settings):
    """And at no item of it, whatever the lengths of the rows beside it."""
    model = built_run("BERT4RecFair", "tiny", (), {**settings, "MAX_ITEM_LIST_LENGTH": 6}).model.double().eval()
    torch.nn.init.normal_(model.output_bias)
    histories = [[4, 5, 6], [9], [1, 2, 3, 4, 5, 6]]
    rows = torch.tensor([history + [0] * (6 - len(history)) for history in histories])
    scores = model.full_sort_predict({"item_id_list": rows, "item_length": (rows > 0).sum(dim=1)})
    for history, found in zip(histories, scores, strict=True):
        states = model.encode(torch.tensor([[*history, model.mask_token]]))[0]
        read = [model.transform(state) @ model.item_embedding.weight[:-1].t() + model.output_bias for state in states]
        torch.testing.assert_close(found, read[-1], rtol=1e-6, atol=1e-6)
        assert not any(torch.allclose(found, other, rtol=1e-3, atol=1e-3) for other in read[:-1])


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
        built_run("BERT4RecFair", "tiny", (), {**settings, key: 1.5}).model  # noqa: B018

"""S3-Rec's objectives and stages: what each learns from, and that both stages mean the same positions."""

from pathlib import Path

import pytest
import torch
from support import built_run

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.data.batches import HistoryBatch
from recbole_mpo.model.baselines import s3rec
from recbole_mpo.model.baselines.s3rec import OBJECTIVES, draw_segments, foreign_items, items_not_in
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.trainer import checkpoint

KEYS = ("data_path", "checkpoint_dir", "show_progress", "use_gpu", "seed", "hidden_size", "inner_size")


@pytest.fixture
def settings(tiny_settings):
    return {**{key: tiny_settings[key] for key in KEYS}, "train_batch_size": 64, "pretrain_batch_size": 16, "epochs": 1}


@pytest.fixture
def model(settings):
    return built_run("S3RecFixed", "tiny", (), settings).model


def ragged(lengths, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    items = torch.randint(1, 31, (len(lengths), width), generator=generator)
    return items * (torch.arange(width) < torch.tensor(lengths)[:, None])


@pytest.mark.parametrize("name", OBJECTIVES)
def test_an_objective_alone_teaches_its_own_head_and_falls(settings, name):
    weights = {f"{other}_weight": float(other == name) for other in OBJECTIVES}
    model = built_run("S3RecFixed", "tiny", (), {**settings, **weights}).model.train()
    batch = HistoryBatch((ragged([3, 8, 5, 8] * 8, 8),))
    optimizer, losses = torch.optim.Adam(model.parameters(), 0.01), []
    for step in range(60):
        torch.manual_seed(step % 5)
        optimizer.zero_grad()
        loss = model.pretraining_loss(batch)
        loss.backward()
        if not step:
            taught = {other for other in OBJECTIVES if model.heads[other].weight.grad is not None
                      and model.heads[other].weight.grad.any()}  # fmt: skip
            assert taught == {name}
            attributes = model.attribute_embedding.weight.grad
            assert (attributes is not None and attributes.any()) == (name in ("aap", "map"))
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-10:]) < 0.97 * sum(losses[:10])


def test_attributes_are_those_of_the_item_at_the_position(settings, model):
    """A head that knows each item's attributes has no loss, in rows of any padding."""
    experiment = built_run("S3RecFixed", "tiny", (), settings)
    items = ragged([2, 7, 4], 9)
    seen = items != 0
    table = model.attributes[items[seen]].double()
    tokens = experiment.dataset.field2id_token["item_id"]
    text = (Path(settings["data_path"]) / "tiny" / "tiny.text").read_text().splitlines()[1:]
    words = {line.split("\t")[0]: line.split("\t")[1] for line in text}
    for item, row in zip(items[seen].tolist(), table, strict=True):
        has = {name for name, value in zip(model.attribute_names, row.tolist(), strict=True) if value}
        assert has and has <= set(words[tokens[item]].rstrip(".").split())


def test_the_objectives_are_means_over_the_positions_they_predict(settings, monkeypatch):
    """Against loops over rows and positions; a target taken from a neighbouring position would show."""
    torch.manual_seed(0)
    changes = {"sp_weight": 0.0, "aap_weight": 0.3, "mip_weight": 0.5, "map_weight": 0.7}
    model = built_run("S3RecFixed", "tiny", (), {**settings, **changes}).model.double().eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    items = ragged([3, 8, 5], 8)
    masked = torch.zeros_like(items, dtype=torch.bool)
    masked[0, 1] = masked[1, 4] = True
    others = torch.tensor([9, 8, 7, 6, 5])
    monkeypatch.setattr(s3rec, "draw_masks", lambda *_: masked)
    monkeypatch.setattr(s3rec, "items_not_in", lambda *_: others)
    last = torch.arange(8) == (items != 0).sum(dim=1, keepdim=True) - 1
    states = model.encode_both_ways(items, masked | last)
    share = model.attributes[1:].double().mean(dim=0)
    losses = {"aap": [], "map": [], "mip": []}
    strangers = iter(others.tolist())
    for row in range(3):
        for place in range(8):
            item, state = int(items[row, place]), states[row, place]
            if not item:
                continue
            hidden = bool(masked[row, place] or last[row, place])
            head = "map" if hidden else "aap"
            logits = model.heads[head](state) @ model.attribute_embedding.weight.t() + (share / (1 - share)).log()
            chance = torch.where(model.attributes[item], logits.sigmoid(), 1 - logits.sigmoid())
            losses[head].append(-chance.log().sum())
            if hidden:
                right, wrong = (
                    torch.sigmoid(model.heads["mip"](state) @ model.item_embedding.weight[other])
                    for other in (item, next(strangers))
                )
                losses["mip"].append(-torch.sigmoid(right - wrong).log())
    assert [len(losses[name]) for name in ("aap", "map", "mip")] == [11, 5, 5]
    expected = sum(changes[f"{name}_weight"] * torch.stack(parts).mean() for name, parts in losses.items())
    torch.testing.assert_close(model.pretraining_loss(HistoryBatch((items,))), expected, rtol=1e-6, atol=1e-6)


def test_a_row_that_holds_every_item_does_not_wait_for_another(model):
    every = torch.arange(1, 31).unsqueeze(0)
    assert items_not_in(every, torch.zeros(4, dtype=torch.long), 31).shape == (4,)


def test_both_stages_use_the_same_positions(model):
    """A history of one item looks the same with and without the causal mask."""
    model.eval()
    items, nothing = torch.tensor([[7, 0, 0]]), torch.zeros(1, 3, dtype=torch.bool)
    both_ways = model.encode_both_ways(items, nothing)[:, 0]
    causal = model.encode_sequences(model.encode_items(), items, torch.tensor([1]))
    torch.testing.assert_close(both_ways, causal, rtol=1e-5, atol=1e-5)


def test_padding_does_not_count_and_what_follows_does(model):
    model.eval()
    items, masked = torch.tensor([[7, 3, 5]]), torch.tensor([[False, True, False]])
    wide = torch.nn.functional.pad(items, (0, 4)), torch.nn.functional.pad(masked, (0, 4))
    states = model.encode_both_ways(items, masked)
    torch.testing.assert_close(model.encode_both_ways(*wide)[:, :3], states, rtol=1e-5, atol=1e-5)
    changed = model.encode_both_ways(torch.tensor([[7, 3, 6]]), masked)
    assert not torch.allclose(changed[:, 0], states[:, 0], atol=1e-5)
    hidden = model.encode_both_ways(torch.tensor([[7, 9, 5]]), masked)
    torch.testing.assert_close(hidden, states)


def test_segments_are_stretches_of_at_most_half():
    torch.manual_seed(0)
    lengths = torch.tensor([2, 3, 6, 9] * 300).unsqueeze(1)
    items = ragged(lengths.squeeze(1).tolist(), 9)
    inside = draw_segments(items, lengths)
    sizes = inside.sum(dim=1)
    assert (sizes >= 1).all() and (sizes <= lengths.squeeze(1) // 2).all() and not inside[items == 0].any()
    edges = (inside[:, 1:] != inside[:, :-1]).sum(dim=1) + inside[:, 0]
    assert (edges <= 2).all()
    of_nine = inside[3::4]
    assert of_nine.any(dim=0).all() and sizes[3::4].unique().tolist() == [1, 2, 3, 4]
    foreign = foreign_items(items, inside)
    assert torch.equal(foreign[~inside], items[~inside]) and (foreign[inside] > 0).all()


def test_negatives_are_not_in_the_row():
    torch.manual_seed(0)
    items = torch.arange(1, 10).repeat(50, 1)
    rows = torch.arange(50).repeat(20)
    drawn = items_not_in(items, rows, 13)
    assert set(drawn.tolist()) == {10, 11, 12}


def test_one_command_pretrains_saves_and_fine_tunes(settings):
    record = run("S3RecFixed", "tiny", (), {**settings, "pretrain_epochs": 2})
    folder = Path(settings["checkpoint_dir"]) / record["run_id"]
    pretrained = checkpoint.load_checkpoint(folder / "pretrained.pth")["state_dict"]
    log = next(folder.glob("*.log")).read_text()
    assert record["status"] == "completed" and log.count("pre-training ") == 2
    again = run("S3RecFixed", "tiny", (), {**settings, "epochs": 2, "pretrain_epochs": 2}, resume=None)
    assert again["history"][0]["train_loss"] == record["history"][0]["train_loss"]
    best = checkpoint.load_checkpoint(folder / "best.pth")["state_dict"]
    assert not torch.equal(pretrained["item_embedding.weight"], best["item_embedding.weight"])
    assert torch.equal(pretrained["mask_embedding"], best["mask_embedding"])


def test_without_pretraining_it_is_sasrec(settings):
    ours = run("S3RecFixed", "tiny", (), {**settings, "pretrain_epochs": 0})
    plain = {key: value for key, value in settings.items() if key != "pretrain_batch_size"}
    theirs = run("SASRecCE", "tiny", (), plain)
    assert ours["history"][0]["train_loss"] == theirs["history"][0]["train_loss"]
    assert (ours["valid"], ours["test"]) == (theirs["valid"], theirs["test"])


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"mask_ratio": 0.0}, "mask_ratio must be between 0 and 1, both excluded"),
        ({"sp_weight": -1.0}, "sp_weight must be at least 0"),
        ({"train_mode": "pairwise"}, "leave train_mode=packed"),
    ],
)
def test_bad_settings_are_refused(settings, changes, message):
    with pytest.raises(ConfigError, match=message):
        built_run("S3RecFixed", "tiny", (), {**settings, **changes}).model  # noqa: B018

"""PeterRec on masked items: what is hidden, what a state sees, and that fine-tuning begins where this ends."""

import pytest
import torch
import torch.nn.functional as F
from model.baselines.peterrec_runs import EXACT, of, small_settings, stir, write_start
from torch import nn

from recbole_mpo.common.errors import CheckpointError, ConfigError
from recbole_mpo.data.batches import PackedBatch
from recbole_mpo.model.baselines import peterrec_both_sides
from recbole_mpo.model.baselines.peterrec import PeterRec
from recbole_mpo.model.baselines.peterrec_both_sides import Prefixes, masked_batch
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.trainer import checkpoint

MASKED = {"pretrain_mode": "masked"}
# Two histories in one row and one in another, with the target after each place that predicts.
BATCH = PackedBatch(
    items=torch.tensor([[4, 5, 6, 7, 8], [9, 3, 0, 0, 0]]),
    positions=torch.tensor([[0, 1, 2, 0, 1], [0, 1, 0, 0, 0]]),
    predicting=torch.tensor([0, 1, 2, 4, 6]),
    targets=torch.tensor([5, 6, 1, 2, 4]),
    users=torch.tensor([1, 1, 1, 2, 3]),
)
WHOLE = [[4, 5, 6, 1], [7, 8, 2], [9, 3, 4]]


@pytest.fixture
def settings(tiny_settings):
    """A run on ``tiny`` by ids, of four blocks."""
    return {**small_settings(tiny_settings), **MASKED}


def same_convolutions(model, vectors_LD, form=None):
    """The network as ``nn.Conv1d`` with equal padding computes it, for one sequence; patches by the paper's formula."""
    states = vectors_LD
    for number, block in enumerate(model.convolutions.blocks):
        hidden = states
        for half, (convolution, norm) in enumerate(((block.conv1, block.ln1), (block.conv2, block.ln2))):
            weight, dilation = convolution.weight, convolution.dilation
            out = F.conv1d(hidden.t()[None], weight, convolution.bias, padding="same", dilation=dilation)[0].t()
            if form is not None:
                patch, read = model.patches[number][half], out if form == "serial" else hidden
                out = out + patch.up(F.gelu(patch.down(read)))
            hidden = torch.relu(norm(out))
        states = states + hidden
    return states


class TestPrefixes:
    def test_they_stand_one_after_another(self):
        prefixes = Prefixes(BATCH.positions, torch.tensor([2, 3, 6]), before=0, behind=1)
        assert prefixes.lengths_W.tolist() == [4, 2, 3]
        assert (prefixes.firsts_W.tolist(), prefixes.lasts_W.tolist()) == ([0, 4, 6], [3, 5, 8])
        assert prefixes.runs_S.tolist() == [0, 0, 0, 0, 1, 1, 2, 2, 2]
        assert prefixes.positions_S.tolist() == [0, 1, 2, 3, 0, 1, 0, 1, 2]
        assert BATCH.items.flatten()[prefixes.places_S[prefixes.is_item_S]].tolist() == [4, 5, 6, 7, 9, 3]

    def test_tokens_may_come_first(self):
        prefixes = Prefixes(BATCH.positions, torch.tensor([4, 0]), before=1, behind=1)
        assert prefixes.is_item_S.tolist() == [False, True, True, False, False, True, False]
        assert prefixes.positions_S.tolist() == [-1, 0, 1, 2, -1, 0, 1]
        assert BATCH.items.flatten()[prefixes.places_S[prefixes.is_item_S]].tolist() == [7, 8, 4]


class TestMaskedBatch:
    def whole(self, batch):
        begins = (batch.positions[0] == 0).nonzero().squeeze(1).tolist()
        return [batch.items[0, begin:end].tolist() for begin, end in zip(begins, [*begins[1:], None], strict=True)]

    @pytest.mark.parametrize("ratio", [0.0, 0.3, 1.0])
    def test_histories_are_whole_with_their_last_target(self, ratio):
        torch.manual_seed(0)
        batch = masked_batch(BATCH, ratio)
        assert self.whole(batch) == WHOLE
        assert torch.equal(batch.items[0, batch.predicting], batch.targets)
        of_user = {1: {4, 5, 6, 1}, 2: {7, 8, 2}, 3: {9, 3, 4}}
        assert all(
            item in of_user[user] for user, item in zip(batch.users.tolist(), batch.targets.tolist(), strict=True)
        )
        # One of each history at least, and all in the end.
        assert set(batch.users.tolist()) == {1, 2, 3}
        assert len(batch) == {0.0: 3, 1.0: 10}.get(ratio, len(batch))

    def test_a_share_of_the_items_is_hidden(self, settings):
        torch.manual_seed(0)
        batch = next(iter(of(settings, train_batch_size=2048).loaders[0]))
        hidden = sum(len(masked_batch(batch, 0.4)) for _ in range(50)) / 50
        assert hidden / masked_batch(batch, 0.4).items.numel() == pytest.approx(0.4, abs=0.03)

    def test_real_batches_lose_no_history(self, settings):
        built = of(settings)
        for batch in built.loaders[0]:
            lengths = [len(one) for one in self.whole(masked_batch(batch, 0.2))]
            assert sum(lengths) == len(batch) + len(lengths)


class TestLoss:
    @pytest.fixture
    def model(self, settings):
        return stir(of(settings).model).double()

    @pytest.mark.parametrize("mask_pad", [False, True])
    def test_it_is_the_mean_over_masked_items_of_the_cross_entropy_from_both_sides(self, settings, mask_pad):
        """L = -1/|M| sum over m in M of log p(x_m | x without M), one history after another."""
        model = stir(of(settings, mask_pad=mask_pad).model).double()
        torch.manual_seed(3)
        loss = model.calculate_loss(BATCH)
        torch.manual_seed(3)
        hidden = masked_batch(BATCH, 0.2).predicting.tolist()
        terms, begin = [], 0
        for history in WHOLE:
            masked = [place - begin for place in hidden if begin <= place < begin + len(history)]
            read = model.item_embedding.weight[history].clone()
            read[masked] = model.mask_vector
            logits = same_convolutions(model, read)[masked] @ model.head.weight.t()
            logits = logits[:, 1:] if mask_pad else logits
            chances = torch.log_softmax(logits, dim=1)
            terms += [-chances[row, history[place] - int(mask_pad)] for row, place in enumerate(masked)]
            begin += len(history)
        expected = torch.stack(terms).mean()
        torch.testing.assert_close(loss, expected, **EXACT)
        trained = list(model.parameters())
        got, wanted = torch.autograd.grad(loss, trained), torch.autograd.grad(expected, trained)
        for one, other in zip(got, wanted, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9 * max(1.0, other.abs().max().item()))

    def test_in_chunks_it_is_the_same(self, model):
        torch.manual_seed(3)
        expected = model.calculate_loss(BATCH)
        model.objective.objective.in_chunks = True
        torch.manual_seed(3)
        torch.testing.assert_close(model.calculate_loss(BATCH), expected, **EXACT)

    def test_a_sample_of_items_is_possible(self, settings):
        assert of(settings, loss="sampled", sampled_items=5).model.calculate_loss(BATCH).isfinite()

    def test_a_masked_item_does_not_leak_through_the_convolutions(self, model):
        torch.manual_seed(3)
        # One of each history.
        batch = masked_batch(BATCH, 0.0)
        vectors, places = model.encode_items(), (batch.positions[0], batch.predicting)
        before = model.sequence.masked_states(vectors, batch.items[0], *places)
        changed = batch.items[0].clone()
        changed[batch.predicting] = 11
        assert torch.equal(model.sequence.masked_states(vectors, changed, *places), before)
        seen = next(place for place in range(4) if place not in batch.predicting.tolist())
        changed[seen] = 12
        after = model.sequence.masked_states(vectors, changed, *places)
        first = batch.predicting < 4
        assert (after[first] != before[first]).any(dim=1).all() and torch.equal(after[~first], before[~first])


class TestStates:
    @pytest.mark.parametrize("form", ["serial", "parallel"])
    @pytest.mark.parametrize("stage", ["pretrain", "token", "mask"])
    def test_a_state_is_that_of_a_mask_behind_or_of_tokens_at_both_ends(self, settings, stage, form):
        changes = {"finetune_mode": "PeterZero", "cls_token": stage == "token", "patch_form": form}
        tuned = stage != "pretrain"
        built = of(settings, train_stage="finetune" if tuned else "pretrain", **(changes if tuned else {}))
        model = stir(built.model).double()
        vectors = model.encode_items()
        states = model.predicting_states(vectors, BATCH.items, BATCH)
        assert states.shape == (5, 16)
        prefixes = [[4], [4, 5], [4, 5, 6], [7, 8], [9, 3]]
        for state, prefix in zip(states, prefixes, strict=True):
            read = model.item_embedding.weight[prefix]
            if stage == "token":
                ends = same_convolutions(model, torch.cat([model.cls_vector[None], read, model.cls_vector[None]]), form)
                expected = ends[0] + ends[-1]
            else:
                sequence = torch.cat([read, model.mask_vector[None]])
                expected = same_convolutions(model, sequence, form if tuned else None)[-1]
            torch.testing.assert_close(state, expected, **EXACT)

    def test_padding_and_later_items_do_not_count(self, settings):
        model = stir(of(settings).model).double().eval()
        vectors = model.encode_items()
        items, wide = torch.tensor([[4, 5, 6]]), torch.tensor([[4, 5, 6, 9, 0, 0], [1, 2, 3, 4, 5, 6]])
        every = model.encode_sequences(vectors, items, torch.tensor([3]), every_position=True)
        others = model.encode_sequences(vectors, wide, torch.tensor([4, 6]), every_position=True)
        torch.testing.assert_close(others[:1, :3], every, **EXACT)
        last = model.encode_sequences(vectors, wide, torch.tensor([3, 6]))
        torch.testing.assert_close(last[0], every[0, 2], **EXACT)
        rows = {"item_id_list": wide, "item_length": torch.tensor([3, 6])}
        torch.testing.assert_close(model.encode_histories(vectors, rows), last, **EXACT)

    def test_many_prefixes_are_computed_in_parts(self, settings, monkeypatch):
        model = stir(of(settings, train_stage="finetune", finetune_mode="FineAll").model).double()
        results = []
        for most in (1 << 15, 6):
            monkeypatch.setattr(peterrec_both_sides, "MOST_STATES", most)
            loss = model.calculate_loss(BATCH)
            results.append([loss, *torch.autograd.grad(loss, list(model.parameters()))])
        for one, other in zip(*results, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9 * max(1.0, other.abs().max().item()))


class TestFineTuning:
    @pytest.fixture
    def start(self, settings, tmp_path):
        return write_start(settings, tmp_path)

    @pytest.mark.parametrize(
        ("changes", "wanted"),
        [
            ({}, {"head", "cls_vector", "patches"}),
            ({"cls_token": False}, {"head", "patches"}),
            ({"finetune_mode": "FineCLS", "cls_token": False}, {"head"}),
        ],
    )
    def test_it_begins_with_the_network_and_leaves_it_as_it_is(self, start, changes, wanted):
        settings = {**start, **changes}
        source = checkpoint.load_checkpoint(settings["pretrained"])["state_dict"]
        record = run("PeterRec", "tiny", (), settings)
        after = checkpoint.load_checkpoint(f"{settings['checkpoint_dir']}/{record['run_id']}/last.pth")["state_dict"]
        frozen = {name for name in after if name.split(".")[0] not in wanted}
        assert {name.split(".")[0] for name in frozen} == {"convolutions", "item_embedding"} | (
            set() if settings.get("cls_token", True) else {"mask_vector"}
        )
        assert all(torch.equal(after[name], source[name]) for name in frozen)
        assert not torch.equal(after["head.weight"], source["head.weight"])
        assert record["label"] == PeterRec.label("PeterRec", of(settings).config)

    def test_pretraining_trains_everything_and_ranks_by_a_mask_behind(self, settings):
        record = run("PeterRec", "tiny", (), {**settings, "epochs": 3})
        losses = [epoch["train_loss"] for epoch in record["history"]]
        assert losses[2] < losses[0]
        assert record["label"] == "PeterRec (pretrain, masked)"
        assert record["params"]["by_group"]["mask"] == {"total": 16, "trainable": 16}

    def test_both_runs_need_the_same_mode(self, start, settings, tmp_path):
        with pytest.raises(CheckpointError, match="pretrain_mode=masked, but this run has causal"):
            of({**start, "pretrain_mode": "causal"}).model  # noqa: B018
        (tmp_path / "causal").mkdir()
        causal = write_start({**settings, "pretrain_mode": "causal"}, tmp_path / "causal")
        state = checkpoint.load_checkpoint(causal["pretrained"])
        # Versions before this setting.
        del state["config"]["pretrain_mode"]
        checkpoint.save_checkpoint(state, causal["pretrained"])
        of(causal).model  # noqa: B018
        with pytest.raises(CheckpointError, match="pretrain_mode=causal, but this run has masked"):
            of({**causal, **MASKED}).model  # noqa: B018


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kernel_size": 4}, "pretrain_mode=masked needs an odd kernel_size, with a tap in the middle, not 4"),
        ({"evidence": ["covisit"]}, "leave evidence out; fine-tuning takes it"),
        ({"patch_reduction": 17}, "patch_reduction 17 is larger than hidden_size 16"),
        ({"pretrain_mode": "causal", "mask_ratio": 0.3}, "mask_ratio has no effect without pretrain_mode=masked"),
        ({"pretrain_mode": "both"}, "pretrain_mode is 'both'; choose one of causal, masked"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, changes, message):
    with pytest.raises(ConfigError, match=message):
        of(settings, **changes).model  # noqa: B018


def test_evidence_goes_with_fine_tuning(settings):
    model = of(settings, train_stage="finetune", finetune_mode="PeterZero", evidence=["covisit"]).model
    assert isinstance(model.evidence, nn.Module) and model.calculate_loss(BATCH).isfinite()

"""The three losses of the text models: one value where they promise it, and memory that a chunk bounds."""

import pytest
import torch
import torch.nn.functional as F
from support import built_run
from torch.utils._python_dispatch import TorchDispatchMode

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.layers.ranks import ALONE
from recbole_mpo.model import objective, sequential
from recbole_mpo.model.objective import (
    SampledSoftmaxObjective,
    SoftmaxObjective,
    columns_of,
    draw_without_replacement,
    make_objective,
)
from recbole_mpo.quick_start.recorded_run import run

QUIET = {
    "hidden_dropout_prob": 0.0,
    "attn_dropout_prob": 0.0,
    "adaptor_dropout_prob": 0.0,
    "noisy_gating": False,
}


def model_and_batch(settings, name="MPORec", **overrides):
    """A model in double precision with biases that are not zero, and its first batch."""
    experiment = built_run(name, "tiny", (), {**settings, **overrides})
    model = experiment.model.double().train()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
            parameter.add_(0.05 * noise * parameter.requires_grad)
    return model, next(iter(experiment.loaders[0]))


def loss_and_gradients(model, batch):
    model.zero_grad()
    torch.manual_seed(3)
    loss = model.calculate_loss(batch)
    loss.backward()
    return loss.detach(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def assert_same(found, expected):
    torch.testing.assert_close(found[0], expected[0], rtol=1e-9, atol=0)
    assert found[1].keys() == expected[1].keys()
    for name, gradient in expected[1].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-9, atol=1e-12, msg=name)


@pytest.mark.parametrize("train_mode", ["packed", "pairwise"])
@pytest.mark.parametrize(("name", "item_input"), [("UniSRec", "text"), ("MPORec", "text+id"), ("MPORecLight", "text")])
def test_chunked_is_full(tiny_settings, monkeypatch, name, item_input, train_mode):
    monkeypatch.setattr(objective, "CHUNK_LOGITS", 100)
    settings = {**tiny_settings, **QUIET, "train_mode": train_mode, "item_input": item_input}
    expected = loss_and_gradients(*model_and_batch(settings, name, loss="full"))
    found = loss_and_gradients(*model_and_batch(settings, name, loss="chunked", item_chunk=7))
    assert_same(found, expected)


def test_chunks_encoded_again_draw_the_same_noise(tiny_settings, monkeypatch):
    """Against the same chunks with all activations kept."""
    case = model_and_batch(tiny_settings, loss="chunked", item_chunk=7)
    found = loss_and_gradients(*case)
    monkeypatch.setattr(sequential, "checkpoint", lambda function, *inputs, use_reentrant: function(*inputs))
    assert_same(found, loss_and_gradients(*case))


class LargestTensor(TorchDispatchMode):
    """Notes the most entries of any tensor that an operation returns."""

    def __init__(self):
        super().__init__()
        self.entries = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        tensors = result if isinstance(result, tuple | list) else (result,)
        self.entries = max([self.entries, *(x.numel() for x in tensors if isinstance(x, torch.Tensor))])
        return result


def largest_tensor(model, batch):
    with LargestTensor() as largest:
        model.calculate_loss(batch).backward()
    return largest.entries


def kept_for_backward(model, batch):
    """Entries of all distinct tensors that the forward pass keeps."""
    kept = {}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = model.calculate_loss(batch)
    del loss
    return sum(kept.values())


def test_chunked_holds_neither_all_logits_nor_all_activations(tiny_settings, monkeypatch):
    monkeypatch.setattr(objective, "CHUNK_LOGITS", 500)
    settings = {**tiny_settings, "train_batch_size": 10**6, "hidden_size": 8, "inner_size": 8, "n_exps": 8}
    model, batch = model_and_batch(settings, loss="full")
    logits, activations = len(batch) * model.n_items, 8 * model.item_table.features.numel()
    full = kept_for_backward(model, batch)
    assert largest_tensor(model, batch) >= logits and full >= activations
    model, batch = model_and_batch(settings, loss="chunked", item_chunk=7)
    states = batch.items.numel() * 3 * 8
    attention = batch.items.shape[0] * model.trm_encoder.layer[0].multi_head_attention.num_heads
    allowed = max(states, attention * batch.items.shape[1] ** 2, model.item_table.features.numel())
    assert allowed < logits
    assert largest_tensor(model, batch) <= allowed
    assert kept_for_backward(model, batch) < full - activations / 2


def test_equal_texts_tie_exactly_however_items_are_chunked(tiny_settings):
    """The last chunk of what is left over would hold one to three rows, whose product rounds otherwise."""
    model, _ = model_and_batch(tiny_settings)
    model.float().eval()
    features = torch.randn(1, model.item_table.features.shape[1]).repeat(model.n_items, 1)
    model.item_table.features.copy_(features)
    for size in (model.n_items - 3, model.n_items - 2, model.n_items - 1, model.n_items):
        model.item_chunk = size
        with torch.no_grad():
            vectors = model.encode_items()[1:]
        assert torch.equal(vectors, vectors[:1].expand_as(vectors)), size


@pytest.mark.parametrize("mask_pad", [False, True])
@pytest.mark.parametrize("train_mode", ["packed", "pairwise"])
def test_a_sample_of_all_items_is_full(tiny_settings, train_mode, mask_pad):
    settings = {**tiny_settings, **QUIET, "train_mode": train_mode, "mask_pad": mask_pad}
    expected = loss_and_gradients(*model_and_batch(settings, loss="full"))
    found = loss_and_gradients(*model_and_batch(settings, loss="sampled", sampled_items=10**6))
    assert_same(found, expected)


def test_sampled_encodes_the_batch_and_the_sample_alone(tiny_settings, monkeypatch):
    model, batch = model_and_batch(tiny_settings, loss="sampled", sampled_items=3, train_batch_size=4)
    encoded = []
    encode = model.encode_items
    monkeypatch.setattr(model, "encode_items", lambda ids, recomputes: encoded.append(ids) or encode(ids))
    model.calculate_loss(batch)
    (ids,) = encoded
    needed = set(batch.items.flatten().tolist()) | set(batch.targets.tolist()) | {0}
    assert needed <= set(ids.tolist())
    assert len(ids) == len(ids.unique()) <= len(needed) + 3 < model.n_items


def test_sampled_loss_is_near_the_full_one(tiny_settings):
    expected = loss_and_gradients(*model_and_batch({**tiny_settings, **QUIET}, loss="full"))[0].item()
    model, batch = model_and_batch({**tiny_settings, **QUIET}, loss="sampled", sampled_items=10)
    torch.manual_seed(0)
    with torch.no_grad():
        estimates = torch.stack([model.calculate_loss(batch) for _ in range(200)])
    assert estimates.std() > 0
    assert estimates.mean().item() == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("loss", ["chunked", "sampled"])
def test_trains_as_well_as_the_full_loss(tiny_settings, loss):
    settings = {**tiny_settings, "epochs": 8, "learning_rate": 0.003}
    small = {"loss": loss, "sampled_items": 20, "item_chunk": 16}
    full, other = (run("MPORec", "tiny", (), {**settings, **extra}) for extra in ({"loss": "full"}, small))
    assert other["status"] == "completed"
    first, last = (record["history"][-1]["train_loss"] for record in (full, other))
    assert last == pytest.approx(first, rel=0.2)
    assert other["history"][-1]["train_loss"] < other["history"][0]["train_loss"]


def test_evaluation_encodes_items_in_chunks(tiny_settings):
    model, _ = model_and_batch(tiny_settings, item_chunk=7)
    model.eval()
    with torch.no_grad():
        found = model.encode_items(), model.encode_items(torch.tensor([3, 0, 5, 8, 2, 9, 1, 4, 7]))
        model.item_chunk = 10**6
        expected = model.encode_items(), model.encode_items(torch.tensor([3, 0, 5, 8, 2, 9, 1, 4, 7]))
    for ours, whole in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, whole, rtol=1e-12, atol=1e-14)


def test_unknown_losses_and_sizes_are_refused(tiny_settings):
    with pytest.raises(ConfigError, match="loss is 'ful'; choose one of full, chunked, sampled"):
        model_and_batch(tiny_settings, loss="ful")
    with pytest.raises(ConfigError, match="item_chunk"):
        model_and_batch(tiny_settings, item_chunk=0)
    with pytest.raises(ConfigError, match="sampled_items"):
        model_and_batch(tiny_settings, sampled_items=0)


def test_a_full_loss_that_needs_gigabytes_is_warned_about(tiny_settings, monkeypatch, caplog):
    monkeypatch.setattr(objective, "MANY_LOGITS", 1000)
    model_and_batch(tiny_settings)
    assert "loss=chunked gives the same loss in less memory" in caplog.text
    caplog.clear()
    model_and_batch(tiny_settings, loss="chunked")
    assert not caplog.text


class TwoItemsAhead:
    """A made-up model: states are given, items have fixed vectors, and the target is column 1 of a batch [M, 2]."""

    ranks = ALONE

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        self.table = torch.randn(9, 4, generator=generator, dtype=torch.float64)
        self.encoded = []

    def inputs_and_targets(self, batch):
        return batch[:, :1], batch[:, 1].contiguous()

    def encode_shared_items(self, ids=None, recomputes=False):
        self.encoded.append((ids, recomputes))
        return self.table if ids is None else self.table[ids]

    def predicting_states(self, item_vectors, items, batch):
        return item_vectors[items[:, 0]]

    def evidence_of(self, batch, columns=None):
        return None

    def queries(self, states):
        return 3 * states

    def candidates(self, item_vectors):
        return item_vectors + 1


class TestAnyModel:
    BATCH = torch.tensor([[1, 2], [3, 4], [5, 2]])

    def logits(self, model):
        return 3 * model.table[self.BATCH[:, 0]] @ (model.table + 1).t()

    @pytest.mark.parametrize("in_chunks", [False, True])
    @pytest.mark.parametrize("mask_pad", [False, True])
    def test_the_loss_is_the_mean_cross_entropy_over_all_items(self, mask_pad, in_chunks):
        model = TwoItemsAhead()
        loss = SoftmaxObjective(mask_pad, in_chunks)(model, self.BATCH)
        expected = F.cross_entropy(self.logits(model)[:, mask_pad:], self.BATCH[:, 1] - int(mask_pad))
        torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-9)
        assert model.encoded == [(None, in_chunks)]

    @pytest.mark.parametrize("mask_pad", [False, True])
    def test_a_sample_of_everything_is_the_same_loss(self, mask_pad):
        model = TwoItemsAhead()
        counts = torch.bincount(self.BATCH[:, 1], minlength=9)
        sampled = SampledSoftmaxObjective(mask_pad, 10**6, counts)
        assert sampled.sampled_items == 8 and not sampled.state_dict()
        expected = SoftmaxObjective(mask_pad)(model, self.BATCH)
        torch.testing.assert_close(sampled(model, self.BATCH), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("mask_pad", [False, True])
def test_candidates_are_targets_pad_and_what_was_drawn(mask_pad):
    targets = torch.tensor([7, 2, 7])
    counts = torch.zeros(101, dtype=torch.long).index_put((torch.tensor([2, 7, 9]),), torch.tensor([1, 2, 3]))
    sampled = SampledSoftmaxObjective(mask_pad, 5, counts)
    torch.manual_seed(0)
    ids, inclusion = sampled.draw_candidates(targets)
    assert ids.tolist() == sorted(set(ids.tolist())) and {2, 7} <= set(ids.tolist())
    assert (0 in ids.tolist()) != mask_pad and 5 <= len(ids) <= 5 + 3
    assert ((0 < inclusion) & (inclusion <= 1)).all()
    chance = dict(zip(ids.tolist(), inclusion.tolist(), strict=True))
    assert mask_pad or chance[0] == 1
    # Frequent targets are candidates more often; an item that is no target is drawn in 5 of 100.
    assert chance[7] > chance[2] > 0.05
    strangers = [value for item, value in chance.items() if counts[item] == 0 and item]
    assert strangers == pytest.approx([0.05] * len(strangers))


@pytest.mark.parametrize(
    ("loss", "kind", "in_chunks"),
    [
        ("full", SoftmaxObjective, False),
        ("chunked", SoftmaxObjective, True),
        ("sampled", SampledSoftmaxObjective, None),
    ],
)
def test_the_setting_names_the_objective(tiny_settings, loss, kind, in_chunks):
    run = built_run("UniSRec", "tiny", (), {**tiny_settings, "loss": loss, "mask_pad": True})
    made = make_objective(run.config, run.splits[0])
    assert type(made) is type(run.model.objective) is kind and made.mask_pad is True
    if loss == "sampled":
        assert torch.equal(made.target_counts, torch.bincount(run.splits[0].inter_feat["item_id"], minlength=31))
    else:
        assert made.in_chunks is in_chunks


class TestDrawingWithoutReplacement:
    @pytest.mark.parametrize("count", [7, 40])
    def test_every_number_is_as_likely(self, monkeypatch, count):
        monkeypatch.setattr(objective, "MOST_PERMUTED", 10)
        torch.manual_seed(0)
        drawn = torch.stack([draw_without_replacement(count, 5, torch.device("cpu")) for _ in range(4000)])
        assert (drawn.sort(dim=1).values.diff(dim=1) > 0).all()
        shares = torch.bincount(drawn.flatten(), minlength=count) / len(drawn)
        assert len(shares) == count and shares.sub(5 / count).abs().max() < 0.04

    def test_pairs_are_as_likely(self, monkeypatch):
        monkeypatch.setattr(objective, "MOST_PERMUTED", 0)
        torch.manual_seed(0)
        pairs = [frozenset(draw_without_replacement(8, 2, torch.device("cpu")).tolist()) for _ in range(5600)]
        counts = [pairs.count(pair) for pair in set(pairs)]
        assert len(counts) == 28 and max(abs(count - 200) for count in counts) < 60

    def test_a_catalogue_of_a_million_draws_as_before(self):
        torch.manual_seed(1)
        drawn = draw_without_replacement(1 << 20, 5, torch.device("cpu"))
        torch.manual_seed(1)
        assert torch.equal(drawn, torch.randperm(1 << 20)[:5])

    def test_of_many_numbers_none_is_listed(self):
        with LargestTensor() as largest:
            drawn = draw_without_replacement(10**7, 1000, torch.device("cpu"))
        assert largest.entries < 4000 and len(drawn.unique()) == 1000

    def test_a_large_share_is_drawn_too(self, monkeypatch):
        monkeypatch.setattr(objective, "MOST_PERMUTED", 0)
        assert draw_without_replacement(6, 6, torch.device("cpu")).sort().values.tolist() == list(range(6))


def test_columns_of_all_items_are_made_only_for_evidence(tiny_settings, monkeypatch):
    made = []
    monkeypatch.setattr(objective, "columns_of", lambda *given: made.append(given) or columns_of(*given))
    for kinds in ([], ["covisit"]):
        model, batch = model_and_batch(tiny_settings, loss="sampled", sampled_items=3, evidence=kinds)
        model.calculate_loss(batch)
        assert bool(made) == bool(kinds)

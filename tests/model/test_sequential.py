"""The text models' contract, their parameter counts, and packed training against RecBole's padded rows."""

import numpy as np
import pytest
import torch

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.data.batches import pack
from recbole_mpo.data.sequences import Rows, training_windows
from recbole_mpo.layers.mpo.convert import merge_mpo, merged
from recbole_mpo.model.parameters import count_parameters, freeze
from recbole_mpo.quick_start.experiment import Experiment

QUIET = {
    "hidden_dropout_prob": 0.0,
    "attn_dropout_prob": 0.0,
    "adaptor_dropout_prob": 0.0,
    "noisy_gating": False,
}
ALL_MODELS = ["UniSRec", "MPORec", "MPORecLight", "MPORecExpand"]


class ScientificShapes:
    """Stands for a data set of Scientific's size with BERT features: sizes are all that counting needs."""

    item_hash = feature_hash = "none"

    def num(self, field):
        return {"item_id": 4386, "user_id": 8443}[field]

    def item_features(self):
        return torch.zeros(4386, 768)


def paper_model(tiny_settings, name, **overrides):
    """A model of the paper's sizes: 768-d features, hidden 300, frozen sequence encoder."""
    paper_sizes = {"hidden_size": 300, "inner_size": 256, "n_exps": 8}
    experiment = Experiment.of(name, "tiny", (), {**tiny_settings, **paper_sizes, **overrides})
    model = experiment.spec.model_class(experiment.config, ScientificShapes())
    freeze(model, ["encoder", "positions"])
    return model


# Table 6 of the paper, recomputed exactly; the frozen text table is part of the total.
@pytest.mark.parametrize(
    ("name", "overrides", "total", "trainable"),
    [
        ("UniSRec", {}, 6_278_792, 1_862_232),
        ("MPORec", {}, 6_525_864, 2_109_304),
        ("MPORecLight", {}, 6_525_864, 266_104),
        ("MPORecExpand", {}, 6_608_808, 2_192_248),
        ("MPORecExpand", {"mpo_expand": 2}, 6_608_808, 2_192_248),
        ("MPORecExpand", {"mpo_expand": 4}, 6_691_752, 2_275_192),
        ("MPORecExpand", {"mpo_expand": 6}, 6_774_696, 2_358_136),
    ],
)
def test_parameter_counts_of_table_6(tiny_settings, name, overrides, total, trainable):
    counts = count_parameters(paper_model(tiny_settings, name, **overrides))
    assert (counts["total"], counts["trainable"]) == (total, trainable)
    assert sum(group["total"] for group in counts["by_group"].values()) == total


def test_unisrec_f_freezes_as_published(tiny_settings):
    model = Experiment.of("UniSRec_F", "tiny", (), tiny_settings).model
    trained = {name.split(".")[0] for name, parameter in model.named_parameters() if parameter.requires_grad}
    frozen = {name.split(".")[0] for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert trained == {"moe_adaptor", "LayerNorm"}
    assert frozen == {"position_embedding", "trm_encoder"}


def test_light_trains_every_core_but_the_central_one(tiny_settings):
    model = Experiment.of("MPORecLight", "tiny", (), tiny_settings).model
    cores = {name: p.requires_grad for name, p in model.named_parameters() if ".cores." in name}
    assert cores and all(trained == (not name.endswith(".cores.2")) for name, trained in cores.items())


def test_parameter_names_are_unisrecs(tiny_settings):
    names = set(Experiment.of("UniSRec", "tiny", (), {**tiny_settings, "item_input": "text+id"}).model.state_dict())
    heads = {name.split(".")[0] for name in names}
    assert heads == {"position_embedding", "trm_encoder", "LayerNorm", "moe_adaptor", "item_embedding"}
    assert "trm_encoder.layer.1.multi_head_attention.query.weight" in names
    assert "moe_adaptor.experts.1.lin.weight" in names


@pytest.mark.parametrize(
    ("name", "item_input"),
    [(name, item_input) for name in ALL_MODELS for item_input in ("text", "text+id")] + [("UniSRec", "id")],
)
def test_contract(tiny_settings, name, item_input):
    experiment = Experiment.of(name, "tiny", (), {**tiny_settings, "item_input": item_input})
    model = experiment.model.eval()
    rows = next(iter(experiment.loaders[1]))[0]
    vectors = model.encode_items()
    assert vectors.shape == (experiment.dataset.item_num, 16)
    ids = torch.tensor([3, 0, 5])
    torch.testing.assert_close(model.encode_items(ids), vectors[ids])
    scores = model.full_sort_predict(rows)
    assert scores.shape == (len(rows), experiment.dataset.item_num)
    picked = scores.gather(1, rows["item_id"][:, None])[:, 0]
    torch.testing.assert_close(model.predict(rows), picked)
    last = model.encode_sequences(vectors, rows["item_id_list"], rows["item_length"])
    every = model.encode_sequences(vectors, rows["item_id_list"], rows["item_length"], every_position=True)
    torch.testing.assert_close(every[torch.arange(len(rows)), rows["item_length"] - 1], last)


def test_id_input_has_nothing_to_factorise(tiny_settings):
    experiment = Experiment.of("MPORec", "tiny", (), {**tiny_settings, "item_input": "id"})
    with pytest.raises(ConfigError, match="mpo_.*moe_adaptor"):
        experiment.model  # noqa: B018


def batches(experiment, limit=400):
    """The same training rows packed and as RecBole's padded rows; histories of at most L + 1 items."""
    train, length = experiment.splits[0], experiment.config["MAX_ITEM_LIST_LENGTH"]
    rows = train.rows()
    cut_users = np.unique(rows.users[rows.lengths >= length])
    index = np.flatnonzero(~np.isin(rows.users, cut_users) & (rows.users <= limit))
    windows = training_windows(Rows(rows.users[index], rows.ends[index], rows.lengths[index]), length)
    return pack(train.flat_items, windows), train[index]


def loss_and_gradients(model, batch):
    model.zero_grad()
    loss = model.calculate_loss(batch)
    loss.backward()
    return loss.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_packed_equals_pairwise(experiment, dtype, tolerance):
    model = experiment.model.to(dtype).train()
    packed, pairwise = batches(experiment)
    assert sorted(packed.targets.tolist()) == sorted(pairwise["item_id"].tolist())
    packed_loss, packed_gradients = loss_and_gradients(model, packed)
    loss, gradients = loss_and_gradients(model, pairwise)
    assert abs(packed_loss - loss) <= tolerance * loss
    assert gradients.keys() == packed_gradients.keys()
    assert gradients.keys() == {name for name, p in model.named_parameters() if p.requires_grad} - unused(model)
    largest = max(gradient.abs().max() for gradient in gradients.values())
    for name, gradient in gradients.items():
        # The softmax of attention ignores key biases: their gradient is rounding around zero.
        scale = largest if name.endswith("key.bias") else gradient.abs().max()
        assert (packed_gradients[name] - gradient).abs().max() <= tolerance * scale, name


def unused(model):
    return {name for name, _ in model.named_parameters() if name.endswith("w_noise")}


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-5)])
@pytest.mark.parametrize("name", ALL_MODELS)
def test_packed_equals_pairwise(tiny_settings, name, dtype, tolerance):
    assert_packed_equals_pairwise(Experiment.of(name, "tiny", (), {**tiny_settings, **QUIET}), dtype, tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["UniSRec", "MPORec"])
def test_packed_equals_pairwise_on_scientific(shared_data, tmp_path, name):
    settings = {"data_path": str(shared_data), "cache_dir": str(tmp_path), "text_encoder": "tfidf-svd", **QUIET}
    assert_packed_equals_pairwise(Experiment.of(name, "Scientific", (), settings), torch.float64, 1e-9)


@pytest.mark.parametrize("name", ["MPORec", "MPORecExpand"])
def test_starts_as_the_dense_model_of_the_same_seed(tiny_settings, name):
    dense = Experiment.of("UniSRec", "tiny", (), tiny_settings)
    factorised = Experiment.of(name, "tiny", (), tiny_settings)
    rows = next(iter(dense.loaders[1]))[0]
    expected = dense.model.eval().full_sort_predict(rows)
    assert (factorised.model.eval().full_sort_predict(rows) - expected).abs().max() < 1e-5


@pytest.mark.parametrize("target_modules", [["moe_adaptor.experts.*.lin"], "all-linear"])
def test_merged_scores_are_the_unmerged_ones(tiny_settings, target_modules):
    settings = {**tiny_settings, "mpo_target_modules": target_modules, "mpo_expand": 2}
    experiment = Experiment.of("MPORecExpand", "tiny", (), settings)
    model = experiment.model.eval()
    rows = next(iter(experiment.loaders[1]))[0]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
        expected = model.full_sort_predict(rows)
        with merged(model):
            assert (model.full_sort_predict(rows) - expected).abs().max() <= 1e-5
        assert (merge_mpo(model).full_sort_predict(rows) - expected).abs().max() <= 1e-5
    assert set(model.state_dict()) == set(Experiment.of("UniSRec", "tiny", (), tiny_settings).model.state_dict())


def test_pad_takes_no_gradient_but_stays_in_the_softmax(tiny_settings):
    experiment = Experiment.of("UniSRec", "tiny", (), {**tiny_settings, **QUIET})
    model = experiment.model
    packed, _ = batches(experiment)
    loss, gradients = loss_and_gradients(model, packed)
    # At zero biases PAD's vector has norm zero, where a cosine's gradient is of the order of 1e12.
    assert max(gradient.abs().max() for gradient in gradients.values()) < 100
    model.mask_pad = True
    assert model.calculate_loss(packed) < loss


def test_items_without_text_score_zero_and_take_no_gradient(tiny_settings, tiny_path):
    text = tiny_path / "tiny" / "tiny.text"
    lines = text.read_text().splitlines()
    text.write_text("\n".join([*lines[:-3], *(f"{line.split(chr(9))[0]}\t." for line in lines[-3:])]) + "\n")
    experiment = Experiment.of("UniSRec", "tiny", (), {**tiny_settings, **QUIET})
    model = experiment.model
    assert model.has_no_features.sum() == 1 + 3
    for expert in model.moe_adaptor.experts:
        torch.nn.init.normal_(expert.bias, std=1e-3)
    vectors = model.encode_items()
    assert not vectors[1:][model.has_no_features[1:]].any() and vectors[0].any()
    weights = torch.randn_like(vectors)
    for blank in (True, False):
        rows = model.has_no_features == blank
        (gradient,) = torch.autograd.grad(
            (vectors * weights)[rows].sum(), model.moe_adaptor.w_gate, retain_graph=True, allow_unused=True
        )
        assert bool(gradient.any()) != blank


def test_unknown_choices_are_named(tiny_settings):
    for overrides, message in [
        ({"item_input": "texts"}, "item_input is 'texts'; choose one of text, text\\+id, id"),
        ({"mpo_strategy": "lite"}, "mpo_strategy is 'lite'; choose one of full, light, expand"),
        ({"mpo_expand": 4}, "mpo_expand is set to 4, but mpo_strategy is 'full'"),
        ({"mpo_strategy": "light", "mpo_num_cores": 4}, "odd"),
        ({"mpo_in_factors": [2, 2, 2, 2, 2]}, "32"),
        ({"freeze": ["encoders"]}, "freeze names 'encoders'"),
    ]:
        with pytest.raises(ConfigError, match=message):
            Experiment.of("MPORec", "tiny", (), {**tiny_settings, **overrides}).model  # noqa: B018


@pytest.mark.parametrize("train_mode", ["packed", "pairwise"])
def test_evaluation_without_padding_equals_padded_rows(tiny_settings, train_mode):
    experiment = Experiment.of("MPORec", "tiny", (), {**tiny_settings, "train_mode": train_mode})
    model = experiment.model.double().eval()
    rows = next(iter(experiment.loaders[2]))[0]
    item_seq, lengths = rows[model.ITEM_SEQ], rows[model.ITEM_SEQ_LEN]
    assert lengths.min() < lengths.max()
    with torch.no_grad():
        vectors = model.encode_items()
        expected = model.encode_sequences(vectors, item_seq, lengths)
        torch.testing.assert_close(model.encode_histories(vectors, rows), expected, rtol=1e-9, atol=1e-12)

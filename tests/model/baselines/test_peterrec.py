"""PeterRec: what each mode trains, where patches start from, and what text does."""

import hashlib
from pathlib import Path

import pytest
import torch
from model.baselines.peterrec_runs import of, small_settings, stir, write_start

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.layers.convolution import SequenceConvolution
from recbole_mpo.model.parameters import count_parameters
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.release.recommend import Recommender
from recbole_mpo.trainer import checkpoint


@pytest.fixture
def settings(tiny_settings):
    """A run on ``tiny`` by ids, of four blocks."""
    return small_settings(tiny_settings)


@pytest.fixture
def start(settings, tmp_path):
    """Writes the checkpoint of an untrained pre-training run; returns the settings of fine-tuning from it."""

    def write(dataset="tiny", **changes):
        return write_start(settings, tmp_path, dataset, **changes)

    return write


def digests(weights):
    return {name: hashlib.sha256(value.detach().numpy().tobytes()).hexdigest() for name, value in weights.items()}


def blocks(*layers):
    return {f"convolutions.blocks.{layer}.{kind}" for layer in layers for kind in ("weight", "bias")}


def patch_names(count=4):
    return {
        f"patches.{block}.{half}.{way}.{kind}"
        for block in range(count) for half in (0, 1) for way in ("down", "up") for kind in ("weight", "bias")
    }  # fmt: skip


HEAD = {"head.weight"}
TRAINED = {
    "peterrec": HEAD | {"cls_vector"} | patch_names(),
    "FineCLS": HEAD,
    "FineLast1": HEAD | blocks("3.conv2", "3.ln2"),
    "FineLast2": HEAD | blocks("3.conv1", "3.ln1", "3.conv2", "3.ln2"),
    "PeterZero": HEAD | {"cls_vector"} | patch_names(),
}


class TestWhatIsTrained:
    @pytest.mark.parametrize("item_input", ["id", "text"])
    @pytest.mark.parametrize("mode", [*TRAINED, "FineAll"])
    def test_an_epoch_changes_these_and_no_other(self, start, mode, item_input):
        settings = {**start(item_input=item_input, text_encoder="tfidf-svd"), "finetune_mode": mode}
        if mode == "PeterZero":
            settings["pretrained"] = None
        model = of(settings).model
        before = model.state_dict()
        wanted = TRAINED.get(mode, set(before))
        model.train()
        model.calculate_loss(next(iter(of(settings).loaders[0]))).backward()
        assert {name for name, p in model.named_parameters() if p.grad is not None} == wanted
        assert {name for name, p in model.named_parameters() if p.requires_grad} == wanted
        record = run("PeterRec", "tiny", (), settings)
        after = checkpoint.load_checkpoint(f"{settings['checkpoint_dir']}/{record['run_id']}/last.pth")["state_dict"]
        before, after = digests(before), digests(after)
        assert {name for name in before if before[name] != after[name]} == wanted

    def test_normalisation_is_trained_on_demand(self, start):
        model = of(start(), patch_layer_norm=True).model
        trained = {name for name, p in model.named_parameters() if p.requires_grad}
        assert trained == TRAINED["peterrec"] | blocks(*(f"{block}.ln2" for block in range(4)))

    def test_pretraining_trains_everything_and_has_neither_patch_nor_token(self, settings):
        model = of(settings).model
        assert all(p.requires_grad for p in model.parameters())
        parts = {name.split(".")[0] for name, _ in model.named_parameters()}
        assert parts == {"convolutions", "head", "item_embedding"}

    def test_what_weighs_evidence_is_trained_in_every_mode(self, start):
        model = of(start(), finetune_mode="FineCLS", evidence=["covisit"]).model
        weighs = {f"evidence.kinds.covisit.{name}" for name in ("weight", "log_recent", "log_factor")}
        trained = {name for name, p in model.named_parameters() if p.requires_grad}
        assert trained == HEAD | weighs | {"evidence.repeats"}

    def test_parts_are_counted_apart(self, start):
        groups = count_parameters(of(start()).model)["by_group"]
        trainable = {group for group, counts in groups.items() if counts["trainable"]}
        assert trainable == {"patches", "head", "cls"}
        assert set(groups) - trainable == {"convolutions", "item_ids"}
        assert groups["head"]["total"] == 31 * 16 and groups["cls"]["total"] == 16


@pytest.mark.parametrize("form", ["serial", "parallel"])
def test_patches_start_as_the_network_they_are_put_into(start, form):
    settings = start()
    plain, patched = of(settings, finetune_mode="FineCLS"), of(settings, patch_form=form)
    patched.model.load_state_dict(plain.model.state_dict(), strict=False)
    rows = next(iter(plain.loaders[1]))[0]
    expected = plain.model.eval().full_sort_predict(rows)
    assert (patched.model.eval().full_sort_predict(rows) - expected).abs().max() < 1e-6
    random = of(settings, patch_form=form, patch_zero_init=False, initializer_range=0.5).model
    random.load_state_dict(plain.model.state_dict(), strict=False)
    assert not torch.allclose(random.eval().full_sort_predict(rows), expected, atol=1e-3)


@pytest.mark.parametrize("hidden", [64, 256, 300])
def test_patches_are_a_tenth_of_the_convolutions(settings, hidden, caplog):
    caplog.set_level("INFO")
    changes = {"hidden_size": hidden, "patch_reduction": 8, "dilations": [1, 4], "finetune_mode": "PeterZero"}
    model = of(settings, train_stage="finetune", **changes).model
    patches = sum(p.numel() for p in model.patches.parameters())
    convolved = sum(p.numel() for m in model.modules() if isinstance(m, SequenceConvolution) for p in m.parameters())
    width = hidden // 8
    assert patches == 2 * (2 * hidden * width + hidden + width) * 2
    assert patches / convolved <= 0.10
    assert f"patches: {patches} parameters, {100 * patches / convolved:.1f} %" in caplog.text


class TestText:
    @pytest.fixture
    def text(self, settings):
        return {**settings, "item_input": "text", "text_encoder": "tfidf-svd"}

    @pytest.mark.parametrize("head_text", [True, False])
    def test_targets_are_the_heads_rows_plus_projected_text(self, text, head_text):
        model = stir(of(text, head_text=head_text).model)
        vectors = model.encode_items()
        read = model.item_table.features @ model.text_projection.weight.t() + model.text_projection.bias
        torch.testing.assert_close(vectors[:, :16], read)
        torch.testing.assert_close(model.candidates(vectors), model.head.weight + head_text * read)

    @pytest.mark.parametrize("head_text", [True, False])
    def test_an_item_of_text_alone_is_recommended_where_the_head_reads_text(self, text, head_text):
        with open(Path(text["data_path"]) / "tiny" / "tiny.text", "a", encoding="utf-8") as file:
            file.write("new\tred wooden lamp number 3.\n")
        tuned = of(text, head_text=head_text)
        (found,) = Recommender.of(tuned.experiment, tuned.model).recommend([["i3"]], topk=100)
        assert ("new" in {item.token for item in found}) == head_text

    def test_an_item_of_text_alone_has_the_vectors_of_one_without_a_row_in_the_head(self, text):
        model = stir(of(text).model)
        model.head.weight.data.zero_()
        torch.testing.assert_close(model.encode_features(model.item_table.features), model.encode_items())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_stage": "tune"}, "train_stage is 'tune'; choose one of pretrain, finetune"),
        ({"finetune_mode": "FineLast3"}, "finetune_mode is 'FineLast3'; choose one of peterrec, FineCLS"),
        ({"patch_form": "both"}, "patch_form is 'both'; choose one of serial, parallel"),
        ({"patch_reduction": 17}, "patch_reduction 17 is larger than hidden_size 16"),
        ({"patch_reduction": 0}, "patch_reduction must be at least 1"),
        ({"dilations": [1, 0]}, r"dilations must be a list of whole numbers from 1 up, one per block, not \[1, 0\]"),
        ({"dilations": []}, "dilations must be a list"),
        ({"kernel_size": 1}, "kernel_size must be at least 2"),
        ({"item_input": "text+id"}, "PeterRec takes item_input=id or text"),
        ({"train_mode": "pairwise"}, "leave train_mode=packed"),
        ({"train_stage": None}, "train_stage is None; choose one of pretrain, finetune"),
        ({"loss_type": "BPR"}, "PeterRec has its own loss; leave loss_type out"),
        ({"train_stage": "finetune"}, "finetune_mode=peterrec freezes a network .* PeterZero .* FineAll"),
        ({"train_stage": "finetune", "finetune_mode": "finelast1"}, "finetune_mode=FineLast1 freezes"),
    ],
)
def test_bad_settings_are_refused(settings, changes, message):
    with pytest.raises(ConfigError, match=message):
        of(settings, **changes).model  # noqa: B018

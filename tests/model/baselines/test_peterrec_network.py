"""PeterRec's parts: what a stage trains, what a state depends on, and a head of its own."""

import pytest
import torch
import torch.nn.functional as F
from model.baselines.peterrec_runs import EXACT, of, small_settings, stir
from support import built_run
from torch import nn

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.model.baselines.peterrec_network import (
    MODES,
    Adaptation,
    ClassScoring,
    ConvolutionalSequenceEncoder,
    HeadScoring,
)

CONFIG = {
    "hidden_size": 8,
    "kernel_size": 3,
    "dilations": [1, 2],
    "initializer_range": 0.1,
    "patch_reduction": 4,
    "train_stage": "finetune",
    "finetune_mode": "peterrec",
    "patch_form": "serial",
    "patch_zero_init": True,
    "patch_layer_norm": False,
    "cls_token": True,
    "pretrain_mode": "causal",
}


def adaptation(**changes):
    return Adaptation.of({**CONFIG, **changes})


class TestAdaptation:
    def test_is_read_from_the_settings(self):
        assert adaptation() == Adaptation("finetune", "peterrec", "serial", 2, True, False, True, False)
        changes = {"patch_form": "parallel", "patch_zero_init": False, "patch_layer_norm": True, "cls_token": False}
        other = adaptation(**changes, pretrain_mode="masked")
        assert other == Adaptation("finetune", "peterrec", "parallel", 2, False, True, False, True)

    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize("spell", [str, str.lower, str.upper])
    def test_is_spelt_in_any_capitals(self, mode, spell):
        made = adaptation(train_stage=spell("finetune"), finetune_mode=spell(mode), patch_form=spell("Serial"))
        assert (made.stage, made.mode, made.patch_form) == ("finetune", mode, "serial")

    def test_tokens_and_patches_come_with_fine_tuning(self):
        before = adaptation(train_stage="pretrain")
        assert not before.reads_token and not before.is_patched
        patched = {mode for mode in MODES if adaptation(finetune_mode=mode).is_patched}
        assert patched == {"peterrec", "PeterZero"}

    @pytest.mark.parametrize(
        ("changes", "prefixes"),
        [
            ({"train_stage": "pretrain"}, ("",)),
            ({"finetune_mode": "FineAll"}, ("",)),
            ({"finetune_mode": "FineCLS"}, ("head.", "evidence.")),
            (
                {"finetune_mode": "FineLast1"},
                ("head.", "evidence.", "convolutions.blocks.2.conv2.", "convolutions.blocks.2.ln2."),
            ),
            ({"finetune_mode": "FineLast2"}, ("head.", "evidence.", "convolutions.blocks.2.")),
            ({}, ("head.", "evidence.", "patches.", "cls_vector")),
            ({"finetune_mode": "PeterZero"}, ("head.", "evidence.", "patches.", "cls_vector")),
            (
                {"patch_layer_norm": True},
                (
                    *("head.", "evidence.", "patches.", "cls_vector"),
                    *(f"convolutions.blocks.{block}.ln2." for block in range(3)),
                ),
            ),
        ],
    )
    def test_names_what_is_trained_in_three_blocks(self, changes, prefixes):
        assert adaptation(**changes).trained_prefixes(3) == prefixes

    def test_refuses_patches_of_no_width(self):
        assert adaptation(patch_reduction=8).patch_width == 1
        too_much = adaptation(patch_reduction=9)
        with pytest.raises(ConfigError, match="patch_reduction 9 is larger than hidden_size 8"):
            ConvolutionalSequenceEncoder({**CONFIG, "patch_reduction": 9}, too_much)


class TestEncoder:
    @pytest.mark.parametrize(
        ("changes", "names"),
        [
            ({"train_stage": "pretrain"}, ["convolutions"]),
            ({"finetune_mode": "FineCLS", "cls_token": False}, ["convolutions"]),
            ({"finetune_mode": "FineCLS"}, ["convolutions", "cls_vector"]),
            ({"cls_token": False}, ["convolutions", "patches"]),
            ({}, ["convolutions", "patches", "cls_vector"]),
        ],
    )
    def test_registers_what_the_stage_has(self, changes, names):
        encoder = ConvolutionalSequenceEncoder({**CONFIG, **changes}, adaptation(**changes))
        assert list(encoder.modules) == names
        assert [len(pair) for pair in encoder.modules.get("patches", ())] == [2] * 2 * ("patches" in names)

    @pytest.mark.parametrize("changes", [{"train_stage": "pretrain"}, {"cls_token": False}, {}])
    def test_wanted_places_alone_are_those_of_all(self, changes):
        torch.manual_seed(0)
        encoder = ConvolutionalSequenceEncoder({**CONFIG, **changes}, adaptation(**changes))
        for module in encoder.modules.values():
            for parameter in module.parameters() if isinstance(module, nn.Module) else [module]:
                nn.init.normal_(parameter, std=0.3)
        vectors, items = torch.randn(9, 16), torch.randint(1, 9, (3, 5))
        places = items, torch.arange(5).expand(3, 5)
        every = encoder.states(vectors, *places)
        assert every.shape == (3, 5, 8)
        wanted = torch.tensor([14, 4, 7])
        few = encoder.states(vectors, *places, None, wanted)
        torch.testing.assert_close(few, every.flatten(0, 1)[wanted], rtol=1e-4, atol=1e-5)
        # The network reads the first half of an item's row alone.
        vectors[:, 8:] += 1
        assert torch.equal(encoder.states(vectors, *places, None, wanted), few)


class TestHead:
    @pytest.mark.parametrize("adds_text", [True, False])
    def test_rows_hold_what_is_read_and_what_is_scored(self, adds_text):
        head = nn.Embedding(6, 3)
        scoring, vectors = HeadScoring(head, adds_text), torch.randn(6, 3)
        assert scoring.modules == {"head": head}
        rows = scoring.rows(slice(0, 6), vectors)
        assert torch.equal(rows[:, :3], vectors)
        assert torch.equal(scoring.candidates(rows), head.weight + vectors if adds_text else head.weight)
        ids = torch.tensor([4, 1])
        assert torch.equal(scoring.rows(ids, vectors[ids]), rows[ids])

    def test_text_alone_is_read_and_scored_as_it_is(self):
        vectors = torch.randn(2, 3)
        assert torch.equal(HeadScoring(nn.Embedding(6, 3), True).rows_of_text(vectors), vectors.repeat(1, 2))

    def test_classes_are_scored_whatever_the_items(self):
        head, vectors = nn.Embedding(4, 3), torch.randn(6, 3)
        scoring = ClassScoring(head)
        assert scoring.modules == {"head": head} and not scoring.adds_text
        assert torch.equal(scoring.rows(slice(0, 6), vectors), vectors)
        assert torch.equal(scoring.candidates(vectors), head.weight)


@pytest.fixture
def settings(tiny_settings):
    """A run on ``tiny`` by ids, of four blocks."""
    return small_settings(tiny_settings)


class TestStates:
    @pytest.fixture(params=["pretrain", "token", "no token"])
    def model(self, request, settings):
        settings = {**settings, "finetune_mode": "PeterZero", "cls_token": request.param == "token"}
        stage = "pretrain" if request.param == "pretrain" else "finetune"
        return stir(of(settings, train_stage=stage).model).double().eval()

    def states(self, model, items):
        items = torch.tensor(items)
        return model.encode_sequences(model.encode_items(), items, (items > 0).sum(dim=1), every_position=True)

    def test_padding_does_not_count(self, model):
        short = self.states(model, [[4, 5, 6]])
        wide = self.states(model, [[4, 5, 6, 0, 0, 0], [1, 2, 3, 4, 5, 6]])
        torch.testing.assert_close(wide[:1, :3], short, **EXACT)
        with torch.no_grad():
            model.item_embedding.weight[0] += 1.0
        torch.testing.assert_close(self.states(model, [[4, 5, 6, 0, 0, 0]])[:, :3], short, **EXACT)

    def test_no_position_sees_a_later_one(self, model):
        before, after = self.states(model, [[4, 5, 6, 7, 8]]), self.states(model, [[4, 5, 6, 9, 8]])
        torch.testing.assert_close(before[:, :3], after[:, :3], **EXACT)
        assert (before[:, 3:] - after[:, 3:]).abs().amax(dim=2).min() > 1e-4

    def test_the_first_item_counts_however_much_padding_follows(self, model):
        def scores(first):
            items = torch.zeros(1, 50, dtype=torch.long)
            items[0, :4] = torch.tensor([first, 5, 6, 7])
            return model.full_sort_predict({"item_id_list": items, "item_length": torch.tensor([4])})

        assert (scores(4) - scores(9)).abs().max() > 1e-4

    @pytest.mark.parametrize("loss", ["full", "chunked"])
    def test_a_packed_batch_is_its_prefixes_one_by_one(self, model, settings, loss):
        """Loss and gradients; with a token it is appended to each prefix."""
        model.objective.in_chunks = loss == "chunked"
        batch = next(iter(of(settings).loaders[0]))
        losses = []
        for place, target in zip(batch.predicting, batch.targets, strict=True):
            begin = place - batch.positions.flatten()[place]
            history = batch.items.flatten()[begin : place + 1].unsqueeze(0)
            vectors = model.encode_items()
            state = model.encode_sequences(vectors, history, torch.tensor([history.shape[1]]))
            losses.append(F.cross_entropy(model.score(state, vectors), target.unsqueeze(0)))
        trained = [p for p in model.parameters() if p.requires_grad]
        expected = torch.stack(losses).mean()
        together = model.calculate_loss(batch)
        torch.testing.assert_close(together, expected, **EXACT)
        for got, wanted in zip(
            torch.autograd.grad(together, trained), torch.autograd.grad(expected, trained), strict=True
        ):
            torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-9 * max(1.0, wanted.abs().max().item()))


def test_logits_are_recboles_at_the_last_position(settings):
    """NextItNet reads its last column, so that histories without padding alone can be compared."""
    plain = {key: settings[key] for key in ("data_path", "checkpoint_dir", "show_progress", "use_gpu", "seed")}
    shape = {"embedding_size": 16, "block_num": 2, "dilations": [1, 4], "kernel_size": 3, "reg_weight": 0.0}
    theirs = built_run("NextItNet", "tiny", (), {**plain, **shape, "loss_type": "CE"}).model.double().eval()
    ours = stir(of(settings).model).double().eval()
    weights = ours.state_dict()
    renamed = {
        name.replace("convolutions.blocks", "residual_blocks"): value.unsqueeze(2) if value.dim() == 3 else value
        for name, value in weights.items() if name.startswith("convolutions")
    }  # fmt: skip
    renamed["item_embedding.weight"] = weights["item_embedding.weight"]
    renamed |= {"final_layer.weight": torch.eye(16), "final_layer.bias": torch.zeros(16)}
    theirs.load_state_dict(renamed)
    ours.head.weight.data.copy_(ours.item_embedding.weight)
    rows = {"item_id_list": torch.randint(1, 31, (7, 20)), "item_length": torch.full((7,), 20)}
    torch.testing.assert_close(ours.full_sort_predict(rows), theirs.full_sort_predict(rows), **EXACT)

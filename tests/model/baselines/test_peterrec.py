"""PeterRec: what each mode trains, what a state depends on, and what goes over from one data set to another."""

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from recbole_mpo.common.errors import CheckpointError, ConfigError
from recbole_mpo.layers.convolution import CausalConvolution
from recbole_mpo.model.parameters import count_parameters
from recbole_mpo.quick_start.evaluate import evaluate_checkpoint
from recbole_mpo.quick_start.experiment import Experiment
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.release.recommend import Recommender
from recbole_mpo.trainer import checkpoint

KEYS = "data_path checkpoint_dir cache_dir show_progress use_gpu seed train_batch_size hidden_size".split()
EXACT = {"rtol": 1e-9, "atol": 1e-9}
CLUSTERS = 8


@pytest.fixture
def settings(tiny_settings):
    """A run on ``tiny`` by ids, of four blocks."""
    settings = {key: tiny_settings[key] for key in KEYS}
    return {**settings, "item_input": "id", "dilations": [1, 4, 1, 4], "epochs": 1, "patch_reduction": 4}


@pytest.fixture
def start(settings, tmp_path):
    """Writes the checkpoint of an untrained pre-training run; returns the settings of fine-tuning from it."""

    def write(dataset="tiny", **changes):
        source = Experiment.of("PeterRec", dataset, (), {**settings, **changes})
        path = tmp_path / f"start-{dataset}.pth"
        model = source.model
        content = {"state_dict": model.state_dict(), "other_parameter": model.other_parameter()}
        content["item_hash"] = source.item_hash
        checkpoint.save_checkpoint({**content, "config": source.config.plain()}, path)
        return {**settings, **changes, "train_stage": "finetune", "pretrained": str(path)}

    return write


def of(settings, dataset="tiny", **changes):
    return Experiment.of("PeterRec", dataset, (), {**settings, **changes})


def stir(model, size=0.3):
    """Random weights everywhere, so that nothing is zero by chance."""
    torch.manual_seed(5)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=size)
    return model


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

    def test_the_memorys_weight_is_trained_in_every_mode(self, start):
        model = of(start(), finetune_mode="FineCLS", memory="covisit").model
        assert {name for name, p in model.named_parameters() if p.requires_grad} == HEAD | {"memory.weight"}

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
    convolved = sum(
        p.numel() for m in model.modules() if isinstance(m, CausalConvolution) for p in m.parameters()
    )
    width = hidden // 8
    assert patches == 2 * (2 * hidden * width + hidden + width) * 2
    assert patches / convolved <= 0.10
    assert f"patches: {patches} parameters, {100 * patches / convolved:.1f} %" in caplog.text


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
        model.loss = loss
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
    theirs = Experiment.of("NextItNet", "tiny", (), {**plain, **shape, "loss_type": "CE"}).model.double().eval()
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


class TestText:
    @pytest.fixture
    def text(self, settings):
        return {**settings, "item_input": "text", "text_encoder": "tfidf-svd"}

    @pytest.mark.parametrize("head_text", [True, False])
    def test_targets_are_the_heads_rows_plus_projected_text(self, text, head_text):
        model = stir(of(text, head_text=head_text).model)
        vectors = model.encode_items()
        read = model.item_features @ model.text_projection.weight.t() + model.text_projection.bias
        torch.testing.assert_close(vectors[:, :16], read)
        torch.testing.assert_close(model.candidates(vectors), model.head.weight + head_text * read)

    @pytest.mark.parametrize("head_text", [True, False])
    def test_an_item_of_text_alone_is_recommended_where_the_head_reads_text(self, text, head_text):
        with open(Path(text["data_path"]) / "tiny" / "tiny.text", "a", encoding="utf-8") as file:
            file.write("new\tred wooden lamp number 3.\n")
        (found,) = Recommender.of(of(text, head_text=head_text)).recommend([["i3"]], topk=100)
        assert ("new" in {item.token for item in found}) == head_text

    def test_an_item_of_text_alone_has_the_vectors_of_one_without_a_row_in_the_head(self, text):
        model = stir(of(text).model)
        model.head.weight.data.zero_()
        torch.testing.assert_close(model.encode_features(model.item_features), model.encode_items())

class TestFromOneDataSetToAnother:
    @pytest.fixture
    def other(self, make_dataset, settings):
        """A data set of 25 items in another order of appearance, of which ``tiny`` knows 20."""
        rename_items(make_dataset(Path(settings["data_path"]), "other", items=25, seed=9), 20)
        return "other"

    def test_id_vectors_follow_their_items(self, start, other, caplog):
        caplog.set_level("INFO")
        settings = start()
        source, target = of({**settings, "train_stage": "pretrain", "pretrained": None}), of(settings, other)
        fresh = of({**settings, "pretrained": None, "finetune_mode": "PeterZero"}, other).model.item_embedding.weight
        tokens = {token: row for row, token in enumerate(source.dataset.field2id_token["item_id"])}
        rows, moved = target.model.item_embedding.weight, 0
        for row, token in enumerate(target.dataset.field2id_token["item_id"]):
            known = row > 0 and token in tokens
            wanted = source.model.item_embedding.weight[tokens[token]] if known else fresh[row]
            torch.testing.assert_close(rows[row], wanted)
            moved += known and row != tokens[token]
        assert moved > 10
        assert "pretrained: 20 of 25 items have a vector there" in caplog.text

    def test_the_network_goes_over_and_the_head_does_not(self, start, other):
        settings = start()
        before = checkpoint.load_checkpoint(settings["pretrained"])["state_dict"]
        after = of(settings, other).model.state_dict()
        network = [name for name in before if name.startswith("convolutions.")]
        assert network and all(torch.equal(before[name], after[name]) for name in network)
        assert after["head.weight"].shape == (26, 16)

    def test_two_runs_and_what_follows_from_them(self, settings, other):
        """Pre-training, fine-tuning, resuming, evaluating again and recommending."""
        first = run("PeterRec", "tiny", (), {**settings, "epochs": 2})
        assert first["history"][1]["train_loss"] < first["history"][0]["train_loss"]
        saved = Path(settings["checkpoint_dir"])
        tuned = {**settings, "train_stage": "Finetune", "finetune_mode": "PETERREC", "epochs": 2}
        tuned["pretrained"] = str(saved / first["run_id"] / "best.pth")
        whole = run("PeterRec", other, (), tuned)
        short = run("PeterRec", other, (), {**tuned, "epochs": 1})
        resumed = run("PeterRec", other, (), tuned, resume=saved / short["run_id"])
        assert resumed["test"] == whole["test"]
        (saved / first["run_id"] / "best.pth").unlink()
        again = run("PeterRec", other, (), {**tuned, "epochs": 3}, resume=saved / short["run_id"])
        assert again["epochs_run"] == 3
        best = saved / whole["run_id"] / "best.pth"
        assert evaluate_checkpoint(best)["test"] == whole["test"]
        assert len(Recommender.from_checkpoint(best).recommend([["i3", "i4"]], topk=5)[0]) == 5

    def test_items_in_common_are_needed(self, start, make_dataset, settings):
        rename_items(make_dataset(Path(settings["data_path"]), "strange"), 0)
        with pytest.raises(ConfigError, match="not one item .* item_input=text"):
            of(start(), "strange").model  # noqa: B018

    def test_bare_numbers_name_no_items(self, start, settings, make_dataset):
        """Items of any two sets are called 0, 1, 2, ...; what they are their index files say."""
        for name, seed in (("first", 1), ("second", 2)):
            folder = make_dataset(Path(settings["data_path"]), name, seed=seed)
            for path in (folder / f"{name}.inter", folder / f"{name}.text"):
                lines = path.read_text(encoding="utf-8").splitlines()
                numbers = [lines[0], *(re.sub(r"(^|\t)i(\d)", r"\1\2", line) for line in lines[1:])]
                path.write_text("\n".join(numbers) + "\n", encoding="utf-8")
        tuned = start("first")
        with pytest.raises(ConfigError, match=r"bare numbers are none \(\.item2index names them\)"):
            of(tuned, "second").model  # noqa: B018
        of(tuned, "first").model  # noqa: B018 - the same items in the same order
        for name, shift in (("first", 0), ("second", 10)):
            names = "".join(f"B{number + shift}\t{number}\n" for number in range(30))
            (Path(settings["data_path"]) / name / f"{name}.item2index").write_text(names, encoding="utf-8")
        pretraining = {**start("first"), "train_stage": "pretrain", "pretrained": None}
        experiments = of(pretraining, "first"), of(tuned, "second")
        here, there = (parts.dataset.field2token_id["item_id"] for parts in experiments)
        start("first")
        source, target = (parts.model.item_embedding.weight for parts in experiments)
        # Number 3 of the second set is number 13 of the first.
        torch.testing.assert_close(target[there["3"]], source[here["13"]])

    def test_tables_of_another_size_are_refused(self, settings, start):
        tuned = start()
        state = checkpoint.load_checkpoint(tuned["pretrained"])
        del state["config"]
        state["state_dict"]["item_embedding.weight"] = torch.zeros(31, 8)
        checkpoint.save_checkpoint(state, tuned["pretrained"])
        with pytest.raises(CheckpointError, match="has no item vectors of size 16"):
            of(tuned).model  # noqa: B018

    @pytest.mark.parametrize(
        ("source", "changes", "message"),
        [
            ({}, {"text_pooling": "cls"}, "text_pooling=mean, and this run has cls"),
            ({}, {"feature_center": False}, "feature_center=True, and this run has False"),
            ({"feature_file": "f.npy"}, {"feature_file": None}, "one has a feature_file, the other an encoder"),
        ],
    )
    def test_features_of_another_kind_are_refused(self, settings, start, source, changes, message):
        np.save("f.npy", np.random.default_rng(0).normal(size=(30, 16)).astype(np.float32))
        tuned = start(item_input="text", text_encoder="tfidf-svd", **source)
        with pytest.raises(CheckpointError, match=message):
            of({**tuned, **changes}).model  # noqa: B018

    @pytest.mark.parametrize(
        ("source", "changes", "error", "message"),
        [
            ({}, {"hidden_size": 8}, CheckpointError, "hidden_size=16, and this run has 8"),
            ({}, {"dilations": [1, 4]}, CheckpointError, r"dilations=\[1, 4, 1, 4\], and this run has \[1, 4\]"),
            ({}, {"item_input": "text"}, CheckpointError, "item_input=id, and this run has text"),
            ({}, {"finetune_mode": "PeterZero"}, ConfigError, "leave pretrained out"),
            (
                {"train_stage": "finetune", "finetune_mode": "PeterZero"},
                {"finetune_mode": "peterrec"},
                CheckpointError,
                "is of a fine-tuned network",
            ),
        ],
    )
    def test_what_does_not_fit_is_refused(self, start, source, changes, error, message):
        with pytest.raises(error, match=message):
            of({**start(**source), "text_encoder": "tfidf-svd", **changes}).model  # noqa: B018

    def test_weights_of_another_model_are_refused(self, settings, start):
        settings = start()
        state = checkpoint.load_checkpoint(settings["pretrained"])
        del state["state_dict"]["convolutions.blocks.2.ln1.weight"]
        state["state_dict"]["stranger"] = torch.zeros(1)
        checkpoint.save_checkpoint(state, settings["pretrained"])
        with pytest.raises(CheckpointError, match="lacks convolutions.blocks.2.ln1.weight; it has besides stranger"):
            of(settings).model  # noqa: B018

    def test_other_data_sets_tfidf_axes_are_warned_of(self, start, make_dataset, settings, caplog):
        make_dataset(Path(settings["data_path"]), "more", seed=3)
        of(start(item_input="text", text_encoder="tfidf-svd"), "more").model  # noqa: B018
        assert "tfidf-svd makes its features of each data set's own words" in caplog.text


def rename_items(folder, first):
    """Calls the items of a data set from number ``first`` on by other tokens."""
    for path in folder.iterdir():
        renamed = re.sub(r"\bi(\d+)", lambda m: m[0] if int(m[1]) < first else f"x{m[1]}", path.read_text())
        path.write_text(renamed)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_stage": "tune"}, "train_stage is 'tune'; choose one of pretrain, finetune"),
        ({"finetune_mode": "FineLast3"}, "finetune_mode is 'FineLast3'; choose one of peterrec, FineCLS"),
        ({"patch_form": "both"}, "patch_form is 'both'; choose one of serial, parallel"),
        ({"patch_reduction": 17}, "patch_reduction 17 leaves nothing of hidden_size 16"),
        ({"patch_reduction": 0}, "patch_reduction must be at least 1"),
        ({"dilations": [1, 0]}, r"dilations must be a list of whole numbers from 1 on, one a block, not \[1, 0\]"),
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


def write_clustered(folder, name, lengths, items, seed):
    """Items of clusters that their features show; the next cluster follows from the last two, in every data set."""
    shared, draw = np.random.default_rng(0), np.random.default_rng(seed)
    centres, follows = shared.standard_normal((CLUSTERS, 16)), shared.integers(CLUSTERS, size=(CLUSTERS, CLUSTERS))
    cluster = np.arange(items) % CLUSTERS
    rows = ["user_id:token\titem_id:token\ttimestamp:float"]
    for user, length in enumerate(lengths):
        before, now = draw.integers(CLUSTERS, size=2)
        for step in range(length):
            item = draw.choice(np.flatnonzero(cluster == now))
            rows.append(f"u{user}\t{name}{item}\t{1_600_000_000 + 1000 * user + step}")
            follower = follows[before, now] if draw.random() < 0.9 else draw.integers(CLUSTERS)
            before, now = now, follower
    target = folder / name
    target.mkdir()
    (target / f"{name}.inter").write_text("\n".join(rows) + "\n")
    texts = "".join(f"{name}{item}\titem {item}\n" for item in range(items))
    (target / f"{name}.text").write_text("item_id:token\ttext:token_seq\n" + texts)
    np.save(target / "features.npy", (centres[cluster] + 0.3 * draw.standard_normal((items, 16))).astype(np.float32))


@pytest.mark.slow
class TestSharedDynamics:
    """Two data sets without an item or a user in common, whose clusters follow each other by the same rules."""

    @pytest.fixture
    def tuned(self, settings, tmp_path):
        folder = Path(settings["data_path"])
        write_clustered(folder, "source", [20] * 300, 160, seed=1)
        write_clustered(folder, "target", [8] * 80, 80, seed=2)
        # One target in ten users' histories: the others have no training row.
        write_clustered(folder, "few", [8] * 8 + [3] * 72, 80, seed=3)
        clusters = {"item_input": "text", "feature_file": "features.npy", "hidden_size": 32, "dilations": [1, 4] * 3}
        settings = {**settings, **clusters, "patch_reduction": 8}
        first = run("PeterRec", "source", (), {**settings, "epochs": 14, "train_batch_size": 512})
        path = str(Path(settings["checkpoint_dir"]) / first["run_id"] / "best.pth")

        def hit(dataset, mode, **changes):
            start = None if mode == "PeterZero" else path
            stage = {"train_stage": "finetune", "finetune_mode": mode, "pretrained": start, "epochs": 30}
            pace = {"learning_rate": 0.003, "stopping_step": 30, "train_batch_size": 64}
            return run("PeterRec", dataset, (), {**settings, **stage, **pace, **changes})["test"]["hit@10"]

        return hit

    # Bounds are below the least of four seeds.
    def test_patches_use_what_was_learned_elsewhere(self, tuned):
        patched = tuned("target", "peterrec")
        assert patched > tuned("target", "PeterZero") + 0.08
        assert patched > tuned("target", "FineCLS") + 0.03

    def test_with_few_labels_they_beat_training_everything(self, tuned):
        """As the last item's state is read, which needs nothing learned anew; a token has to be."""
        assert tuned("few", "peterrec", cls_token=False) > tuned("few", "FineAll", cls_token=False) + 0.2

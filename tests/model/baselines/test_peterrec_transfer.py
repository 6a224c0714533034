"""PeterRec from one dataset to another: what goes over, by which names, and what is refused."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from model.baselines.peterrec_runs import of, small_settings, write_start

from recbole_mpo.common.errors import CheckpointError, ConfigError
from recbole_mpo.quick_start.evaluate import evaluate_checkpoint
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.release.recommend import Recommender
from recbole_mpo.trainer import checkpoint

CLUSTERS = 8


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


class TestFromOneDatasetToAnother:
    @pytest.fixture
    def other(self, make_dataset, settings):
        """A dataset of 25 items in another order of appearance, of which ``tiny`` knows 20."""
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
        assert "pretrained: 20 of 25 items have a vector in the checkpoint" in caplog.text

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
        with pytest.raises(ConfigError, match="has no item name in common with .* item_input=text"):
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
        with pytest.raises(ConfigError, match=r"bare numbers are not names \(\.item2index gives names\)"):
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
            ({}, {"text_pooling": "cls"}, "text_pooling=mean, but this run has cls"),
            ({}, {"feature_center": False}, "feature_center=True, but this run has False"),
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
            ({}, {"hidden_size": 8}, CheckpointError, "hidden_size=16, but this run has 8"),
            ({}, {"dilations": [1, 4]}, CheckpointError, r"dilations=\[1, 4, 1, 4\], but this run has \[1, 4\]"),
            ({}, {"item_input": "text"}, CheckpointError, "item_input=id, but this run has text"),
            ({}, {"finetune_mode": "PeterZero"}, ConfigError, "leave pretrained out"),
            (
                {"train_stage": "finetune", "finetune_mode": "PeterZero"},
                {"finetune_mode": "peterrec"},
                CheckpointError,
                "has a fine-tuned network",
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
        with pytest.raises(CheckpointError, match="lacks convolutions.blocks.2.ln1.weight; it also has stranger"):
            of(settings).model  # noqa: B018

    def test_other_datasets_tfidf_axes_are_warned_of(self, start, make_dataset, settings, caplog):
        make_dataset(Path(settings["data_path"]), "more", seed=3)
        of(start(item_input="text", text_encoder="tfidf-svd"), "more").model  # noqa: B018
        assert "tfidf-svd makes features from the words of each dataset" in caplog.text


def rename_items(folder, first):
    """Calls the items of a dataset from number ``first`` on by other tokens."""
    for path in folder.iterdir():
        renamed = re.sub(r"\bi(\d+)", lambda m: m[0] if int(m[1]) < first else f"x{m[1]}", path.read_text())
        path.write_text(renamed)


def write_clustered(folder, name, lengths, items, seed):
    """Items of clusters that their features show; the next cluster follows from the last two, in every dataset."""
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
    """Two datasets without an item or a user in common, whose clusters follow each other by the same rules."""

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

"""Checkpoints are plain data, survive a crash, and say what is wrong with them."""

import resource
import zipfile
from contextlib import contextmanager

import pytest
import torch
from support import built_run

from recbole_mpo.common.errors import CheckpointError
from recbole_mpo.quick_start.evaluate import evaluate_checkpoint
from recbole_mpo.quick_start.experiment import Experiment
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.trainer import checkpoint


@pytest.fixture
def trained(tiny_settings, tmp_path):
    """A finished run: (settings, record, folder)."""
    record = run("MPORec", "tiny", (), tiny_settings)
    return tiny_settings, record, tmp_path / "saved" / record["run_id"]


def test_loads_with_weights_only(trained):
    _, _, folder = trained
    for name in ("best.pth", "last.pth"):
        state = torch.load(folder / name, weights_only=True)
        assert state["config"]["hidden_size"] == 16
    assert not any("item_features" in name for name in state["state_dict"])


def test_a_crash_while_writing_keeps_the_former_file(tmp_path, monkeypatch):
    path = tmp_path / "last.pth"
    checkpoint.save_checkpoint({"state_dict": {}, "epoch": 1}, path)

    def torn(state, file):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", torn)
    with pytest.raises(CheckpointError, match=r"last\.pth cannot be written: disk full"):
        checkpoint.save_checkpoint({"state_dict": {}, "epoch": 2}, path)
    assert checkpoint.load_checkpoint(path)["epoch"] == 1
    assert [file.name for file in tmp_path.iterdir()] == ["last.pth"]


@contextmanager
def files_of_at_most(size):
    """As on a disk with so little space, writing fails in the system."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [0, 700, 5000, 100_000])
def test_where_there_is_no_space_one_line_names_the_file_and_the_former_one_stays(tmp_path, size):
    """torch itself says ``[enforce fail at inline_container.cc:672] . unexpected pos 704 vs 598``."""
    path = tmp_path / "last.pth"
    checkpoint.save_checkpoint({"state_dict": {}, "epoch": 1}, path)
    with files_of_at_most(size), pytest.raises(CheckpointError) as caught:
        checkpoint.save_checkpoint({"state_dict": {"a": torch.zeros(100_000)}, "epoch": 2}, path)
    said = f"checkpoint {path} cannot be written: File too large; what was there before is unchanged"
    assert str(caught.value) == said
    assert checkpoint.load_checkpoint(path)["epoch"] == 1
    assert [file.name for file in tmp_path.iterdir()] == ["last.pth"]


def test_a_compressed_archive_is_refused_unread(tmp_path):
    """A few kilobytes can unpack to more than memory holds."""
    path = tmp_path / "best.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("best/data.pkl", bytes(10**6))
    with pytest.raises(CheckpointError, match=r"best\.pth is damaged .*\(its part best/data\.pkl is compressed"):
        checkpoint.load_checkpoint(path)


class TestWeights:
    """What ``load_weights`` refuses beside other names and shapes."""

    def test_that_are_not_finite(self):
        model = torch.nn.Linear(2, 2)
        weights = {name: value.clone() for name, value in model.state_dict().items()}
        weights["bias"][1] = torch.nan
        with pytest.raises(CheckpointError, match="x.pth has weights that are infinite or not a number: bias; its"):
            checkpoint.load_weights(model, weights, "x.pth")

    @pytest.mark.parametrize("kind", [torch.int64, torch.complex64, torch.bool])
    def test_that_are_other_numbers(self, kind):
        model = torch.nn.Linear(2, 2)
        before = model.bias.detach().clone()
        weights = {**model.state_dict(), "bias": torch.ones(2, dtype=kind)}
        with pytest.raises(CheckpointError, match="x.pth has numbers of another kind in bias"):
            checkpoint.load_weights(model, weights, "x.pth")
        assert torch.equal(model.bias, before)

    def test_but_not_those_of_another_precision(self):
        model = torch.nn.Linear(2, 2)
        checkpoint.load_weights(model, {n: torch.ones_like(w).half() for n, w in model.state_dict().items()}, "x.pth")
        assert model.bias.tolist() == [1, 1]


@pytest.mark.parametrize("size", [0, 10, 3000])
def test_truncated_file_is_named(trained, size):
    _, _, folder = trained
    path = folder / "best.pth"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(CheckpointError, match=r"best\.pth is damaged or truncated"):
        checkpoint.load_checkpoint(path)


def test_a_flipped_bit_is_noticed_or_changes_nothing(tmp_path):
    path = tmp_path / "best.pth"
    generator = torch.Generator().manual_seed(1)
    weights = torch.randn(100, 100, generator=generator)
    checkpoint.save_checkpoint({"state_dict": {"weights": weights}, "config": {"dataset": "d"}}, path)
    whole = path.read_bytes()
    noticed = 0
    for place in torch.randint(8 * len(whole), (300,), generator=generator).tolist():
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            state = checkpoint.load_checkpoint(path)
        except CheckpointError as problem:
            assert "best.pth is damaged or truncated" in str(problem)
            noticed += 1
            continue
        # What lies between the parts of the archive means nothing.
        assert torch.equal(state["state_dict"]["weights"], weights) and state["config"] == {"dataset": "d"}
    assert noticed > 250


def test_pickled_objects_are_refused(tmp_path):
    path = tmp_path / "published.pth"
    torch.save({"config": Experiment, "state_dict": {}}, path)
    with pytest.raises(CheckpointError, match="holds pickled objects, which can run code, .* save only its weights"):
        checkpoint.load_checkpoint(path)


def test_missing_foreign_and_newer_files_are_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"is a folder; give a file in it, such as .*best\.pth"):
        checkpoint.load_checkpoint(tmp_path)
    (tmp_path / "notes.txt").write_text("no checkpoint")
    with pytest.raises(CheckpointError, match=r"notes\.txt is damaged or truncated, or not a checkpoint"):
        checkpoint.load_checkpoint(tmp_path / "notes.txt")
    with pytest.raises(CheckpointError, match=r"none\.pth does not exist"):
        checkpoint.load_checkpoint(tmp_path / "none.pth")
    torch.save({"weights": {}}, tmp_path / "foreign.pth")
    with pytest.raises(CheckpointError, match="has no 'state_dict'"):
        checkpoint.load_checkpoint(tmp_path / "foreign.pth")
    torch.save({"state_dict": {}, "format_version": 99}, tmp_path / "newer.pth")
    with pytest.raises(CheckpointError, match="has format 99"):
        checkpoint.load_checkpoint(tmp_path / "newer.pth")


def test_another_architecture_is_named(trained, tiny_settings):
    _, _, folder = trained
    state = checkpoint.load_checkpoint(folder / "best.pth")
    other = built_run("MPORec", "tiny", (), {**tiny_settings, "n_layers": 1}).model
    with pytest.raises(CheckpointError, match=r"it also has trm_encoder\.layer\.1\..* and \d+ more"):
        checkpoint.load_weights(other, state["state_dict"], folder / "best.pth")
    wider = built_run("MPORec", "tiny", (), {**tiny_settings, "inner_size": 32}).model
    with pytest.raises(CheckpointError, match="another architecture: size mismatch for trm_encoder"):
        checkpoint.load_weights(wider, state["state_dict"], folder / "best.pth")
    del state["state_dict"]["LayerNorm.bias"]
    with pytest.raises(CheckpointError, match=r"it lacks LayerNorm\.bias"):
        checkpoint.load_weights(
            built_run("MPORec", "tiny", (), tiny_settings).model, state["state_dict"], "x.pth"
        )


class TestIdentity:
    """What a checkpoint says of its model's data."""

    class MadeUpModel(torch.nn.Linear):
        """Three items, one with a name of several words, of features of five columns."""

        n_items, feature_size = 3, 5
        item_tokens = ["[PAD]", "a b", "é7"]
        item_hash, feature_hash, counts_hash = "items", "features", None

        def __init__(self):
            super().__init__(2, 2)
            self.others = []

        def other_parameter(self):
            return {"x": 0}

        def check_items(self, item_hash, path):
            if item_hash != self.item_hash:
                raise CheckpointError(f"{path} is of other items")

        def load_other_parameter(self, value):
            self.others.append(value)

    def test_names_every_item_and_the_size_of_the_features(self, tmp_path):
        model = self.MadeUpModel()
        said = checkpoint.identity(model)
        assert {key: said[key] for key in said if key != "item_tokens"} == {
            "item_num": 3,
            "feature_size": 5,
            "item_hash": "items",
            "feature_hash": "features",
            "counts_hash": None,
        }
        checkpoint.save_checkpoint({"state_dict": model.state_dict(), **said}, tmp_path / "best.pth")
        state = checkpoint.load_checkpoint(tmp_path / "best.pth")
        assert checkpoint.item_tokens(state) == ["[PAD]", "a b", "é7"]

    def test_of_older_versions_no_item_is_known(self):
        assert checkpoint.item_tokens({"state_dict": {}}) is None

    def test_of_a_run_are_those_of_its_dataset(self, trained):
        settings, _, folder = trained
        dataset = built_run("MPORec", "tiny", (), settings).dataset
        for name in ("best.pth", "last.pth"):
            state = checkpoint.load_checkpoint(folder / name)
            assert checkpoint.item_tokens(state) == dataset.field2id_token["item_id"].tolist()
            assert (state["item_num"], state["feature_size"]) == (31, dataset.features.table.shape[1])
            assert (state["item_hash"], state["feature_hash"]) == (dataset.item_hash, dataset.feature_hash)

    def test_a_model_gets_the_weights_and_what_else_was_kept(self):
        source, model = self.MadeUpModel(), self.MadeUpModel()
        state = {**checkpoint.identity(source), "state_dict": source.state_dict(), "other_parameter": {"x": 1}}
        checkpoint.restore_model(model, state, "best.pth")
        assert torch.equal(model.weight, source.weight) and model.others == [{"x": 1}]

    def test_an_attribute_that_the_model_does_not_keep_is_not_set(self):
        model = self.MadeUpModel()
        state = {**checkpoint.identity(model), "state_dict": model.state_dict(), "other_parameter": {"forward": 1}}
        with pytest.raises(CheckpointError, match="best.pth has other_parameter forward, which the model has not"):
            checkpoint.restore_model(model, state, "best.pth")
        assert model.others == []

    @pytest.mark.parametrize(
        ("key", "message"),
        [
            ("item_hash", "best.pth is of other items"),
            ("feature_hash", "best.pth was trained on item features other, but the model has features"),
            ("counts_hash", "best.pth was written with other counts of training interactions"),
        ],
    )
    @pytest.mark.parametrize("gone", [False, True])
    def test_other_data_are_refused_and_the_weights_stay(self, key, message, gone):
        model = self.MadeUpModel()
        before = model.weight.detach().clone()
        if key == "counts_hash":
            model.counts_hash = "counts"
        state = {**checkpoint.identity(model), "state_dict": self.MadeUpModel().state_dict(), key: "other"}
        if gone:
            del state[key]
            message = message.replace("features other", "features none")
        with pytest.raises(CheckpointError, match=message):
            checkpoint.restore_model(model, state, "best.pth")
        assert torch.equal(model.weight, before)


def test_other_features_are_refused(trained, tiny_path):
    _, _, folder = trained
    text = tiny_path / "tiny" / "tiny.text"
    text.write_text(text.read_text().replace("number 3.", "number three."))
    with pytest.raises(CheckpointError, match="was trained on item features .* restore the item text"):
        Experiment.from_checkpoint(folder / "best.pth")


@pytest.mark.parametrize("name", ["SASRec", "UniSRec"])
def test_another_numbering_of_the_items_is_refused(tiny_settings, tiny_path, tmp_path, name):
    """Ids follow the order of appearance: the same rows in another order are other ids."""
    settings = {**tiny_settings, "epochs": 1, "item_input": "id"}
    if name == "SASRec":
        keys = ("data_path", "checkpoint_dir", "show_progress", "use_gpu", "epochs", "hidden_size", "inner_size")
        settings = {key: settings[key] for key in keys}
    record = run(name, "tiny", (), settings)
    path = tiny_path / "tiny" / "tiny.inter"
    header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([header, *reversed(rows)]) + "\n")
    with pytest.raises(CheckpointError, match="trained on other items, or on the same in another order"):
        evaluate_checkpoint(tmp_path / "saved" / record["run_id"] / "best.pth")


def test_a_checkpoint_says_of_its_data_what_the_keys_promise(tiny_settings):
    assert tuple(checkpoint.identity(built_run("UniSRec", "tiny", (), tiny_settings).model)) == checkpoint.IDENTITY_KEYS

"""A checkpoint says which data it was trained on; items that get a text later change nothing."""

import numpy as np
import pytest
import torch
from support import LetterEncoder, built_run

from recbole_mpo.common.errors import CheckpointError
from recbole_mpo.quick_start.evaluate import evaluate_checkpoint
from recbole_mpo.quick_start.experiment import Experiment
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.text.tfidf import TfidfSVDEncoder
from recbole_mpo.trainer import checkpoint
from recbole_mpo.trainer.checkpoint_content import DATA_KEYS
from recbole_mpo.trainer.data_identity import changed_rows, identity, item_tokens


@pytest.fixture
def trained(tiny_settings, tmp_path):
    """A finished run: (settings, record, folder)."""
    record = run("MPORec", "tiny", (), tiny_settings)
    return tiny_settings, record, tmp_path / "saved" / record["run_id"]


class TestIdentity:
    """What a checkpoint says of its model's data."""

    class MadeUpModel(torch.nn.Linear):
        """Three items, one with a name of several words, of features of five columns."""

        n_items, feature_size = 3, 5
        item_tokens = ["[PAD]", "a b", "é7"]
        item_hash, feature_hash, counts_hash = "items", "features", None
        feature_sketch, fitted_text = None, {"tiny": {"mean": torch.ones(5)}}
        fitted_words, edited_items = None, ()

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
        said = identity(model)
        assert {key: said[key] for key in said if key != "item_tokens"} == {
            "feature_sketch": None,
            "fitted_text": model.fitted_text,
            "fitted_words": None,
            "item_num": 3,
            "feature_size": 5,
            "item_hash": "items",
            "feature_hash": "features",
            "counts_hash": None,
        }
        checkpoint.save_checkpoint({"state_dict": model.state_dict(), **said}, tmp_path / "best.pth")
        state = checkpoint.load_checkpoint(tmp_path / "best.pth")
        assert item_tokens(state) == ["[PAD]", "a b", "é7"]

    def test_of_older_versions_no_item_is_known(self):
        assert item_tokens({"state_dict": {}}) is None

    def test_of_a_run_are_those_of_its_dataset(self, trained):
        settings, _, folder = trained
        dataset = built_run("MPORec", "tiny", (), settings).dataset
        for name in ("best.pth", "last.pth"):
            state = checkpoint.load_checkpoint(folder / name)
            assert item_tokens(state) == dataset.field2id_token["item_id"].tolist()
            assert (state["item_num"], state["feature_size"]) == (31, dataset.features.table.shape[1])
            assert (state["item_hash"], state["feature_hash"]) == (dataset.item_hash, dataset.feature_hash)

    def test_a_model_gets_the_weights_and_what_else_was_kept(self):
        source, model = self.MadeUpModel(), self.MadeUpModel()
        state = {**identity(source), "state_dict": source.state_dict(), "other_parameter": {"x": 1}}
        checkpoint.restore_model(model, state, "best.pth")
        assert torch.equal(model.weight, source.weight) and model.others == [{"x": 1}]

    def test_an_attribute_that_the_model_does_not_keep_is_not_set(self):
        model = self.MadeUpModel()
        state = {**identity(model), "state_dict": model.state_dict(), "other_parameter": {"forward": 1}}
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
        state = {**identity(model), "state_dict": self.MadeUpModel().state_dict(), key: "other"}
        if gone:
            del state[key]
            message = message.replace("features other", "features none")
        with pytest.raises(CheckpointError, match=message):
            checkpoint.restore_model(model, state, "best.pth")
        assert torch.equal(model.weight, before)


class TestFeatures:
    """What happens to a checkpoint when item texts change."""

    @pytest.fixture(params=["tfidf-svd", "feature file", "two encoders"])
    def trained(self, request, tiny_settings, tiny_path, tmp_path, monkeypatch):
        """A finished run: its folder and its item text."""
        settings = {**tiny_settings, "epochs": 1}
        if request.param == "two encoders":
            encoders = [LetterEncoder(), TfidfSVDEncoder()]
            monkeypatch.setattr("recbole_mpo.text.item_features.encoders_of", lambda config: encoders)
        if request.param == "feature file":
            np.save(tmp_path / "x.npy", np.random.default_rng(0).standard_normal((30, 8)))
            settings |= {"feature_file": str(tmp_path / "x.npy")}
        record = run("MPORec", "tiny", (), settings)
        return tmp_path / "saved" / record["run_id"], tiny_path / "tiny" / "tiny.text"

    @staticmethod
    def add_item(text, tmp_path, words="a lamp of purple cotton"):
        with open(text, "a", encoding="utf-8") as file:
            file.write(f"new\t{words}\n")
        if (tmp_path / "x.npy").is_file():
            np.save(tmp_path / "x.npy", np.vstack([np.load(tmp_path / "x.npy"), np.full((1, 8), 9.0)]))

    def test_an_item_added_to_the_texts_changes_nothing(self, trained, tmp_path, caplog):
        folder, text = trained
        before = evaluate_checkpoint(folder / "best.pth")
        experiment, model, state = Experiment.from_checkpoint(folder / "best.pth")
        vectors = model.eval().encode_items()
        self.add_item(text, tmp_path)
        caplog.clear()
        assert evaluate_checkpoint(folder / "best.pth") == before
        experiment, model, _ = Experiment.from_checkpoint(folder / "best.pth")
        assert torch.equal(model.eval().encode_items(), vectors) and model.feature_hash == state["feature_hash"]
        features = experiment.data.dataset.features
        assert [features.item_text.tokens[row] for row in features.text_only] == ["new"]
        assert features.text_only_features.any() and "differ" not in caplog.text

    def test_what_was_fitted_is_in_every_checkpoint_of_the_run(self, trained):
        folder, _ = trained
        (best, last) = (checkpoint.load_checkpoint(folder / f"{name}.pth") for name in ("best", "last"))
        fitted = best["fitted_text"]["tiny"]
        assert fitted.keys() >= {"mean", "scale"} and best["feature_sketch"].shape == (31, 2)
        assert all(torch.equal(part, last["fitted_text"]["tiny"][name]) for name, part in fitted.items())
        has_words = any(name.endswith("encoder.words") for name in fitted)
        assert has_words == (best["config"]["feature_file"] is None)

    def test_a_checkpoint_without_what_was_fitted_works_as_long_as_texts_stay(self, trained, tmp_path):
        """Older versions did not store it."""
        folder, text = trained
        before = evaluate_checkpoint(folder / "best.pth")
        state = checkpoint.load_checkpoint(folder / "best.pth")
        older = {key: state[key] for key in state if key not in DATA_KEYS[-3:]}
        checkpoint.save_checkpoint(older, folder / "best.pth")
        assert evaluate_checkpoint(folder / "best.pth") == before
        self.add_item(text, tmp_path)
        with pytest.raises(CheckpointError, match="was trained on item features .* restore the item text"):
            evaluate_checkpoint(folder / "best.pth")

    @pytest.mark.parametrize(
        ("fitted", "message"),
        [
            ({"mean": torch.zeros(2, 2)}, r"best.pth: the mean of the features has shape \(2, 2\)"),
            ({"scale": -torch.ones(1)}, r"best.pth: the scale of the features is \[-1.0\]"),
            ({"mean": torch.zeros(2)}, "best.pth: the mean .* fitted to 2 columns, but they have"),
        ],
    )
    def test_what_no_run_fits_is_refused(self, trained, fitted, message):
        folder, _ = trained
        state = checkpoint.load_checkpoint(folder / "best.pth")
        stored = {"tiny": {**state["fitted_text"]["tiny"], **fitted}}
        checkpoint.save_checkpoint({**state, "fitted_text": stored}, folder / "best.pth")
        with pytest.raises(CheckpointError, match=message):
            evaluate_checkpoint(folder / "best.pth")


def test_an_edited_text_is_named_and_only_recommending_goes_on(tiny_settings, tiny_path, tmp_path, caplog):
    record = run("MPORec", "tiny", (), {**tiny_settings, "epochs": 1})
    path = tmp_path / "saved" / record["run_id"] / "best.pth"
    text = tiny_path / "tiny" / "tiny.text"
    text.write_text(text.read_text().replace("i3\t", "i3\tpurple lamp "))
    with pytest.raises(CheckpointError, match=r"other text features of 1 of 30 items \('i3'\): restore their texts"):
        Experiment.from_checkpoint(path)
    Experiment.from_checkpoint(path, allows_edits=True)
    assert "1 of 30 items ('i3') have other text features than when" in caplog.text


def test_other_features_of_most_items_are_refused_whoever_asks(tiny_settings, tiny_path, tmp_path):
    record = run("MPORec", "tiny", (), {**tiny_settings, "epochs": 1})
    path = tmp_path / "saved" / record["run_id"] / "best.pth"
    text = tiny_path / "tiny" / "tiny.text"
    header, *lines = text.read_text().splitlines()
    # Each item gets the text of the next one.
    tokens, texts = zip(*(line.split("\t") for line in lines), strict=True)
    shifted = [f"{token}\t{words}" for token, words in zip(tokens, texts[1:] + texts[:1], strict=True)]
    text.write_text("\n".join([header, *shifted]) + "\n")
    with pytest.raises(CheckpointError, match="was trained on item features .* restore the item text"):
        Experiment.from_checkpoint(path, allows_edits=True)


def test_rounding_is_told_from_other_features(tiny_settings, tmp_path, caplog):
    """Features that another machine encodes differ in their last bits: the checkpoint works, and the log says so."""
    matrix = np.random.default_rng(0).standard_normal((30, 8)).astype(np.float32)
    np.save(tmp_path / "x.npy", matrix)
    settings = {**tiny_settings, "epochs": 1, "feature_file": str(tmp_path / "x.npy")}
    path = tmp_path / "saved" / run("MPORec", "tiny", (), settings)["run_id"] / "best.pth"
    before = evaluate_checkpoint(path)
    np.save(tmp_path / "x.npy", matrix * (1 + 1e-5 * np.random.default_rng(1).standard_normal(matrix.shape)))
    caplog.clear()
    after = evaluate_checkpoint(path)
    assert "item features differ by rounding from those that" in caplog.text
    assert after["test"] == pytest.approx(before["test"], abs=0.05)
    np.save(tmp_path / "x.npy", matrix + 0.1 * (np.arange(30) == 4)[:, None])
    with pytest.raises(CheckpointError, match="other text features of 1 of 30 items"):
        evaluate_checkpoint(path)


@pytest.mark.parametrize(
    ("stored", "present", "rows"),
    [
        (None, torch.zeros(3, 2), None),
        (torch.zeros(3, 2), None, None),
        (torch.ones(3, 2), torch.ones(4, 2), None),
        (torch.ones(3, 2), torch.ones(3, 2) + 5e-4, []),
        (torch.ones(3, 2), torch.tensor([[1, 1], [1, 1.01], [1.1, 1]]), [1, 2]),
        (100 * torch.ones(3, 2), 100 * torch.ones(3, 2) + 0.05, []),
    ],
)
def test_changed_rows_are_those_that_differ_beyond_rounding(stored, present, rows):
    changed = changed_rows(stored, present)
    assert changed is None if rows is None else changed.tolist() == rows


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
    assert tuple(identity(built_run("UniSRec", "tiny", (), tiny_settings).model)) == DATA_KEYS

"""What may be asked of any model: declared once, on every class, and read as attributes."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from recbole.data.interaction import Interaction
from support import built_run

import recbole_mpo
from recbole_mpo.common.errors import CheckpointError
from recbole_mpo.common.schema import for_model
from recbole_mpo.layers.ranks import Ranks
from recbole_mpo.model.abstract_recommender import (
    ITEM_TABLES,
    FullRankingRecommender,
    ItemVectorRecommender,
    ModelContract,
    PretrainedWeights,
)
from recbole_mpo.model.task_sum import TaskSum
from recbole_mpo.quick_start.registry import OWN_MODELS, find_model

SOURCE = Path(recbole_mpo.__file__).parent
MODELS = (*OWN_MODELS, "SASRec", "GRU4Rec", "BERT4Rec", "S3Rec")
NAMES = pytest.mark.parametrize("name", MODELS)
# What each attribute of the contract holds, in a model that is built.
KINDS = {
    "trains_packed": bool,
    "needs_packed": bool,
    "trains_histories": bool,
    "shares_batches": bool,
    "ranks": Ranks,
    "trims_batches": bool,
    "predicts_masked_items": bool,
    "is_built_from_items": bool,
    "item_inputs": tuple,
    "reads": tuple,
    "fresh_weights": tuple,
    "uses_text": bool,
    "stores_items": bool,
    "scores_text_alone": bool,
    "feature_hash": str | None,
    "feature_sketch": torch.Tensor | None,
    "fitted_text": dict | None,
    "counts_hash": str | None,
    "fitted_words": dict | None,
    "edited_items": tuple,
    "awaits_fit": bool,
    "adds_evidence": bool,
    "task_sum": TaskSum | None,
    "feature_size": int,
}
# (model, what is true of its class).
TRUE_OF = {
    "UniSRec": {"trains_packed", "is_built_from_items", "shares_batches"},
    "UniSRec_F": {"trains_packed", "is_built_from_items", "shares_batches"},
    "MPORec": {"trains_packed", "is_built_from_items", "shares_batches"},
    "MPORecLight": {"trains_packed", "is_built_from_items", "shares_batches"},
    "MPORecExpand": {"trains_packed", "is_built_from_items", "shares_batches"},
    "LoRA": {"trains_packed", "is_built_from_items", "shares_batches"},
    "SASRecCE": {"trains_packed", "is_built_from_items"},
    "PeterRec": {"trains_packed", "needs_packed", "is_built_from_items"},
    "S3RecFixed": {"trains_packed", "needs_packed"},
    "BERT4RecFair": {"trains_packed", "needs_packed", "trains_histories", "is_built_from_items"},
    "CCDR": {"trains_packed", "needs_packed"},
    "Pop": {"trains_packed", "needs_packed"},
    "CoVisit": {"trains_packed", "needs_packed"},
    "TextKNN": {"trains_packed", "needs_packed"},
    "CountText": {"trains_packed", "needs_packed"},
    "SASRec": {"trims_batches"},
    "GRU4Rec": {"trims_batches"},
    "BERT4Rec": {"trims_batches", "predicts_masked_items"},
    "S3Rec": set(),
}
# Where something else than a recommender is asked, or one of RecBole's classes is looked up by name: (file, why).
OTHER_QUESTIONS = {
    "text/encoders.py": "the SentenceTransformer of an encoder, whose versions differ",
    "quick_start/registry.py": "RecBole's modules, for the class that a name stands for",
}
OF_A_MODEL = re.compile(r"\b(?:has|get)attr\(\s*(?:\w+\.)*(?:\w*model|model_class|recommender|\w*spec)\b")
ROOMS = ("model", "trainer", "quick_start", "release", "study", "cli")


@pytest.fixture
def built(tiny_settings):
    """Builds a model of ``tiny`` with what it uses of the tests' settings."""

    def build(name, **changes):
        clusters = {"ccdr_clusters": 4} if name == "CCDR" else {}
        return built_run(name, "tiny", (), {**for_model(tiny_settings, name), **clusters, **changes})

    return build


def test_the_contract_is_what_is_listed_here():
    assert list(ModelContract.__annotations__) == list(KINDS)


@NAMES
def test_every_class_answers_all_that_is_declared(name):
    model_class = find_model(name).model_class
    assert issubclass(model_class, ModelContract)
    for attribute, kind in KINDS.items():
        # What depends on the settings is a property of the model.
        assert isinstance(getattr(model_class, attribute), kind | property), attribute
    for method in ("label", "carry_over", "check_items", "check_fresh_start"):
        assert callable(getattr(model_class, method)), method


@NAMES
def test_every_model_answers_for_its_data(built, name):
    run = built(name)
    model = run.model
    for attribute, kind in KINDS.items():
        assert isinstance(getattr(model, attribute), kind), attribute
    tokens = run.dataset.field2id_token[run.dataset.iid_field]
    assert list(model.item_tokens) == list(tokens) and model.item_tokens[0] == "[PAD]"
    assert model.item_hash == run.dataset.item_hash and len(model.item_hash) == 64
    assert model.uses_text <= (model.feature_hash is not None)
    assert model.scores_text_alone <= model.uses_text
    assert bool(model.feature_size) == model.uses_text


@NAMES
def test_what_is_true_of_a_class(name):
    model_class = find_model(name).model_class
    facts = {attribute for attribute, kind in KINDS.items() if kind is bool and getattr(model_class, attribute) is True}
    assert facts == TRUE_OF[name]


@NAMES
def test_own_models_have_their_own_loss_and_recboles_have_not(name):
    assert find_model(name).model_class.trains_packed == (name in OWN_MODELS)


def test_no_code_asks_whether_a_model_has_an_attribute():
    """``hasattr`` and ``getattr`` would answer a misspelt name with silence."""
    asked = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if OF_A_MODEL.search(path.read_text(encoding="utf-8"))
    }
    assert asked - OTHER_QUESTIONS.keys() == set()


def test_the_rooms_that_handle_models_read_attributes_alone():
    asked = {
        path.relative_to(SOURCE).as_posix()
        for room in ROOMS
        for path in (SOURCE / room).rglob("*.py")
        if re.search(r"\b(?:has|get)attr\(", path.read_text(encoding="utf-8"))
    }
    assert asked - OTHER_QUESTIONS.keys() == set()


@pytest.mark.parametrize(
    ("line", "is_of_a_model"),
    [
        ('hasattr(model, "loss")', True),
        ('getattr(self.model, "item_hash", None)', True),
        ('getattr(spec.model_class, "needs_packed", False)', True),
        ('hasattr(experiment.spec, "x")', True),
        ("getattr(own_model, name)", True),
        ("getattr(logging, level)", False),
        ("getattr(sequential_models(), name)", False),
        ("model.loss", False),
    ],
)
def test_the_search_finds_questions_to_models(line, is_of_a_model):
    assert bool(OF_A_MODEL.search(line)) == is_of_a_model


class TestDefaults:
    def test_everything_goes_over_by_name_but_what_belongs_to_items(self, built):
        model = built("UniSRec").model
        assert model.carry_over(PretrainedWeights(Path("x.pth"), {}, {})) == {}
        # Of tasks too, as this model has one.
        assert model.fresh_weights == (*ITEM_TABLES, "cross_task.") and model.check_fresh_start() is None

    def test_the_label_is_the_name(self):
        assert ModelContract.label("Anything", {}) == "Anything"

    @pytest.mark.parametrize("name", ["MPORec", "SASRec"])
    @pytest.mark.parametrize("item_hash", [None, "", "0" * 64])
    def test_other_items_are_refused(self, built, name, item_hash):
        model = built(name).model
        model.check_items(model.item_hash, "best.pth")
        with pytest.raises(CheckpointError, match="checkpoint best.pth was trained on other items"):
            model.check_items(item_hash, "best.pth")


class RowsOfItems(ItemVectorRecommender):
    """An item's vector is its row of the identity; a history's state marks its last item twice."""

    def encode_items(self, ids=None):
        vectors = torch.eye(self.n_items)
        return vectors if ids is None else vectors[ids]

    def encode_sequences(self, item_vectors, item_seq, lengths):
        return 2 * item_vectors[item_seq[torch.arange(len(lengths)), lengths - 1]]


class TestItemVectors:
    @pytest.fixture
    def model(self, built):
        run = built("UniSRec")
        return RowsOfItems(run.config, run.splits[0])

    @pytest.fixture
    def rows(self):
        histories = torch.tensor([[3, 4, 0], [5, 0, 0], [7, 8, 9]])
        lengths, items = torch.tensor([2, 1, 3]), torch.tensor([4, 4, 0])
        return Interaction({"item_id_list": histories, "item_length": lengths, "item_id": items})

    def test_scores_are_inner_products_with_the_last_state(self, model, rows):
        scores = model.full_sort_predict(rows)
        assert scores.shape == (3, model.n_items)
        expected = np.zeros(scores.shape)
        expected[[0, 1, 2], [4, 5, 9]] = 2
        assert np.array_equal(scores.numpy(), expected)

    def test_one_items_score_is_its_column(self, model, rows):
        assert model.predict(rows).tolist() == [2.0, 0.0, 0.0]

    def test_what_scores_take_and_memories_add_is_the_models_to_say(self, model, rows, monkeypatch):
        monkeypatch.setattr(model, "queries", lambda states: 3 * states)
        monkeypatch.setattr(model, "candidates", lambda vectors: vectors + 1)
        monkeypatch.setattr(model, "add_evidence", lambda scores, item_seq, lengths: scores + lengths.unsqueeze(1))
        scores = model.full_sort_predict(rows)
        assert scores[0, 4] == 3 * 2 * (1 + 1) + 2 and scores[2, 1] == 3 * 2 + 3

    def test_without_them_scores_are_as_they_are(self, model):
        scores = torch.ones(2, 3)
        assert model.add_evidence(scores, None, None) is scores and model.queries(scores) is scores

    def test_encoders_are_each_models_own(self, built):
        run = built("UniSRec")
        model = ItemVectorRecommender(run.config, run.splits[0])
        assert isinstance(model, FullRankingRecommender)
        with pytest.raises(NotImplementedError):
            model.encode_items()
        with pytest.raises(NotImplementedError):
            model.encode_sequences(torch.zeros(1), torch.zeros(1), torch.zeros(1))

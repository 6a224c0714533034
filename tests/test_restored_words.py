"""What evidence of words was fitted to stays with its run, and its table is counted once."""

from pathlib import Path

import numpy as np
import pytest
import torch
from support import folder_of

from recbole_mpo.common.errors import CheckpointError
from recbole_mpo.data import shared_words
from recbole_mpo.model import evidence
from recbole_mpo.quick_start.evaluate import evaluate_checkpoint
from recbole_mpo.quick_start.experiment import Experiment
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.release.merge import merge_checkpoint
from recbole_mpo.release.recommend import Recommender
from recbole_mpo.trainer import checkpoint

KINDS = ["covisit", "words", "two_hop"]
ALL = 100


@pytest.fixture
def calls(monkeypatch):
    """How often tables of words are counted, and tables for training rows."""
    made = {"words": 0, "training": 0}

    def count(module, name, kind):
        function = getattr(module, name)

        def counted(*given):
            made[kind] += 1
            return function(*given)

        monkeypatch.setattr(module, name, counted)

    count(shared_words, "share_words", "words")
    count(evidence, "_training_tables", "training")
    return made


@pytest.fixture
def trained(tiny_settings, tmp_path):
    """Makes a run of one epoch; keywords are settings. Returns the file of its weights."""

    def make(name="MPORec", feature_file=False, **changes):
        if feature_file:
            np.save(tmp_path / "x.npy", np.random.default_rng(0).standard_normal((30, 8)).astype(np.float32))
            changes["feature_file"] = str(tmp_path / "x.npy")
        # Few entries, so that an edited text could push another out of a row. A checkpoint does not say where the cache
        # is, so that the usual one is used.
        settings = {**tiny_settings, "epochs": 1, "evidence": KINDS, "evidence_entries": 3, **changes}
        del settings["cache_dir"]
        return folder_of(run(name, "tiny", (), settings)) / "best.pth"

    return make


WAYS = pytest.mark.parametrize(
    "changes",
    [{}, {"name": "SASRecCE"}, {"name": "UniSRec", "feature_file": True}, {"evidence_fit": "late"}],
    ids=["text", "id", "file", "late"],
)


def edit(tiny_path, **texts):
    """Give items other texts."""
    path = tiny_path / "tiny" / "tiny.text"
    header, *lines = path.read_text().splitlines()
    changed = (f"{token}\t{texts.get(token, text)}" for token, text in (line.split("\t", 1) for line in lines))
    path.write_text("\n".join([header, *changed]) + "\n")


def scores(recommender, history) -> dict[str, float]:
    return {one.token: one.score for one in recommender.recommend([history], topk=ALL)[0]}


def test_words_are_counted_once_for_runs_evaluation_and_recommendations(trained, tiny_path, calls, caplog):
    caplog.set_level("INFO")
    with open(tiny_path / "tiny" / "tiny.text", "a") as file:
        file.write("cold\tred lamp number 3.\n")
    path = trained()
    assert calls == {"words": 1, "training": 1}
    before, first = evaluate_checkpoint(path), scores(Recommender.from_checkpoint(path), ["i3", "i4"])
    assert calls == {"words": 1, "training": 1} and "cold" in first
    assert caplog.text.count("the words that items share are read from") == 2
    trained(), trained("SASRecCE")
    assert calls == {"words": 1, "training": 3}
    # The same without the file.
    (kept,) = Path("dataset/.cache/tiny").glob("words-*")
    kept.unlink()
    assert evaluate_checkpoint(path) == before
    assert scores(Recommender.from_checkpoint(path), ["i3", "i4"]) == first
    assert calls["words"] == 2


def test_a_run_that_trains_nothing_makes_no_tables_for_training(trained, calls):
    trained(epochs=0, evidence=["covisit"], seed=8)
    assert calls["training"] == 0
    path = trained(evidence=["words"])
    evaluate_checkpoint(path), Recommender.from_checkpoint(path)
    assert calls["training"] == 0, "words need none"


@WAYS
def test_the_words_of_other_items_count_as_before(trained, tiny_path, changes, caplog):
    path = trained(**changes)
    history = ["i3", "i4", "i9"]
    before = scores(Recommender.from_checkpoint(path), history)
    # A title of words that many others have, and one of words that none has.
    edit(tiny_path, i7="red lamp number 3 of wood", i8="purple purple vase")
    with pytest.raises(CheckpointError, match=r"2 of 30 items \('i8', 'i7'\): restore their texts"):
        evaluate_checkpoint(path)
    after = scores(Recommender.from_checkpoint(path), history)
    assert "2 of 30 items ('i8', 'i7') have other texts than when the evidence of" in caplog.text
    changed = {token for token in before if before[token] != after[token]}
    assert after.keys() == before.keys() and "i7" in changed and changed <= {"i7", "i8"}


def test_without_the_stored_fit_the_words_of_others_would_have_changed(trained, tiny_path):
    """The edit above is one that would have been felt."""
    path = trained("SASRecCE")
    before = scores(Recommender.from_checkpoint(path), ["i3", "i4", "i9"])
    edit(tiny_path, i7="red lamp number 3 of wood", i8="purple purple vase")
    experiment = Experiment.from_checkpoint(path, allows_edits=True).experiment
    state = checkpoint.load_checkpoint(path)
    experiment.data.splits[0].fitted_words = None
    model = experiment.build_model()
    checkpoint.load_weights(model, state["state_dict"], path)
    after = scores(Recommender.of(experiment, model), ["i3", "i4", "i9"])
    assert {token for token in before if before[token] != after[token]} - {"i7", "i8"}


@WAYS
def test_other_texts_of_most_items_are_refused(trained, tiny_path, changes):
    path = trained(**changes)
    edit(tiny_path, **{f"i{number}": f"thing {number}" for number in range(16)})
    with pytest.raises(CheckpointError, match="(restore the item text|fitted to other texts of 16 of 30 items)"):
        Recommender.from_checkpoint(path)


@WAYS
def test_a_checkpoint_of_an_earlier_version_works_as_long_as_texts_stay(trained, tiny_path, changes):
    path = trained(**changes)
    before = evaluate_checkpoint(path)
    state = checkpoint.load_checkpoint(path)
    checkpoint.save_checkpoint({name: part for name, part in state.items() if name != "fitted_words"}, path)
    assert evaluate_checkpoint(path) == before
    Recommender.from_checkpoint(path)
    edit(tiny_path, i7="red lamp number 3 of wood")
    with pytest.raises(CheckpointError, match="(restore their texts|or other texts beside them)"):
        Recommender.from_checkpoint(path)


def test_what_was_fitted_is_in_every_checkpoint_of_a_run_and_stays_when_it_goes_on(trained, tiny_settings):
    path = trained()
    changes = {**tiny_settings, "evidence": KINDS, "evidence_entries": 3, "epochs": 2}
    fitted = [torch.load(path.parent / f"{name}.pth", weights_only=True)["fitted_words"] for name in ("best", "last")]
    run("MPORec", "tiny", (), changes, resume=path.parent)
    fitted.append(torch.load(path.parent / "last.pth", weights_only=True)["fitted_words"])
    merge_checkpoint(path, path.parent / "merged.pth")
    fitted.append(torch.load(path.parent / "merged.pth", weights_only=True)["fitted_words"])
    assert all(one.keys() == shared_words.FITTED.keys() for one in fitted)
    assert all(torch.equal(one[name], fitted[0][name]) for one in fitted for name in fitted[0])
    assert evaluate_checkpoint(path.parent / "merged.pth")["test"].keys()


def test_a_run_without_words_stores_none(trained):
    assert torch.load(trained(evidence=["covisit"]), weights_only=True)["fitted_words"] is None


@pytest.mark.parametrize("part", ["terms", "lowest"])
def test_an_unusable_fit_is_refused_in_one_line(trained, part):
    path = trained("SASRecCE")
    state = checkpoint.load_checkpoint(path)
    del state["fitted_words"][part]
    checkpoint.save_checkpoint(state, path)
    with pytest.raises(CheckpointError, match=f"best.pth: what was fitted to the words .* no usable part {part}"):
        evaluate_checkpoint(path)

"""The parts of recommenders: which models have a folder, and what a refusal says."""

import pytest
from model_folders import recommender_of
from support import built_run

from recbole_mpo.common.errors import CheckpointError, DataError
from recbole_mpo.release.recommend import Recommender
from recbole_mpo.release.recommender_parts import content_of, parts_of_experiment, parts_of_folder

SHARED = ("data_path", "checkpoint_dir", "cache_dir", "show_progress", "use_gpu", "train_batch_size", "seed")


@pytest.mark.parametrize("name", ["SASRec", "CCDR"])
def test_models_that_have_no_folder(tiny_settings, tmp_path, name):
    settings = {key: tiny_settings[key] for key in SHARED}
    settings |= {
        "hidden_size": 16,
        **({"inner_size": 16} if name == "SASRec" else {"ccdr_fan_out": [3, 3], "ccdr_clusters": 5}),
    }
    one = built_run(name, "tiny", (), settings)
    recommender = Recommender.of(one.experiment, one.model)
    assert len(recommender.recommend([["i3"]])[0]) == 10
    with pytest.raises(CheckpointError, match=f"{name} has no model folder: a folder holds item vectors .* RecBole's"):
        recommender.save_pretrained(tmp_path / "m")
    assert not (tmp_path / "m").exists()
    with pytest.raises(DataError, match=f"the scores of {name} have no parts to explain"):
        recommender.explain(["i3"], ["i4"])
    with pytest.raises(DataError, match=f"{name} scores items by ids, which new texts have not"):
        recommender.add_items({"x": "lamp"})


def test_both_ways_give_the_same_parts(tiny_settings, tmp_path):
    recommender = recommender_of(tiny_settings, evidence=["words"])
    recommender.save_pretrained(tmp_path / "m")
    model, candidates, encoder, origin = parts_of_folder(tmp_path / "m")
    content = content_of(model, candidates, origin)
    assert content.tokens == recommender.tokens and content.origin == origin()
    assert candidates.words.texts == ["", *(recommender.titles[token] for token in recommender.tokens[1:])]
    assert encoder.fitted.arrays().keys() == content.fitted_text.arrays().keys()


def test_words_of_candidates_are_those_that_were_fitted(tiny_settings):
    one = built_run("UniSRec", "tiny", (), {**tiny_settings, "evidence": ["words"]})
    _, candidates, _, _ = parts_of_experiment(one.experiment, one.model, None)
    assert candidates.words.texts == one.splits[0].item_texts()
    assert not candidates.words.fitted.edited(candidates.words.texts).any()

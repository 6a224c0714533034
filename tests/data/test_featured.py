"""Features are read once for all splits of a dataset, and again with what an earlier run fitted."""

import torch
from support import built_run


def test_splits_share_what_is_loaded(tiny_settings):
    run = built_run("UniSRec", "tiny", (), tiny_settings)
    train, valid = run.splits[0], run.splits[1]
    assert train.features is valid.features
    assert train.item_features().shape == (31, train.features.table.shape[1])
    assert train.feature_sketch.shape == (31, 2) and train.feature_hash == train.features.hash
    texts = train.item_texts()
    assert texts[0] == "" and len(texts) == 31 and all(texts[1:])


def test_what_was_fitted_is_used_again(tiny_settings, make_dataset, tmp_path):
    first = built_run("UniSRec", "tiny", (), tiny_settings).dataset
    make_dataset(tmp_path / "more", seed=1)
    second = built_run("UniSRec", "tiny", (), {**tiny_settings, "data_path": str(tmp_path / "more")}).dataset
    table = first.item_features()
    second.use_fitted_text(first.fitted_text)
    assert second.fitted_to("tiny") is not None and second.fitted_to("other") is None
    means = [one.fitted_text["tiny"]["mean"] for one in (first, second)]
    second.item_features()
    assert torch.equal(*means) and torch.equal(second.fitted_text["tiny"]["mean"], means[0])
    assert table.shape == second.item_features().shape

"""Several datasets as the data of pre-training, and the features of their items in one space or each in its own."""

import numpy as np
import pytest
import torch
from support import LetterEncoder, built_run

from recbole_mpo.common.files import file_hash
from recbole_mpo.quick_start.evaluate import evaluate_checkpoint
from recbole_mpo.quick_start.recorded_run import run


@pytest.fixture
def make(tiny_settings, tiny_path, make_dataset, monkeypatch):
    make_dataset(tiny_path, "other", users=50, items=40, seed=1)
    text = tiny_path / "other" / "other.text"
    # Longer texts, so that the two domains have other means.
    text.write_text(text.read_text().replace(" number", " a badge of faded beige cheddar number"))
    LetterEncoder.replace_all(monkeypatch)

    def build(**changes):
        return built_run("UniSRec", "tiny+other", (), {**tiny_settings, "domains": ["tiny", "other"], **changes})

    return build


def tables(built):
    """The features of the items of each domain."""
    table = built.dataset.item_features().numpy()
    return table[1:31], table[31:]


def test_features_are_standardised_by_domain_or_together(make):
    apart, together = tables(make()), tables(make(feature_statistics="joint"))
    for table in apart:
        assert np.abs(table.mean(axis=0)).max() < 1e-5 and np.square(table).mean() == pytest.approx(1, rel=1e-4)
    both = np.concatenate(together)
    assert np.abs(both.mean(axis=0)).max() < 1e-5 and np.square(both).mean() == pytest.approx(1, rel=1e-4)
    assert np.abs(together[0].mean(axis=0)).max() > 0.1


def test_features_by_domain_are_those_of_a_run_on_the_domain(make, tiny_settings):
    alone = built_run("UniSRec", "other", (), tiny_settings).dataset
    by_token = dict(zip(alone.field2id_token["item_id"], alone.features.table, strict=True))
    mixture = make().dataset
    tokens = mixture.field2id_token["item_id"][31:]
    expected = [by_token[token.removeprefix("1-")] for token in tokens]
    np.testing.assert_array_equal(tables(make())[1], expected)


@pytest.mark.parametrize("statistics", ["domain", "joint"])
def test_a_checkpoint_gives_the_same_features_when_a_domain_has_grown(make, tiny_settings, tiny_path, statistics):
    settings = {**tiny_settings, "domains": ["tiny", "other"], "feature_statistics": statistics, "epochs": 1}
    record = run("UniSRec", "tiny+other", (), settings)
    path = f"{settings['checkpoint_dir']}/{record['run_id']}/best.pth"
    fitted = torch.load(path, weights_only=True)["fitted_text"]
    assert fitted.keys() == {"tiny", "other"}
    assert torch.equal(fitted["tiny"]["mean"], fitted["other"]["mean"]) == (statistics == "joint")
    with open(tiny_path / "other" / "other.text", "a", encoding="utf-8") as file:
        file.write("new\tjaded hedgehog abacabad\n")
    assert evaluate_checkpoint(path) == {"valid": record["valid"], "test": {}}


def test_the_files_of_all_domains_are_named(make, tiny_path):
    built = make()
    files = built.experiment.file_hashes()
    assert files["other/other.inter"] == file_hash(tiny_path / "other" / "other.inter") and len(files) == 4
    sizes = built.experiment.statistics()
    assert (sizes["users"], sizes["items"], sizes["item_num"]) == (90, 70, 71)
    assert sizes["targets"] == {"train": len(built.splits[0]), "valid": 4 + 5, "test": 0}
    summary = built.experiment.feature_summary(built.model)
    assert summary["hash"] == built.model.feature_hash and summary["items"] == summary["with_text"] == 70


def test_batches_mix_the_domains(make):
    loader = make(train_batch_size=100).loaders[0]
    for batch in loader:
        assert batch.targets.min() <= 30 < batch.targets.max()

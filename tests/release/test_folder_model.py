"""The model of a folder: what it is built from, and memory that settings alone do not get."""

import dataclasses

import pytest
import torch
from model_folders import EVIDENCE, recommender_of
from support import built_run

from recbole_mpo.common.errors import CheckpointError
from recbole_mpo.release.folder_model import build_model, evidence_tables, has_folder
from recbole_mpo.release.model_folder import read_folder


@pytest.fixture
def content(tiny_settings, tmp_path):
    recommender_of(tiny_settings, evidence=EVIDENCE).save_pretrained(tmp_path / "m")
    return read_folder(tmp_path / "m")


def test_the_model_has_weights_tables_and_settings_of_the_folder(content, tmp_path):
    model, config = build_model(content, tmp_path)
    assert not model.training and config["hidden_size"] == 16
    assert all(torch.equal(weight, content.weights[name]) for name, weight in model.state_dict().items())
    for kind, table in evidence_tables(model.evidence).items():
        assert torch.equal(table.values, content.tables[kind].values) and len(table.values), kind
    assert torch.equal(model.fitted_words["terms"], content.fitted_words["terms"]) and len(model.edited_items) == 0
    assert has_folder(model)


def test_tables_of_training_are_left_out(tiny_settings):
    one = built_run("UniSRec", "tiny", (), {**tiny_settings, "evidence": ["covisit"], "evidence_folds": 2})
    before = evidence_tables(one.model.evidence)["covisit"]
    one.model.evidence.make_training_tables()
    assert len(one.model.evidence.kinds["covisit"].values) > len(before.values)
    after = evidence_tables(one.model.evidence)["covisit"]
    assert all(torch.equal(getattr(before, name), getattr(after, name)) for name in ("starts", "columns", "values"))
    assert evidence_tables(None) == {}


def test_memory_is_refused_before_it_is_taken(content, tmp_path, monkeypatch):
    sizes = []
    normal = torch.nn.init.normal_
    monkeypatch.setattr(torch.nn.init, "normal_", lambda tensor, *rest, **more: normal(tensor, *rest, **more))
    settings = {**content.origin.settings, "MAX_ITEM_LIST_LENGTH": 10**8}
    origin = dataclasses.replace(content.origin, settings=settings)
    with pytest.raises(CheckpointError, match="a tensor of size 100000000 x 16; copy the folder again"):
        build_model(dataclasses.replace(content, origin=origin), tmp_path)
    assert not sizes


def test_other_tables_than_the_settings_name(content, tmp_path):
    with pytest.raises(
        CheckpointError, match="tables of evidence for nothing, its settings name covisit, two_hop, wor"
    ):
        build_model(dataclasses.replace(content, tables={}), tmp_path)

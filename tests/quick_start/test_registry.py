"""Names of models: aliases, suggestions, and what looking them up must not do to the process."""

import subprocess
import sys

import pytest
import torch

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.common.recbole_globals import sequential_models
from recbole_mpo.data.attribute_dataset import AttributeDataset
from recbole_mpo.data.dataset import TextSequenceDataset
from recbole_mpo.data.reading import ReadingMixin
from recbole_mpo.model.abstract_recommender import ModelContract
from recbole_mpo.model.baselines.recbole_s3rec import S3RecContract
from recbole_mpo.model.mporec import MPORec, MPORecExpand, MPORecLight
from recbole_mpo.model.recbole_evidence import LateEvidence
from recbole_mpo.model.unisrec import UniSRec
from recbole_mpo.quick_start.registry import OWN_MODELS, find_model, recbole_model_names
from recbole_mpo.trainer.item_vector_trainer import ItemVectorTrainer
from recbole_mpo.trainer.recbole_stages import S3RecTrainer
from recbole_mpo.trainer.trainer import RunTrainer


@pytest.mark.parametrize(
    ("alias", "name", "model_class"),
    [
        ("MPORec", "MPORec", MPORec),
        ("mporec", "MPORec", MPORec),
        ("MPO-Rec", "MPORec", MPORec),
        ("mporec-expand", "MPORecExpand", MPORecExpand),
        ("MPORec-Expand", "MPORecExpand", MPORecExpand),
        ("MPORec_expand", "MPORecExpand", MPORecExpand),
        ("MPORECLIGHT", "MPORecLight", MPORecLight),
        ("unisrec", "UniSRec", UniSRec),
        ("unisrec_f", "UniSRec_F", UniSRec),
        ("UniSRec-F", "UniSRec_F", UniSRec),
    ],
)
def test_own_models_have_one_canonical_name(alias, name, model_class):
    spec = find_model(alias)
    assert (spec.name, spec.model_class) == (name, model_class)
    assert (spec.trainer_class, spec.dataset_class) == (ItemVectorTrainer, TextSequenceDataset)


@pytest.mark.parametrize(
    ("alias", "name"), [("SASRec", "SASRec"), ("sasrec", "SASRec"), ("bert4rec", "BERT4Rec"), ("GRU4REC", "GRU4Rec")]
)
def test_recboles_models_resolve_and_get_safe_files(alias, name):
    spec = find_model(alias)
    assert spec.name == name == spec.model_class.__name__
    assert spec.trainer_class is RunTrainer and issubclass(spec.dataset_class, ReadingMixin)


def test_recboles_s3rec_runs_both_stages_on_attributes_from_text():
    spec = find_model("s3rec")
    expected = (LateEvidence, S3RecContract, ModelContract, sequential_models().S3Rec)
    assert spec.model_class.__mro__[1:5] == expected
    assert (spec.trainer_class, spec.dataset_class) == (S3RecTrainer, AttributeDataset)


def test_recboles_names_are_its_sequential_models():
    names = recbole_model_names()
    assert {"SASRec", "BERT4Rec", "GRU4Rec", "FPMC"} <= set(names)
    assert "SequentialRecommender" not in names and "BPR" not in names


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("MPORek", "MPORec"), ("MPORecLite", "MPORecLight"), ("SASRek", "SASRec"), ("unisrek", "UniSRec")],
)
def test_unknown_model_suggests(wrong, right):
    with pytest.raises(ConfigError) as caught:
        find_model(wrong)
    assert f"unknown model {wrong!r} (did you mean {right!r}?)" in str(caught.value)


def test_unknown_model_lists_this_packages():
    with pytest.raises(ConfigError) as caught:
        find_model("zzzzzz")
    assert "did you mean" not in str(caught.value)
    assert all(name in str(caught.value) for name in OWN_MODELS)


def test_no_own_name_hides_one_of_recboles():
    def key(name):
        return name.lower().replace("_", "").replace("-", "")

    assert not {key(name) for name in OWN_MODELS} & {key(name) for name in recbole_model_names()}


def test_looking_up_recboles_models_leaves_autograd_and_ray_alone():
    code = (
        "import sys, torch; from recbole_mpo.cli import commands; from recbole_mpo.quick_start import registry;"
        "assert not torch.is_anomaly_enabled();"
        "registry.find_model('SASRec');"
        "assert not torch.is_anomaly_enabled();"
        "assert 'ray' not in sys.modules, 'ray'; assert 'recbole.quick_start' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_anomaly_detection_that_was_on_stays_on():
    with torch.autograd.set_detect_anomaly(True):
        sequential_models()
        assert torch.is_anomaly_enabled()
    assert not torch.is_anomaly_enabled()

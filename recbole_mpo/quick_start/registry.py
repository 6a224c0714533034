"""The classes that belong to a model's name: this package's models first, then RecBole's."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass

import recbole.data.dataset as recbole_datasets
from recbole.data.dataset import SequentialDataset
from recbole.model.abstract_recommender import AbstractRecommender, SequentialRecommender

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.common.foreign import as_config_error
from recbole_mpo.common.recbole_globals import sequential_models
from recbole_mpo.common.values import suggestion
from recbole_mpo.data.attribute_dataset import AttributeDataset
from recbole_mpo.data.dataset import TextSequenceDataset
from recbole_mpo.data.reading import ReadingMixin
from recbole_mpo.model.abstract_recommender import ModelContract
from recbole_mpo.model.baselines.bert4rec import BERT4RecFair
from recbole_mpo.model.baselines.ccdr import CCDR
from recbole_mpo.model.baselines.counting import CountText, CoVisit, Pop, TextKNN
from recbole_mpo.model.baselines.peterrec import PeterRec
from recbole_mpo.model.baselines.recbole_s3rec import S3RecContract
from recbole_mpo.model.baselines.s3rec import S3RecFixed
from recbole_mpo.model.baselines.sasrec import SASRecCE
from recbole_mpo.model.baselines.unisrec_lora import LoRA
from recbole_mpo.model.mporec import MPORec, MPORecExpand, MPORecLight
from recbole_mpo.model.recbole_evidence import LateEvidence, NoEvidence
from recbole_mpo.model.unisrec import UniSRec
from recbole_mpo.trainer.item_vector_trainer import ItemVectorTrainer
from recbole_mpo.trainer.recbole_stages import S3RecTrainer
from recbole_mpo.trainer.stages import PretrainingTrainer
from recbole_mpo.trainer.trainer import CountingTrainer, RunTrainer
from recbole_mpo.trainer.trimmed_batches import TRIMMED_MODELS


@dataclass(frozen=True)
class ModelSpec:
    """A model's name and the classes of its run.

    Attributes:
        name: name of the model in its usual spelling.
        model_class: class of the model.
        trainer_class: class of its trainer.
        dataset_class: class of its dataset.
    """

    name: str
    model_class: type
    trainer_class: Callable
    dataset_class: type

    def build(self, config, dataset):
        """Return a new model for the training part of a dataset.

        Raises:
            ConfigError: the settings do not fit the model.
        """
        with as_config_error(f"{self.name} cannot be built with these settings"):
            return self.model_class(config, dataset)


def _own(name: str, model_class: type, trainer_class: Callable = ItemVectorTrainer) -> ModelSpec:
    return ModelSpec(name, model_class, trainer_class, TextSequenceDataset)


# UniSRec_F differs from UniSRec only in its property file (freeze: [encoder, positions]).
OWN_MODELS = {
    spec.name: spec
    for spec in (
        _own("UniSRec", UniSRec),
        _own("UniSRec_F", UniSRec),
        _own("MPORec", MPORec),
        _own("MPORecLight", MPORecLight),
        _own("MPORecExpand", MPORecExpand),
        _own("LoRA", LoRA),
        _own("SASRecCE", SASRecCE),
        _own("PeterRec", PeterRec),
        _own("S3RecFixed", S3RecFixed, PretrainingTrainer),
        _own("BERT4RecFair", BERT4RecFair, RunTrainer),
        _own("CCDR", CCDR),
        _own("Pop", Pop, CountingTrainer),
        _own("CoVisit", CoVisit, CountingTrainer),
        _own("TextKNN", TextKNN, CountingTrainer),
        _own("CountText", CountText, CountingTrainer),
    )
}


def _key(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


def recbole_model_names() -> list[str]:
    """Return the names of RecBole's sequential models."""
    return sorted(
        name
        for name, entry in vars(sequential_models()).items()
        if inspect.isclass(entry) and issubclass(entry, SequentialRecommender) and entry is not SequentialRecommender
    )


def find_model(name: str) -> ModelSpec:
    """Return the model of this name; capitals, hyphens and underscores do not matter.

    Raises:
        ConfigError: there is no such model; the message suggests a similar name.
    """
    for other, spec in OWN_MODELS.items():
        if _key(other) == _key(name):
            return spec
    others = recbole_model_names()
    for other in others:
        if _key(other) == _key(name):
            return _recbole_spec(other)
    raise ConfigError(
        f"unknown model {name!r}{suggestion(name, [*OWN_MODELS, *others])}; this package has "
        f"{', '.join(OWN_MODELS)}, and RecBole's sequential models run too"
    )


def _recbole_spec(name: str) -> ModelSpec:
    """Return the spec of a RecBole model, with contract and reader mixed in; its dataset is found by name."""
    recbole_class = getattr(sequential_models(), name)
    contract = S3RecContract if name == "S3Rec" else ModelContract
    scores_all = recbole_class.full_sort_predict is not AbstractRecommender.full_sort_predict
    evidence = LateEvidence if scores_all else NoEvidence
    facts = {"trims_batches": name in TRIMMED_MODELS, "predicts_masked_items": name == "BERT4Rec"}
    model_class = type(name, (evidence, contract, recbole_class), {**facts, "__module__": recbole_class.__module__})
    if name == "S3Rec":
        return ModelSpec(name, model_class, S3RecTrainer, AttributeDataset)
    dataset = getattr(recbole_datasets, f"{name}Dataset", SequentialDataset)
    return ModelSpec(name, model_class, RunTrainer, type(f"Reading{dataset.__name__}", (ReadingMixin, dataset), {}))

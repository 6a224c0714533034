"""What a recommender is made of, from an experiment or from a model folder, and as the content of a folder."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from recbole_mpo.common.errors import CheckpointError, DataError
from recbole_mpo.data.fitted_tensors import of_tensors
from recbole_mpo.model.abstract_recommender import ItemVectorRecommender
from recbole_mpo.model.evidence import know_words_of
from recbole_mpo.model.recbole_evidence import LateEvidence
from recbole_mpo.quick_start.experiment import Experiment
from recbole_mpo.release.candidate_scores import RowScores, VectorScores
from recbole_mpo.release.candidates import Candidates
from recbole_mpo.release.compress.compressed_files import DESCRIPTION, load_compressed, titles_in
from recbole_mpo.release.dense_twin import dense_twin
from recbole_mpo.release.folder_model import build_model, evidence_tables, has_folder
from recbole_mpo.release.model_folder import FolderContent, read_folder
from recbole_mpo.release.new_items import NewTextEncoder, words_of
from recbole_mpo.release.origin import Origin, RunOrigin
from recbole_mpo.text.fitted_text import FittedText
from recbole_mpo.text.item_features import titles_of


def parts_of_experiment(experiment: Experiment, model, record: Path | None) -> tuple:
    """Return model, candidates, encoder of new texts and origin of a recommender for a model of an experiment.

    Args:
        experiment: the experiment.
        model: its trained model.
        record: file of the run's record, if there is one.

    Raises:
        DataError: the model cannot recommend (such as those that count).
    """
    config = experiment.config
    _check_recommends(experiment, model)
    tokens, extra = [str(token) for token in model.item_tokens], None
    # Items without usable text, whose features are all zero, are left out.
    if model.uses_text and model.scores_text_alone:
        features = experiment.data.dataset.features
        extra = torch.from_numpy(features.text_only_features).to(config["device"])
        tokens += [str(features.item_text.tokens[row]) for row in features.text_only]
        others = [features.item_text.texts[row] for row in features.text_only]
        know_words_of(others, model, experiment.data.dataset, config)
    titles = titles_of(config)
    if not isinstance(model, ItemVectorRecommender):
        return model, Candidates(tokens, titles, RowScores(model)), None, None
    twin = dense_twin(model, config).eval()
    files = experiment.source.files(config)
    origin = RunOrigin(experiment.spec.name, config, model, twin is not model, files, record)
    candidates, fitted = _candidates(twin, tokens, titles, VectorScores(twin, extra), config), fitted_text(twin, config)
    return twin, candidates, _encoder(twin, config, fitted), origin.describe


def _check_recommends(experiment: Experiment, model):
    if not isinstance(model, ItemVectorRecommender | LateEvidence):
        raise DataError(
            "recommend works with this package's text models and RecBole's models that score all items, but this "
            f"is a {experiment.spec.name}"
        )
    check_settings(experiment.config.plain())


def check_settings(settings: dict):
    """Refuse settings of checkpoints that cannot recommend, whatever the dataset.

    Raises:
        DataError: the checkpoint is of several datasets, or predicts something else than items.
    """
    if settings.get("domains"):
        raise DataError(
            f"this checkpoint was pre-trained on several datasets ({settings.get('dataset')}); adapt it to "
            "one with run --pretrained, and recommend with that run's best.pth"
        )
    if settings.get("user_profile"):
        raise DataError(f"this checkpoint predicts {settings['user_profile']} of users, not items")


def _candidates(model, tokens: list[str], titles: dict[str, str], scores: VectorScores, config) -> Candidates:
    texts = ["", *(titles.get(token, "") for token in tokens[1:])]
    evidence = model.evidence if has_folder(model) else None
    return Candidates(tokens, titles, scores, words_of(model, evidence, texts, config["evidence_entries"]))


def _encoder(model, config, fitted: FittedText | None, **options) -> NewTextEncoder | None:
    """Return what encodes new texts; None if the model does not score items by text alone."""
    if not (model.uses_text and model.scores_text_alone):
        return None
    return NewTextEncoder(model, config, None if config["feature_file"] else fitted, **options)


def fitted_text(model, config) -> FittedText | None:
    """Return what a run fitted to the item texts of its dataset; None without text."""
    stored = (model.fitted_text or {}).get(config["dataset"])
    return None if stored is None else of_tensors({"": stored})[""]


def parts_of_folder(folder: Path, encoders: Sequence | None = None) -> tuple:
    """Return model, candidates, encoder of new texts and origin of a recommender of a model folder.

    The folder of a compressed model has item vectors and what reads them: it takes no new texts and is not saved again.

    Args:
        folder: the folder of ``export``, or of a variant of ``compress``.
        encoders: text encoders to use instead of those that the settings name.

    Raises:
        CheckpointError: the folder is damaged, or its parts do not fit together.
    """
    if (folder / DESCRIPTION).is_file():
        return _parts_of_compressed(folder)
    content = read_folder(folder)
    model, config = build_model(content, folder)
    if content.fitted_text is not None:
        arrays = content.fitted_text.arrays()
        model.fitted_text = {config["dataset"]: {name: torch.from_numpy(part) for name, part in arrays.items()}}
    scores = VectorScores(model, item_vectors=content.item_vectors.to(model.device))
    fingerprints = None if encoders else content.origin.encoders
    # Without encoders in the folder, features came from a file.
    fitted = None if content.origin.encoders is None else content.fitted_text
    encoder = _encoder(model, config, fitted, fingerprints=fingerprints, encoders=encoders)
    return model, _candidates(model, content.tokens, content.titles, scores, config), encoder, lambda: content.origin


def _parts_of_compressed(folder: Path) -> tuple:
    model = load_compressed(folder)
    candidates = Candidates([str(token) for token in model.item_tokens], titles_in(folder), VectorScores(model))
    return model, candidates, None, None


def content_of(model, candidates: Candidates, origin: Callable[[], Origin] | None) -> FolderContent:
    """Return the content of a model folder.

    Args:
        model: the model.
        candidates: the items that it ranks.
        origin: describes where the model comes from.

    Raises:
        CheckpointError: the model cannot be built from a folder.
    """
    if model.stores_items:
        raise CheckpointError("this model is compressed, and has a folder already: copy that")
    if origin is None or not has_folder(model):
        raise CheckpointError(
            f"{type(model).__name__} has no model folder: a folder holds item vectors and the weights that read them, "
            "so only text models and others of this package that score by item vectors have one, not RecBole's own "
            "models, whose classes and data need a checkpoint with its dataset, nor those with graphs of the data"
        )
    described = origin()
    evidence = candidates.scores.evidence or model.evidence
    fitted = fitted_text(model, {"dataset": described.settings["dataset"]})
    return FolderContent(
        described,
        model.state_dict(),
        candidates.tokens,
        candidates.titles,
        candidates.scores.item_vectors,
        model.n_items,
        model.feature_size,
        evidence_tables(evidence),
        model.fitted_words if evidence is not None else None,
        fitted,
    )

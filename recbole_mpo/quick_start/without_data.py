"""The model of a checkpoint without its dataset, for uses that need only the weights, such as merging."""

import logging
from pathlib import Path

from recbole_mpo.data.catalogue import Catalogue
from recbole_mpo.model.parameters import freeze
from recbole_mpo.quick_start.configure import make_config
from recbole_mpo.quick_start.experiment import Experiment
from recbole_mpo.quick_start.registry import find_model
from recbole_mpo.quick_start.starting import settings_of
from recbole_mpo.trainer import checkpoint
from recbole_mpo.trainer.data_identity import item_tokens

logger = logging.getLogger(__name__)


def model_of_checkpoint(path: str | Path, overrides: dict | None = None) -> tuple:
    """Return the model of a checkpoint with its weights, and the checkpoint's content.

    A checkpoint lists its items, and most models can be built from these and the settings. For others (those of older
    versions, with graphs, attributes or classes of users, and RecBole's own) the dataset is read, and the log says so.

    Args:
        path: file of the checkpoint.
        overrides: settings that override those of the checkpoint.

    Raises:
        CheckpointError: the checkpoint is missing, damaged or without settings; or the dataset is read and differs.
        ConfigError: the settings do not fit together.
        DataError: the dataset has to be read and cannot be.
    """
    state = checkpoint.load_checkpoint(path)
    settings = settings_of(state, path, overrides)
    tokens = item_tokens(state)
    is_built_from_items = find_model(settings["model"]).model_class.is_built_from_items
    if tokens is None or not is_built_from_items or state["config"].get("user_profile"):
        reason = "of an older version, which does not list items" if tokens is None else f"of {settings['model']}"
        logger.warning("checkpoint %s is %s: reading its dataset to build the model", path, reason)
        return Experiment.from_checkpoint(path, overrides)[1:]
    spec, config = make_config(**settings)
    fields = {"iid_field": config["ITEM_ID_FIELD"], "uid_field": config["USER_ID_FIELD"]}
    features = {name: state.get(name) for name in ("feature_hash", "feature_sketch", "fitted_text")}
    catalogue = Catalogue(tokens, state["feature_size"] or None, **features, **fields)
    model = spec.build(config, catalogue)
    checkpoint.load_weights(model, state["state_dict"], path)
    freeze(model, config["freeze"])
    return model, state

"""A checkpoint's model without its dataset, for what needs weights alone: counting and merging."""

import logging
from pathlib import Path

from recbole_mpo.data.catalogue import Catalogue
from recbole_mpo.model.parameters import freeze
from recbole_mpo.quick_start.configure import make_config
from recbole_mpo.quick_start.experiment import Experiment
from recbole_mpo.quick_start.registry import find_model
from recbole_mpo.quick_start.starting import settings_of
from recbole_mpo.trainer import checkpoint

logger = logging.getLogger(__name__)


def model_of_checkpoint(path: str | Path, overrides=None) -> tuple:
    """Return the model of a checkpoint, with its weights, and the checkpoint itself.

    A checkpoint lists its items, and most models are built from these and the settings. Where that is not so (older
    versions, graphs, attributes, RecBole's own models) the dataset is read, and the log says so.

    Raises:
        CheckpointError: missing, damaged or without settings; or, where the dataset is read, of other data.
    """
    state = checkpoint.load_checkpoint(path)
    settings = settings_of(state, path, overrides)
    tokens = checkpoint.item_tokens(state)
    if tokens is None or not find_model(settings["model"]).model_class.is_built_from_items:
        reason = "of an older version, which lists no items" if tokens is None else f"of {settings['model']}"
        logger.warning("checkpoint %s is %s: its dataset is read to build the model", path, reason)
        return Experiment.from_checkpoint(path, overrides)[1:]
    spec, config = make_config(**settings)
    fields = {"iid_field": config["ITEM_ID_FIELD"], "uid_field": config["USER_ID_FIELD"]}
    catalogue = Catalogue(tokens, state["feature_size"] or None, state["feature_hash"], **fields)
    model = spec.build(config, catalogue)
    checkpoint.load_weights(model, state["state_dict"], path)
    freeze(model, config["freeze"])
    return model, state

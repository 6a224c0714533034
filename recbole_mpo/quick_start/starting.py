"""The weights that a new model starts from: newly initialised, or from another run's checkpoint."""

import logging
from pathlib import Path

from recbole_mpo.common.errors import CheckpointError
from recbole_mpo.model.abstract_recommender import PretrainedWeights
from recbole_mpo.trainer import checkpoint

logger = logging.getLogger(__name__)

# Where a run writes. A checkpoint from elsewhere does not decide that: the user's own settings do.
WRITTEN_TO = {
    "cache_dir", "checkpoint_dir", "save_dataset", "dataset_save_path", "save_dataloaders", "dataloaders_save_path"
}  # fmt: skip


def settings_of(state: dict, path: str | Path, overrides: dict | None) -> dict:
    """Return the arguments of ``make_config`` for the run that wrote a checkpoint.

    Args:
        state: content of the checkpoint.
        path: file of the checkpoint, for messages.
        overrides: settings that override those of the checkpoint.

    Raises:
        CheckpointError: the checkpoint has only weights.
    """
    if "config" not in state or "model" not in state:
        raise CheckpointError(f"checkpoint {path} holds weights but no settings; start a run from it with --pretrained")
    stored = {key: value for key, value in state["config"].items() if key not in WRITTEN_TO}
    return {
        "model": state["model"],
        "dataset": state["config"]["dataset"],
        # The checkpoint has every weight, so the file that its run started from is no longer needed.
        "stored": {**stored, "pretrained": None},
        "overrides": overrides,
    }


def start(model, config):
    """Load the weights of ``pretrained`` into a new model; without it, check that the model may start without them.

    Weights are copied by name, except those of one dataset or stage (``fresh_weights``) and those that the model itself
    converts (``carry_over``).

    Raises:
        CheckpointError: the checkpoint is missing or damaged, or the model cannot start from it.
        ConfigError: the settings need pre-trained weights, or do not allow them.
    """
    if not config["pretrained"]:
        model.check_fresh_start()
        return
    path = Path(config["pretrained"])
    source = _read_source(path)
    fresh = model.fresh_weights
    weights = {name: value for name, value in source.weights.items() if not name.startswith(fresh)}
    weights |= {name: value for name, value in model.state_dict().items() if name.startswith(fresh)}
    weights |= model.carry_over(source)
    checkpoint.load_weights(model, weights, path)
    _warn_of_other_features(model, config, source.settings, path)
    logger.info("starting from %s", path)


def _warn_of_other_features(model, config, settings: dict, path: Path):
    """Warn if the weights were trained on features that were made in another way, which torch cannot notice."""
    keys = ("text_encoder", "text_pooling", "feature_center", "feature_scale") if model.uses_text else ()
    other = [key for key in keys if key in settings and settings[key] != config[key]]
    if other and not config["feature_file"] and not settings.get("feature_file"):
        logger.warning(
            "%s was trained with other item features than this run has, so what it learned of texts does not apply: %s",
            path,
            ", ".join(f"{key} was {settings[key]}, is {config[key]}" for key in other),
        )


def _read_source(path: Path) -> PretrainedWeights:
    state = checkpoint.load_checkpoint(path)
    return PretrainedWeights(
        path,
        state["state_dict"],
        state.get("config", {}),
        state.get("item_hash"),
        (state.get("other_parameter") or {}).get("item_names") or [],
    )

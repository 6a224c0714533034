"""The weights that a new model starts from: newly initialised, or from another run's checkpoint."""

import logging
from pathlib import Path

from recbole_mpo.common.errors import CheckpointError
from recbole_mpo.common.former_defaults import with_former_defaults
from recbole_mpo.common.terminal import one_line
from recbole_mpo.model.abstract_recommender import PretrainedWeights
from recbole_mpo.trainer import checkpoint
from recbole_mpo.trainer.published_checkpoint import read_published

logger = logging.getLogger(__name__)

# Where a run writes. A checkpoint from elsewhere does not decide that: the user's own settings do.
WRITTEN_TO = {
    "cache_dir", "checkpoint_dir", "save_dataset", "dataset_save_path", "save_dataloaders", "dataloaders_save_path"
}  # fmt: skip
# Sizes, which shapes and names of weights depend on.
SIZES = ("hidden_size", "n_layers", "inner_size", "n_exps", "MAX_ITEM_LIST_LENGTH")
# With another value of one of these the same weights of a Transformer compute something else.
FORMS = ("n_heads", "hidden_act")
ENCODER, FEATURES = ("text_encoder", "text_pooling"), ("feature_center", "feature_scale")
TRANSFORMER, ADAPTOR_INPUT = "trm_encoder.", "moe_adaptor.w_gate"
# Width of BERT's vectors.
BERT = 768


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
        "stored": {**with_former_defaults(stored, state["model"]), "pretrained": None},
        "overrides": overrides,
    }


def start(model, config):
    """Load the weights of ``pretrained`` into a new model; without it, check that the model may start without them.

    The file is a checkpoint of this package, or of UniSRec's published code. Weights are copied by name, except those
    of one dataset or stage (``fresh_weights``) and those that the model itself converts (``carry_over``).

    Raises:
        CheckpointError: the checkpoint is missing or damaged, or the model cannot start from it; the message lists all
            names that differ, and the settings that are why.
        ConfigError: the settings need pre-trained weights, or do not allow them.
    """
    if not config["pretrained"]:
        model.check_fresh_start()
        return
    path = Path(config["pretrained"])
    source = read_source(path)
    fresh = model.fresh_weights
    weights = {name: value for name, value in source.weights.items() if not name.startswith(fresh)}
    weights |= {name: value for name, value in model.state_dict().items() if name.startswith(fresh)}
    weights |= model.carry_over(source)
    try:
        checkpoint.load_weights(model, weights, path)
    except CheckpointError as problem:
        raise CheckpointError("; ".join([str(problem), *_reasons(model, config, source)])) from problem
    _check_form(config, source, path)
    _warn_of_other_features(model, config, source.settings, path)
    logger.info("starting from %s", path)


def _reasons(model, config, source: PretrainedWeights) -> list[str]:
    """Return why weights do not fit, as far as the settings tell."""
    reasons = []
    adaptor_input = source.weights.get(ADAPTOR_INPUT)
    if model.uses_text and adaptor_input is not None and adaptor_input.dim() == 2:
        width, made_by = len(adaptor_input), source.settings.get("text_encoder")
        if width != model.feature_size:
            # UniSRec's published files do not name their encoder.
            made_by = made_by or ("BERT's CLS vectors in UniSRec's published files" if width == BERT else "")
            origin = f" ({_shown(made_by)})" if made_by else ""
            reasons.append(
                f"its item features have {width} columns{origin}, those of this run have {model.feature_size}: give "
                "this run features of that width with text_encoder or feature_file"
            )
    others = _other_settings(SIZES, config, source.settings)
    return reasons + ([f"of its settings, {others}"] if others else [])


def _check_form(config, source: PretrainedWeights, path: Path):
    """Refuse weights that fit but would compute something else than what was trained."""
    others = _other_settings(FORMS, config, source.settings)
    if others and any(name.startswith(TRANSFORMER) for name in source.weights):
        raise CheckpointError(
            f"checkpoint {path} was trained with other settings of the Transformer, so its weights would compute "
            f"something else here: {others}; give this run the same"
        )


def _other_settings(keys: tuple[str, ...], config, settings: dict) -> str:
    """Return the settings that are not those of the checkpoint, with both values."""
    others = [key for key in keys if key in settings and key in config and settings[key] != config[key]]
    return ", ".join(f"{key} was {_shown(settings[key])}, is {config[key]}" for key in others)


def _shown(value) -> str:
    return one_line(str(value))[:100]


def _warn_of_other_features(model, config, settings: dict, path: Path):
    """Warn if the weights were trained on features that were made in another way, which torch cannot notice."""
    if not model.uses_text:
        return
    keys = FEATURES if config["feature_file"] or settings.get("feature_file") else ENCODER + FEATURES
    others = _other_settings(keys, config, settings)
    if others:
        logger.warning(
            "%s was trained with other item features than this run has, so what it learned of texts does not apply: %s",
            path,
            others,
        )


def read_source(path: Path) -> PretrainedWeights:
    """Return the weights and settings of a file that a run can start from.

    Args:
        path: a checkpoint of this package, or of UniSRec's published code.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    try:
        state = checkpoint.load_checkpoint(path)
    except checkpoint.PickledObjectsError:
        state = read_published(path)
    return PretrainedWeights(
        path,
        state["state_dict"],
        state.get("config", {}),
        state.get("item_hash"),
        (state.get("other_parameter") or {}).get("item_names") or [],
    )

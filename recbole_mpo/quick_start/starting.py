"""Where a model's weights come from: its initialisation, or another run's checkpoint."""

import logging
from pathlib import Path

from recbole_mpo.common.errors import CheckpointError
from recbole_mpo.model.abstract_recommender import PretrainedWeights
from recbole_mpo.trainer import checkpoint

logger = logging.getLogger(__name__)


def settings_of(state: dict, path: str | Path, overrides: dict | None) -> dict:
    """Return what :func:`~recbole_mpo.quick_start.configure.make_config` takes for the run that wrote a checkpoint.

    Raises:
        CheckpointError: the checkpoint holds weights alone.
    """
    if "config" not in state or "model" not in state:
        raise CheckpointError(f"checkpoint {path} holds weights but no settings; a run can start from it (pretrained)")
    return {
        "model": state["model"],
        "dataset": state["config"]["dataset"],
        # The checkpoint holds every weight; where its run once started from is no longer needed.
        "stored": {**state["config"], "pretrained": None},
        "overrides": overrides,
    }


def start(model, config):
    """Give a new model the weights of ``pretrained``, or let it refuse to start from its own.

    What belongs to one dataset or stage stays as initialised (``fresh_weights``); what goes over otherwise than by
    name is the model's to say (``carry_over``).

    Raises:
        CheckpointError, ConfigError: the checkpoint is missing, damaged, or not one that the model can start from.
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
    logger.info("starting from %s", path)


def _read_source(path: Path) -> PretrainedWeights:
    state = checkpoint.load_checkpoint(path)
    return PretrainedWeights(
        path,
        state["state_dict"],
        state.get("config", {}),
        state.get("item_hash"),
        (state.get("other_parameter") or {}).get("item_names") or [],
    )

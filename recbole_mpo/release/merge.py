"""An MPO checkpoint as a dense one."""





from pathlib import Path

from recbole_mpo.common.errors import CheckpointError
from recbole_mpo.layers.mpo.convert import dense_state_dict, mpo_layers
from recbole_mpo.quick_start.experiment import Experiment
from recbole_mpo.quick_start.registry import OWN_MODELS
from recbole_mpo.trainer import checkpoint


def merge_checkpoint(path: str | Path, output: str | Path, overrides=None):
    """Writes an MPO checkpoint's merged weights as a checkpoint of UniSRec, fit for evaluation or pretrained."""
    if Path(output).is_dir():
        raise CheckpointError(f"output {output} is a folder; name the file to write")
    experiment, state = Experiment.from_checkpoint(path, overrides)
    if not mpo_layers(experiment.model):
        raise CheckpointError(f"checkpoint {path} is of {experiment.spec.name}, which has no MPO layers to merge")
    config = {key: value for key, value in state["config"].items() if not key.startswith("mpo_")}
    merged = {
        "model": OWN_MODELS["UniSRec"].name,
        "config": {**config, "model": OWN_MODELS["UniSRec"].name, "pretrained": None},
        "item_hash": state["item_hash"],
        "feature_hash": state["feature_hash"],
        "counts_hash": state.get("counts_hash"),
        "state_dict": dense_state_dict(experiment.model),
        "epoch": state["epoch"],
    }
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    checkpoint.save_checkpoint(merged, output)

"""An MPO checkpoint as a dense one."""

from pathlib import Path

from recbole_mpo.common.errors import CheckpointError
from recbole_mpo.layers.mpo.convert import dense_state_dict, mpo_layers
from recbole_mpo.quick_start.without_data import model_of_checkpoint
from recbole_mpo.trainer import checkpoint

# What a merged model is.
DENSE_MODEL = "UniSRec"


def merge_checkpoint(path: str | Path, output: str | Path, overrides=None):
    """Write an MPO checkpoint's merged weights as a checkpoint of UniSRec, fit for evaluation or ``pretrained``.

    Reads no dataset, unless the checkpoint is of an older version.

    Args:
        path: of the MPO checkpoint.
        output: the file to write; its folder is made.
        overrides: settings that win over the checkpoint's own.

    Raises:
        CheckpointError: it has no MPO layers, or cannot be read or written.
    """
    if Path(output).is_dir():
        raise CheckpointError(f"output {output} is a folder; name the file to write")
    model, state = model_of_checkpoint(path, overrides)
    if not mpo_layers(model):
        raise CheckpointError(f"checkpoint {path} is of {state['model']}, which has no MPO layers to merge")
    config = {key: value for key, value in state["config"].items() if not key.startswith("mpo_")}
    merged = {
        "model": DENSE_MODEL,
        "config": {**config, "model": DENSE_MODEL, "pretrained": None},
        **{name: state[name] for name in checkpoint.IDENTITY_KEYS if name in state},
        "state_dict": dense_state_dict(model),
        "epoch": state["epoch"],
    }
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    checkpoint.save_checkpoint(merged, output)

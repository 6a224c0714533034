"""Convert an MPO checkpoint to a dense one."""

from pathlib import Path

from recbole_mpo.common.errors import CheckpointError
from recbole_mpo.layers.mpo.convert import dense_state_dict, mpo_layers
from recbole_mpo.quick_start.without_data import model_of_checkpoint
from recbole_mpo.trainer import checkpoint

# The model of a merged checkpoint.
DENSE_MODEL = "UniSRec"


def merge_checkpoint(path: str | Path, output: str | Path, overrides: dict | None = None):
    """Write the merged weights of an MPO checkpoint as a UniSRec checkpoint, for evaluation or ``pretrained``.

    The dataset is not read, unless an older version wrote the checkpoint.

    Args:
        path: file of the MPO checkpoint.
        output: the file to write; its folder is created.
        overrides: settings that override those of the checkpoint.

    Raises:
        CheckpointError: the checkpoint has no MPO layers, or a file cannot be read or written.
        ConfigError: the settings do not fit together.
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

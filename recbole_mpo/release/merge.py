"""Convert a checkpoint with MPO or LoRA layers to a dense one."""

from pathlib import Path

from recbole_mpo.common.errors import CheckpointError
from recbole_mpo.model.unisrec import UniSRec
from recbole_mpo.quick_start.without_data import model_of_checkpoint
from recbole_mpo.release.dense_twin import DENSE_MODEL, dense_settings, dense_weights, is_dense
from recbole_mpo.release.replaced_files import check_output
from recbole_mpo.release.unisrec_layout import unisrec_layout
from recbole_mpo.trainer import checkpoint
from recbole_mpo.trainer.checkpoint_content import DATA_KEYS

# What is written: a checkpoint of this package, or one of UniSRec's published code.
LAYOUTS = ("own", "unisrec")
# Key of merged checkpoints: the model that was merged. Only files with it are replaced.
MERGED_FROM = "merged_from"


def merge_checkpoint(path: str | Path, output: str | Path, overrides: dict | None = None, layout: str = "own"):
    """Write the merged weights of a checkpoint as a UniSRec checkpoint, for evaluation or ``pretrained``.

    The dataset is not read, unless an older version wrote the checkpoint.

    Args:
        path: file of a checkpoint with MPO or LoRA layers; with the layout ``unisrec`` they may be dense.
        output: the file to write; its folder is created. An existing file is replaced only if it was merged too.
        overrides: settings that override those of the checkpoint.
        layout: ``own``, or ``unisrec`` for the published code of UniSRec, which has only weights and settings.

    Raises:
        CheckpointError: the checkpoint has no such layers, or weights that the layout has no place for; a file cannot
            be read or written, or ``output`` is another file that would be lost.
        ConfigError: the settings do not fit together.
    """
    check_output(Path(output), {"checkpoint": path}, _is_merged, "of merge")
    model, state = model_of_checkpoint(path, overrides)
    if layout == "own" and is_dense(model):
        raise CheckpointError(f"checkpoint {path} is of {state['model']}, which has no MPO or LoRA layers to merge")
    # Others may have the same names of weights, and score in another way.
    if layout == "unisrec" and not isinstance(model, UniSRec):
        raise CheckpointError(
            f"checkpoint {path} is of {state['model']}, and UniSRec's layout is for UniSRec, MPORec and LoRA"
        )
    config, weights = dense_settings(state["config"]), dense_weights(model)
    if layout == "unisrec":
        content = unisrec_layout(weights, config, state["epoch"], path)
    else:
        identity = {name: state[name] for name in DATA_KEYS if name in state}
        content = {"model": DENSE_MODEL, "config": config, **identity, "state_dict": weights, "epoch": state["epoch"]}
    checkpoint.save_checkpoint({MERGED_FROM: state["model"], **content}, output)


def _is_merged(path: Path) -> bool:
    return checkpoint.has_key(path, MERGED_FROM)

"""Pre-train a model on several datasets, and write its weights for fine-tuning on others."""

import os
from pathlib import Path

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.model.task_weighting import WEIGHTING, WEIGHTING_SETTINGS
from recbole_mpo.quick_start.planned_run import WITHOUT_EFFECT
from recbole_mpo.quick_start.recorded_run import run_in_folder
from recbole_mpo.trainer.checkpoint import has_key, load_checkpoint, save_checkpoint
from recbole_mpo.trainer.checkpoint_content import DATA_KEYS
from recbole_mpo.trainer.distributed import joined_ranks

# Key of the files that this command writes; only such files are replaced.
PRETRAINED_ON = "pretrained_on"


def pretrain(
    model: str,
    domains: list[str],
    output: str | Path,
    config_files=(),
    overrides: dict | None = None,
    *,
    dry_run: bool = False,
    resume: str | None = None,
    record_path: str | Path | None = None,
) -> dict:
    """Train a model on the next items of all histories of several prepared datasets, and keep its best weights.

    Every batch mixes the domains. A few users of each are held out; training stops when the mean of ``valid_metric``
    over the domains improves no more.

    Args:
        model: name of the model, such as ``UniSRec`` or ``MPORec``.
        domains: names of the datasets; known ones that are absent are prepared.
        output: the file to write, for the setting ``pretrained`` of later runs. An existing file is replaced only if
            this function wrote it.
        config_files: YAML files; later files override earlier ones.
        overrides: settings that override the files.
        dry_run: whether to build everything and write the record, and then stop.
        resume: a run's folder or its ``last.pth``, or ``auto``.
        record_path: a second place for the record.

    Returns:
        The record of the run, whose ``valid`` holds the means over the domains and the metrics of each.

    Raises:
        RecboleMPOError: the run is not possible; the message says what is wrong.
    """
    if not domains:
        raise ConfigError("name the datasets to pre-train on: --domains=Beauty,Toys")
    output = Path(output)
    _check_output(output)
    settings = {**(overrides or {}), "domains": domains}
    options = {"dry_run": dry_run, "resume": resume, "record_path": record_path}
    folder, record = run_in_folder(model, "+".join(domains), config_files, settings, **options)
    if not dry_run and joined_ranks().is_first:
        _write_weights(folder / "best.pth", domains, output)
    return record


def _write_weights(best: Path, domains: list[str], output: Path):
    """Write the part of a checkpoint that later runs start from."""
    state = load_checkpoint(best)
    output.parent.mkdir(parents=True, exist_ok=True)
    kept = {key: state[key] for key in ("model", *DATA_KEYS, "epoch")}
    # What weighed the tasks in training is of no use to others. Without names of folders, the file of the same training
    # is the same everywhere, and so is its hash, by which runs know what they started from.
    left_out = WITHOUT_EFFECT | set(WEIGHTING_SETTINGS)
    kept["config"] = {key: value for key, value in state["config"].items() if key not in left_out}
    kept["state_dict"] = {name: one for name, one in state["state_dict"].items() if not name.startswith(WEIGHTING)}
    save_checkpoint({PRETRAINED_ON: list(domains), **kept}, output)
    print(f"pre-trained weights: {output}; start from them with --pretrained={output}")


def _check_output(output: Path):
    """Refuse an output that would replace a file that this command did not write, before hours of training."""
    if output.is_dir():
        raise ConfigError(f"output {output} is a folder; name the file to write")
    if not output.exists():
        parent = next(folder for folder in output.absolute().parents if folder.exists())
        if not parent.is_dir() or not os.access(parent, os.W_OK):
            raise ConfigError(f"output {output} cannot be written: {parent} is not a folder that you may write to")
        return
    if not has_key(output, PRETRAINED_ON):
        raise ConfigError(f"output {output} exists and is not of pretrain; name another file, or move it away first")

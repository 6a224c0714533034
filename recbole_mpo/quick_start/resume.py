"""Which run goes on, and whether it may."""

import json
from pathlib import Path

from recbole_mpo.common.errors import CheckpointError, ConfigError
from recbole_mpo.quick_start.experiment import Experiment
from recbole_mpo.quick_start.run_folder import is_running
from recbole_mpo.trainer import checkpoint

# Settings that may differ between a run and its continuation: they do not touch the numbers.
FREE_ON_RESUME = {"epochs", "show_progress", "data_path", "cache_dir", "checkpoint_dir", "run_label", "state"}


def _find_resume(experiment: Experiment, resume: str) -> Path | None:
    """The ``last.pth`` to go on from, checked against the settings, data and model at hand before it is used."""
    if resume == "auto":
        path = _newest_unfinished(experiment)
        if path is None:
            print("No unfinished run with these settings; starting a new one.")
            return None
    else:
        path = Path(resume)
        path = path / "last.pth" if path.is_dir() else path
    state = checkpoint.load_checkpoint(path)
    if state.get("optimizer") is None:
        raise CheckpointError(f"checkpoint {path} holds weights alone; start a new run from them with --pretrained")
    changed = _changed_settings(state["config"], experiment.config.plain())
    if changed:
        raise ConfigError(f"{path} was trained with other settings, so it cannot be resumed: {', '.join(changed)}")
    known = _record_beside(path)
    if known.get("status") == "running" and is_running(known.get("process")):
        raise ConfigError(f"the run of {path} is still training, in process {known['process']['pid']}")
    files, known_files = experiment.statistics()["files"], known.get("data", {}).get("files")
    if known_files is not None and known_files != files:
        changed = sorted(name for name, digest in files.items() if known_files.get(name) != digest)
        raise CheckpointError(f"{path} was trained on other data: {', '.join(changed)} changed since")
    # It holds every weight; where the run once started from may be gone.
    experiment.is_restored = True
    checkpoint.check_identity(state, experiment.model, path)
    checkpoint.load_weights(experiment.model, state["state_dict"], path)
    return path


def _record_beside(path: Path) -> dict:
    record_file = path.parent / "record.json"
    return json.loads(record_file.read_text(encoding="utf-8")) if record_file.is_file() else {}


def _newest_unfinished(experiment: Experiment) -> Path | None:
    wanted = experiment.config.plain()
    folders = Path(experiment.config["checkpoint_dir"]).glob(f"{experiment.spec.name}-*")
    for folder in sorted(folders, key=lambda path: path.stat().st_mtime, reverse=True):
        path = folder / "last.pth"
        known = _record_beside(path)
        if not known or not path.is_file():
            continue
        if known.get("status") == "running" and is_running(known.get("process")):
            continue
        if known.get("status") != "completed" and not _changed_settings(known.get("config", {}), wanted):
            return path
    return None


def _changed_settings(before: dict, now: dict) -> list[str]:
    keys = sorted((before.keys() | now.keys()) - FREE_ON_RESUME)
    return [f"{key} was {before.get(key)!r}, is {now.get(key)!r}" for key in keys if before.get(key) != now.get(key)]

"""Find the run to resume, and check that it can be resumed."""

from collections.abc import Iterator
from pathlib import Path

from recbole_mpo.common.errors import CheckpointError, ConfigError, RecordError
from recbole_mpo.common.former_defaults import with_former_defaults
from recbole_mpo.common.schema import defaults_of, for_model
from recbole_mpo.quick_start.experiment import Experiment
from recbole_mpo.quick_start.record import read_record
from recbole_mpo.quick_start.run_folder import is_held, is_running
from recbole_mpo.trainer import checkpoint

# Settings that may be changed when a run is resumed, since they do not affect its figures.
FREE_ON_RESUME = {"epochs", "show_progress", "data_path", "cache_dir", "checkpoint_dir", "run_label", "state", "track"}


def find_resume(experiment: Experiment, resume: str) -> Path | None:
    """Return the ``last.pth`` to resume from, with the same settings and data; None if ``auto`` finds none.

    Args:
        experiment: the experiment to continue.
        resume: a run's folder or its ``last.pth``, or ``auto`` for the newest unfinished run with these settings.

    Raises:
        CheckpointError: the file is missing or damaged, has only weights, or was trained on other data.
        ConfigError: the run has other settings, or is still training.
        RecordError: the record beside the file is damaged; ``auto`` steps over such a run.
    """
    path = _newest_unfinished(experiment) if resume == "auto" else Path(resume)
    if path is None:
        print("No unfinished run with these settings; starting a new one.")
        return None
    path = path / "last.pth" if path.is_dir() else path
    state = checkpoint.load_checkpoint(path)
    if state.get("optimizer") is None or "config" not in state:
        raise CheckpointError(f"checkpoint {path} holds only weights; start a new run from them with --pretrained")
    epochs, done = experiment.config["epochs"], state["epoch"] + 1
    if done > epochs:
        raise ConfigError(f"{path} has trained {done} epochs already, more than epochs={epochs}; start a new run")
    changed = _changed_settings(state["config"], experiment)
    if changed:
        raise ConfigError(f"{path} was trained with other settings, so it cannot be resumed: {', '.join(changed)}")
    record = _record_beside(path)
    if _is_training(record):
        raise ConfigError(f"the run of {path} is still training, in process {record['process']['pid']}")
    _refuse_other_files(record.get("data", {}).get("files"), experiment.file_hashes(), path)
    return path


def _refuse_other_files(before: dict | None, now: dict, path: Path):
    if before is not None and before != now:
        changed = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
        names = (name if name in now else f"{name} (gone)" for name in changed)
        raise CheckpointError(f"{path} was trained on other data: {', '.join(names)} changed since")


def _record_beside(path: Path) -> dict:
    return read_record(path.parent) if (path.parent / "record.json").is_file() else {}


def _is_training(record: dict) -> bool:
    return record.get("status") == "running" and is_running(record.get("process"))


def _newest_unfinished(experiment: Experiment) -> Path | None:
    for folder in _newest_first(Path(experiment.config["checkpoint_dir"]), experiment.spec.name):
        path = folder / "last.pth"
        try:
            record = _record_beside(path)
        except RecordError as problem:
            print(f"Not looked at: {problem}")
            continue
        if not record or not path.is_file() or _is_training(record) or is_held(folder):
            continue
        if record["status"] != "completed" and not _changed_settings(record["config"], experiment):
            return path
    return None


def _newest_first(checkpoint_dir: Path, model: str) -> Iterator[Path]:
    """Yield the folders of a model's runs, the one changed last first."""
    folders = [folder for folder in checkpoint_dir.glob(f"{model}-*") if folder.is_dir()]
    yield from sorted(folders, key=lambda folder: folder.stat().st_mtime, reverse=True)


def _changed_settings(stored: dict, experiment: Experiment) -> list[str]:
    """Return the differences between a run's settings and the experiment's, of the settings that the model uses."""
    model = experiment.spec.name
    # What a run has no value of was not a setting yet: its version did what today's default does.
    before = {**defaults_of(model), **for_model(with_former_defaults(stored, model), model)}
    now = {**defaults_of(model), **experiment.config.plain()}
    # A rate that falls until the last epoch depends on which that is.
    fixed = {"epochs"} if now.get("lr_schedule", "constant") != "constant" else set()
    keys = sorted((before.keys() | now.keys()) - (FREE_ON_RESUME - fixed))
    return [f"{key} was {before.get(key)!r}, is {now.get(key)!r}" for key in keys if before.get(key) != now.get(key)]

"""Where a released model comes from: its settings without machine paths, its encoders, and what its run recorded."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from recbole_mpo.common.errors import RecordError
from recbole_mpo.common.files import file_hash
from recbole_mpo.model.parameters import count_parameters
from recbole_mpo.quick_start.record import package_versions, read_record
from recbole_mpo.release.dense_twin import DENSE_MODEL, dense_settings
from recbole_mpo.text import item_features
from recbole_mpo.text.item_features import encoder_names

FEATURE_FILES = ("feature_file", "ccdr_source_feature_file")
# Settings that say where files of one machine are, what it has, and what it shows.
OF_MACHINE = {
    *("data_path", "cache_dir", "checkpoint_dir", "pretrained", "preload_weight"),
    *FEATURE_FILES,
    *("save_dataset", "dataset_save_path", "save_dataloaders", "dataloaders_save_path"),
    *("use_gpu", "gpu_id", "worker", "show_progress", "state", "track", "log_wandb", "wandb_project"),
}
# What is taken of a record as it is.
RECORDED = ("run_id", "label", "seed", "best_epoch", "valid", "test", "params", "packages", "pretrained", "finished")
# Settings that say how a run was measured.
PROTOCOL = ("eval_history", "eval_args", "valid_metric", "MAX_ITEM_LIST_LENGTH")


@dataclass(frozen=True)
class Origin:
    """Where a model comes from, as plain data.

    Attributes:
        model: name of the model that is written.
        settings: settings of the run, without machine paths.
        encoders: what identifies each text encoder; None without text, or if features come from a file.
        run: what is known of the run, for the model card.
    """

    model: str
    settings: dict
    encoders: list[dict] | None
    run: dict


class RunOrigin:
    """The origin of a model of a run, described when it is asked for: that hashes data and encoders.

    Args:
        name: name of the run's model.
        config: settings of the run.
        model: the model as it was trained.
        merges: whether its layers are merged in what is written.
        files: the files of its data by name.
        record: file of its record; None if there is none.
    """

    def __init__(self, name: str, config, model, merges: bool, files: Mapping[str, Path], record: Path | None = None):
        self.name, self.config, self.merges, self.files, self.record = name, config, merges, dict(files), record
        self.counts = count_parameters(model)
        self.fingerprints = None

    def describe(self) -> Origin:
        """Return the origin.

        Raises:
            DependencyError: a package of the text encoder is missing.
        """
        settings = plain_settings(self.config)
        run = {"dataset": self.config["dataset"], "trained_as": self.name, "params": self.counts}
        run |= {"packages": package_versions(), "protocol": {key: settings.get(key) for key in PROTOCOL}}
        hashes = {name: file_hash(path) for name, path in self.files.items() if path.is_file()}
        recorded = self._recorded()
        run |= {key: recorded[key] for key in RECORDED if key in recorded}
        data = dict(recorded.get("data", {}))
        trained_on = data.get("files") or hashes
        edited = sorted(name for name, value in hashes.items() if name in trained_on and trained_on[name] != value)
        run["data"] = {**data, "files": trained_on, "edited": edited}
        if recorded.get("features"):
            run["features"] = recorded["features"]
        name = DENSE_MODEL if self.merges else self.name
        settings = dense_settings(settings) if self.merges else settings
        settings.pop("pretrained", None)
        return Origin(name, settings, self._encoders(), run)

    def _recorded(self) -> dict:
        """Return what the record says; nothing if there is none of the run, or it is not of a finished one."""
        if self.record is None or not self.record.is_file():
            return {}
        try:
            record = read_record(self.record)
        except RecordError:
            return {}
        is_of_run = (record["model"], record["dataset"]) == (self.name, self.config["dataset"])
        return record if is_of_run and record["status"] == "completed" else {}

    def _encoders(self) -> list[dict] | None:
        if self.config["item_input"] == "id" or self.config["feature_file"]:
            return None
        return [encoder.fingerprint() for encoder in item_features.encoders_of(self.config)]


def plain_settings(config) -> dict:
    """Return the settings of a run as plain data, without those of its machine; an encoder's folder loses its path."""
    settings = {key: value for key, value in config.plain().items() if key not in OF_MACHINE}
    return encoders_by_name(settings)


def encoders_by_name(settings: dict, keeps_relative: bool = False) -> dict:
    """Return settings in which text encoders that are folders are the folder's name, without the path to it.

    Args:
        settings: the settings.
        keeps_relative: whether a path stays that begins at the folder of the project.
    """
    encoders = settings.get("text_encoder")
    if not encoders:
        return settings

    def is_place(name: str) -> bool:
        # An absolute path may be of another machine. A relative one looks like a name on the hub.
        return is_absolute(name) or (not keeps_relative and Path(name).is_dir())

    names = [Path(name).name if is_place(name) else name for name in encoder_names(encoders)]
    return {**settings, "text_encoder": ",".join(names)}


def is_absolute(path: str) -> bool:
    """Return whether a path does not begin at the folder of the project."""
    return path.startswith("~") or PurePosixPath(path).is_absolute()

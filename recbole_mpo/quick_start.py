"""From a model's name to a finished run: the one place that wires data, model, trainer and record."""

import json
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property
from logging import getLogger
from pathlib import Path

import numpy as np
from recbole.data.utils import create_samplers, get_dataloader
from recbole.utils import init_seed

from recbole_mpo import record as records
from recbole_mpo import runtime
from recbole_mpo.config import MPOConfig
from recbole_mpo.data.files import SPLITS, find_layout
from recbole_mpo.data.loader import PackedLoader
from recbole_mpo.data.sequences import training_windows
from recbole_mpo.errors import CheckpointError, ConfigError
from recbole_mpo.layers.convert import dense_state_dict, mpo_layers
from recbole_mpo.recbole_globals import logging_to
from recbole_mpo.registry import OWN_MODELS, ModelSpec, find_model
from recbole_mpo.trainer import checkpoint
from recbole_mpo.trainer.ranking import metrics_from_ranks
from recbole_mpo.trainer.strategies import count_parameters, freeze, parameter_table

TRAIN_MODES = ("packed", "pairwise")
EVAL_MODES = ("ranks", "recbole")
# One row per item of one data set: the id table, and the text table that UniSRec's published code saves.
ITEM_TABLES = ("item_embedding.", "plm_embedding.")
# Settings that may differ between a run and its continuation: they do not touch the numbers.
FREE_ON_RESUME = {"epochs", "show_progress", "data_path", "cache_dir", "checkpoint_dir", "run_label", "state"}


def make_config(model: str, dataset: str, config_files=(), overrides=None) -> tuple[ModelSpec, MPOConfig]:
    """The model's classes and the checked settings of one run."""
    spec = find_model(model)
    config = MPOConfig(spec.model_class, spec.name, dataset, config_files, overrides)
    for key, choices in (("train_mode", TRAIN_MODES), ("eval_mode", EVAL_MODES)):
        if config[key] is not None and config[key] not in choices:
            raise ConfigError(f"{key} is {config[key]!r}; choose one of {', '.join(choices)}")
    layout = find_layout(config.data_root, dataset)
    fields = (config["USER_ID_FIELD"], config["ITEM_ID_FIELD"], config["TIME_FIELD"], config["LIST_SUFFIX"])
    for key, value in layout.settings(*fields).items():
        config.set_default(key, value)
    return spec, config


@dataclass
class Experiment:
    """The parts of one run, each made on first use."""

    spec: ModelSpec
    config: MPOConfig

    @classmethod
    def of(cls, model: str, dataset: str, config_files=(), overrides=None) -> "Experiment":
        """From names and settings."""
        return cls(*make_config(model, dataset, config_files, overrides))

    @classmethod
    def from_checkpoint(cls, path: str | Path, overrides=None) -> tuple["Experiment", dict]:
        """The experiment that wrote a checkpoint, its model holding the weights; and the checkpoint."""
        state = checkpoint.load_checkpoint(path)
        if "config" not in state or "model" not in state:
            raise CheckpointError(f"checkpoint {path} holds weights but no settings; give it as --init_from")
        settings = {**state["config"], **(overrides or {})}
        dataset = settings.pop("dataset")
        settings.pop("model")
        experiment = cls.of(state["model"], dataset, (), settings)
        checkpoint.check_features(state, getattr(experiment.model, "feature_hash", None), path)
        checkpoint.load_weights(experiment.model, state["state_dict"], path)
        experiment.model.load_other_parameter(state.get("other_parameter"))
        return experiment, state

    def seed(self):
        """Seeds the global generators."""
        init_seed(self.config["seed"], self.config["reproducibility"])

    @cached_property
    def dataset(self):
        """The whole data set."""
        return self.spec.dataset_class(self.config)

    @cached_property
    def splits(self):
        """Train, valid and test data sets."""
        return self.dataset.build()

    @cached_property
    def loaders(self):
        """Train, valid and test loaders; RecBole's but for packed training."""
        samplers = create_samplers(self.config, self.dataset, self.splits)
        evaluation = [
            get_dataloader(self.config, phase)(self.config, split, sampler, shuffle=False)
            for phase, split, sampler in list(zip(SPLITS, self.splits, samplers, strict=True))[1:]
        ]
        return [self._train_loader(samplers[0]), *evaluation]

    def _train_loader(self, sampler):
        config, train = self.config, self.splits[0]
        if config["train_mode"] != "packed":
            return get_dataloader(config, "train")(config, train, sampler, shuffle=config["shuffle"])
        windows = training_windows(train.rows(), config["MAX_ITEM_LIST_LENGTH"])
        batch_size, shuffle = config["train_batch_size"], config["shuffle"]
        return PackedLoader(train, train.flat_items, windows, batch_size, config["seed"], shuffle)

    @cached_property
    def model(self):
        """The model on its device, with ``freeze`` and ``init_from`` applied."""
        self.loaders  # noqa: B018 - RecBole finishes a data set, and some settings, while it makes the loaders
        self.seed()
        try:
            model = self.spec.model_class(self.config, self.splits[0])
        except (ValueError, TypeError) as problem:
            raise ConfigError(f"{self.spec.name} cannot be built with these settings: {problem}") from problem
        if self.config["init_from"]:
            self._start_from(model, self.config["init_from"])
        freeze(model, self.config["freeze"])
        return model.to(self.config["device"])

    def _start_from(self, model, path):
        """Weights of a checkpoint, dense or MPO; id tables belong to one data set and stay as initialised."""
        weights, own = checkpoint.load_checkpoint(path)["state_dict"], model.state_dict()
        weights = {name: value for name, value in weights.items() if not name.startswith(ITEM_TABLES)}
        weights.update({name: own[name] for name in own if name.startswith(ITEM_TABLES)})
        checkpoint.load_weights(model, weights, path)

    def statistics(self) -> dict:
        """Sizes of the data set and of its splits."""
        dataset = self.dataset
        targets = dict(zip(SPLITS, (len(split) for split in self.splits), strict=True))
        return {
            "files": {path.name: runtime.file_hash(path) for path in self._data_files()},
            "users": dataset.user_num - 1,
            "items": dataset.item_num - 1,
            "item_num": dataset.item_num,
            "targets": targets,
        }

    def _data_files(self):
        text = Path(self.config["data_path"]) / f"{self.config['dataset']}.text"
        files = find_layout(self.config.data_root, self.config["dataset"]).files
        return (*files, text) if text.is_file() else files

    def feature_summary(self) -> dict | None:
        """Source, size, hash and coverage of the text features; None where the model takes none."""
        if getattr(self.model, "feature_hash", None) is None:
            return None
        features = self.dataset.features
        return {
            "source": features.source,
            "dimension": int(features.table.shape[1]),
            "hash": features.hash,
            **vars(features.report),
        }


def run(model, dataset, config_files=(), overrides=None, *, dry_run=False, resume=None, record_path=None) -> dict:
    """Trains, evaluates and records one run.

    Args:
        model: name in any capitalisation.
        dataset: data set name.
        config_files: YAML files, later ones win.
        overrides: settings that win over the files.
        dry_run: build everything, print the parameter table and data statistics, write the record, stop.
        resume: a run's folder or ``last.pth``, or ``auto`` for the newest unfinished run of these settings.
        record_path: also write the record here.

    Returns:
        The run record.
    """
    begin = time.perf_counter()
    if dry_run and resume:
        raise ConfigError("dry_run builds a new run, resume continues one; give one of them")
    experiment = Experiment.of(model, dataset, config_files, overrides)
    config = experiment.config
    resume_file = _find_resume(experiment, resume) if resume else None
    run_dir = (
        resume_file.parent
        if resume_file
        else runtime.make_run_dir(config["checkpoint_dir"], experiment.spec.name, dataset)
    )
    record_paths = [run_dir / "record.json", *([record_path] if record_path else [])]
    with logging_to(run_dir / f"{run_dir.name}.log", config["state"] or "INFO"):
        record = _announce(experiment, run_dir)
        try:
            record.update(_describe(experiment))
            _show(record)
            if dry_run:
                record["status"] = "dry_run"
            else:
                _write(record, record_paths)
                record.update(_train_and_test(experiment, run_dir, resume_file))
            record["seconds"]["total"] = time.perf_counter() - begin
        except BaseException as problem:
            record["status"] = "failed"
            record["error"] = f"{type(problem).__name__}: {problem}"
            raise
        finally:
            del record["process"]
            record["finished"] = _now()
            record["peak_memory_mb"] = runtime.peak_memory_mb(config["device"])
            _write(record, record_paths)
        _show_results(record, record_paths)
    return record


def _announce(experiment: Experiment, run_dir: Path) -> dict:
    """The record of a run of which nothing is built yet."""
    config = experiment.config
    return {
        "status": "running",
        "run_id": run_dir.name,
        "model": experiment.spec.name,
        "dataset": config["dataset"],
        "seed": config["seed"],
        "item_input": config["item_input"] or "id",
        "data": {},
        "params": {},
        "valid": {},
        "test": {},
        "seconds": {"total": 0.0, "per_epoch": 0.0, "evaluate": 0.0},
        "started": _now(),
        "process": runtime.this_process(),
        "config": config.plain(),
        "packages": records.package_versions(),
        "device": runtime.device_description(config["device"]),
        "git": runtime.revision(),
    }


def _describe(experiment: Experiment) -> dict:
    experiment.seed()
    return {
        "data": experiment.statistics(),
        "params": count_parameters(experiment.model),
        "features": experiment.feature_summary(),
    }


def _train_and_test(experiment: Experiment, run_dir: Path, resume_file: Path | None) -> dict:
    config = experiment.config
    train_data, valid_data, test_data = experiment.loaders
    trainer = experiment.spec.trainer_class(config, experiment.model, run_dir)
    # The loaders' construction must not shift what training draws, so that models are compared at one seed.
    experiment.seed()
    if resume_file:
        trainer.train_loader = train_data
        trainer.resume_checkpoint(resume_file)
    show_progress = bool(config["show_progress"])
    trainer.fit(train_data, valid_data, saved=True, show_progress=show_progress)
    results, ranks = {}, {}
    trainer.load(trainer.saved_model_file, resume=False)
    begin = time.perf_counter()
    for name, data in (("valid", valid_data), ("test", test_data)):
        if len(data._dataset) == 0:
            results[name] = {}
        elif trainer.uses_ranks():
            ranks[name] = trainer.target_ranks(data, show_progress)
            results[name] = metrics_from_ranks(ranks[name]["rank"], config["metrics"], config["topk"])
        else:
            values = trainer.evaluate(data, load_best_model=False, show_progress=show_progress)
            results[name] = {key: float(value) for key, value in values.items()}
    if ranks:
        popularity = training_popularity(experiment.splits[0])
        for columns in ranks.values():
            columns["popularity"] = popularity[columns.pop("target")]
        records.write_ranks(ranks, run_dir / "ranks.npz")
    best = max(trainer.history, key=lambda epoch: _epoch_score(epoch, config), default={"epoch": -1})
    return {
        "status": "completed",
        **results,
        "best_epoch": best["epoch"],
        "epochs_run": len(trainer.history),
        "hit_epoch_limit": len(trainer.history) >= config["epochs"],
        "history": trainer.history,
        "seconds": {**trainer.mean_seconds(), "test": time.perf_counter() - begin},
    }


def _epoch_score(epoch: dict, config) -> float:
    score = epoch.get("valid", {}).get(config["valid_metric"].lower(), -np.inf)
    return score if config["valid_metric_bigger"] else -score


def training_popularity(train) -> np.ndarray:
    """How often each item occurs in training histories, int32 [N]."""
    counts = np.bincount(train.inter_feat[train.iid_field].numpy(), minlength=train.item_num)
    lengths = train.inter_feat[train.item_list_length_field].numpy()
    # A history's first item is never a target; it stands in the row whose history is that item alone.
    first = train[np.flatnonzero(lengths == 1)][train.iid_field + train.config["LIST_SUFFIX"]][:, 0].numpy()
    return (counts + np.bincount(first, minlength=train.item_num)).astype(np.int32)


def _find_resume(experiment: Experiment, resume: str) -> Path | None:
    """The ``last.pth`` to go on from, its settings checked against the ones given now."""
    if resume == "auto":
        path = _newest_unfinished(experiment)
        if path is None:
            print("No unfinished run with these settings; starting a new one.")
        return path
    path = Path(resume)
    path = path / "last.pth" if path.is_dir() else path
    state = checkpoint.load_checkpoint(path)
    changed = _changed_settings(state.get("config", {}), experiment.config.plain())
    if changed:
        raise ConfigError(f"{path} was trained with other settings, so it cannot be resumed: {', '.join(changed)}")
    return path


def _newest_unfinished(experiment: Experiment) -> Path | None:
    wanted = experiment.config.plain()
    folders = Path(experiment.config["checkpoint_dir"]).glob(f"{experiment.spec.name}-*")
    for folder in sorted(folders, key=lambda path: path.stat().st_mtime, reverse=True):
        record_file, path = folder / "record.json", folder / "last.pth"
        if not record_file.is_file() or not path.is_file():
            continue
        known = json.loads(record_file.read_text(encoding="utf-8"))
        if known.get("status") == "running" and runtime.is_running(known.get("process")):
            continue
        if known.get("status") != "completed" and not _changed_settings(known.get("config", {}), wanted):
            return path
    return None


def _changed_settings(before: dict, now: dict) -> list[str]:
    keys = sorted((before.keys() | now.keys()) - FREE_ON_RESUME)
    return [f"{key} was {before.get(key)!r}, is {now.get(key)!r}" for key in keys if before.get(key) != now.get(key)]


def merge_checkpoint(path: str | Path, output: str | Path, overrides=None):
    """Writes an MPO checkpoint's merged weights as a checkpoint of UniSRec, fit for evaluation or init_from."""
    experiment, state = Experiment.from_checkpoint(path, overrides)
    if not mpo_layers(experiment.model):
        raise CheckpointError(f"checkpoint {path} is of {experiment.spec.name}, which has no MPO layers to merge")
    config = {key: value for key, value in state["config"].items() if not key.startswith("mpo_")}
    merged = {
        "model": OWN_MODELS["UniSRec"].name,
        "config": {**config, "model": OWN_MODELS["UniSRec"].name},
        "feature_hash": state["feature_hash"],
        "state_dict": dense_state_dict(experiment.model),
        "epoch": state["epoch"],
    }
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    checkpoint.save_checkpoint(merged, output)


def evaluate_checkpoint(path: str | Path, overrides=None) -> dict[str, dict[str, float]]:
    """Valid and test metrics of a checkpoint, ranked anew."""
    experiment, _ = Experiment.from_checkpoint(path, overrides)
    _, valid_data, test_data = experiment.loaders
    trainer = experiment.spec.trainer_class(experiment.config, experiment.model, Path(path).parent)
    return {
        name: dict(trainer.evaluate(data, load_best_model=False))
        for name, data in (("valid", valid_data), ("test", test_data))
    }


def _write(record: dict, paths):
    for path in paths:
        records.write_record(record, path)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _show(record: dict):
    log, data = getLogger(), record["data"]
    log.info("%s on %s, seed %s (run %s)", record["model"], record["dataset"], record["seed"], record["run_id"])
    log.info(
        "data: %s users, %s items; targets: %s",
        f"{data['users']:,}",
        f"{data['items']:,}",
        ", ".join(f"{split} {count:,}" for split, count in data["targets"].items()),
    )
    features = record["features"]
    if features:
        log.info(
            "item text: %s, %d features; %d of %d items have text",
            features["source"],
            features["dimension"],
            features["with_text"],
            features["items"],
        )
    log.info("parameters:\n%s", parameter_table(record["params"]))


def _show_results(record: dict, paths):
    log = getLogger()
    for split in ("valid", "test"):
        if record[split]:
            values = "  ".join(f"{name} {value:.4f}" for name, value in record[split].items())
            log.info("best %s: %s", split, values)
    log.info("record: %s", ", ".join(str(path) for path in paths))

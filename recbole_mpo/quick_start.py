"""From a model's name to a finished, recorded run; and what is done with a run's checkpoint."""

import json
import time
from datetime import datetime, timezone
from logging import getLogger
from pathlib import Path

import numpy as np

from recbole_mpo import record as records
from recbole_mpo import runtime
from recbole_mpo.errors import CheckpointError, ConfigError
from recbole_mpo.experiment import Experiment
from recbole_mpo.layers.convert import dense_state_dict, mpo_layers
from recbole_mpo.recbole_globals import logging_to
from recbole_mpo.registry import OWN_MODELS
from recbole_mpo.trainer import checkpoint
from recbole_mpo.trainer.ranking import metrics_from_ranks
from recbole_mpo.trainer.strategies import count_parameters, parameter_table

# Settings that may differ between a run and its continuation: they do not touch the numbers.
FREE_ON_RESUME = {"epochs", "show_progress", "data_path", "cache_dir", "checkpoint_dir", "run_label", "state"}


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

"""From a model's name to a finished, recorded run; and what is done with a run's checkpoint."""

import json
import time
from datetime import datetime, timezone
from logging import getLogger
from pathlib import Path

from recbole_mpo import record as records
from recbole_mpo import runtime
from recbole_mpo.data.counts import training_popularity
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
    experiment = Experiment.of(model, dataset, config_files, overrides, prepares=not dry_run)
    config = experiment.config
    resume_file = _find_resume(experiment, str(resume)) if resume else None
    run_dir = _run_dir(experiment, resume_file)
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
            record.update(status="failed", error=f"{type(problem).__name__}: {problem}")
            raise
        finally:
            del record["process"]
            record.update(finished=_now(), peak_memory_mb=runtime.peak_memory_mb(config["device"]))
            _write(record, record_paths)
        _show_results(record, record_paths)
    return record


def _run_dir(experiment: Experiment, resume_file: Path | None) -> Path:
    if resume_file:
        return resume_file.parent
    return runtime.make_run_dir(
        experiment.config["checkpoint_dir"], experiment.spec.name, experiment.config["dataset"]
    )


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
    trainer = experiment.trainer(run_dir)
    runtime.reset_peak_memory(config["device"])
    # What was built before must not shift what training draws, so that models are compared at one seed.
    experiment.seed()
    if resume_file:
        trainer.train_loader = train_data
        trainer.resume_checkpoint(resume_file)
    show_progress = bool(config["show_progress"])
    trainer.fit(train_data, valid_data, saved=True, show_progress=show_progress)
    best = trainer.load(trainer.saved_model_file, resume=False)
    begin = time.perf_counter()
    results, ranks = {}, {}
    for name, data in (("valid", valid_data), ("test", test_data)):
        results[name], ranks[name] = _evaluate(trainer, data, show_progress)
    _write_ranks(ranks, experiment, run_dir / "ranks.npz")
    return {
        "status": "completed",
        **results,
        "best_epoch": best["epoch"],
        "epochs_run": len(trainer.history),
        "hit_epoch_limit": len(trainer.history) >= config["epochs"],
        "history": trainer.history,
        **({"pretraining": trainer.pretraining} if trainer.pretraining else {}),
        "seconds": {**trainer.mean_seconds(), "test": time.perf_counter() - begin},
    }


def _evaluate(trainer, data, show_progress: bool = False) -> tuple[dict[str, float], dict | None]:
    """Metrics of one split and, where they follow from ranks, the ranks; both empty for an empty split."""
    if len(data._dataset) == 0:
        return {}, None
    if trainer.uses_ranks():
        ranks = trainer.target_ranks(data, show_progress)
        return metrics_from_ranks(ranks["rank"], trainer.config["metrics"], trainer.config["topk"]), ranks
    values = trainer.evaluate(data, load_best_model=False, show_progress=show_progress)
    return {name: float(value) for name, value in values.items()}, None


def _write_ranks(ranks: dict, experiment: Experiment, path: Path):
    ranks = {name: columns for name, columns in ranks.items() if columns is not None}
    if ranks:
        popularity = training_popularity(experiment.splits[0])
        for columns in ranks.values():
            columns["popularity"] = popularity[columns.pop("target")]
        records.write_ranks(ranks, path)


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
        raise CheckpointError(f"checkpoint {path} holds weights alone; start a new run from them with --init_from")
    changed = _changed_settings(state["config"], experiment.config.plain())
    if changed:
        raise ConfigError(f"{path} was trained with other settings, so it cannot be resumed: {', '.join(changed)}")
    known = _record_beside(path)
    if known.get("status") == "running" and runtime.is_running(known.get("process")):
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
    if Path(output).is_dir():
        raise CheckpointError(f"output {output} is a folder; name the file to write")
    experiment, state = Experiment.from_checkpoint(path, overrides)
    if not mpo_layers(experiment.model):
        raise CheckpointError(f"checkpoint {path} is of {experiment.spec.name}, which has no MPO layers to merge")
    config = {key: value for key, value in state["config"].items() if not key.startswith("mpo_")}
    merged = {
        "model": OWN_MODELS["UniSRec"].name,
        "config": {**config, "model": OWN_MODELS["UniSRec"].name, "init_from": None},
        "item_hash": state["item_hash"],
        "feature_hash": state["feature_hash"],
        "counts_hash": state.get("counts_hash"),
        "state_dict": dense_state_dict(experiment.model),
        "epoch": state["epoch"],
    }
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    checkpoint.save_checkpoint(merged, output)


def evaluate_checkpoint(path: str | Path, overrides=None) -> dict[str, dict[str, float]]:
    """Valid and test metrics of a checkpoint, ranked anew."""
    experiment, _ = Experiment.from_checkpoint(path, overrides)
    trainer = experiment.trainer(Path(path).parent)
    loaders = dict(zip(("valid", "test"), experiment.loaders[1:], strict=True))
    return {name: _evaluate(trainer, data)[0] for name, data in loaders.items()}


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

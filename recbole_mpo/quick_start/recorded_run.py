"""From a model's name to a finished, recorded run; and what is done with a run's checkpoint."""

import time
from datetime import datetime, timezone
from pathlib import Path

from recbole_mpo.common import machine
from recbole_mpo.common.errors import ConfigError
from recbole_mpo.common.recbole_globals import logging_to
from recbole_mpo.model.parameters import count_parameters
from recbole_mpo.quick_start import record as records
from recbole_mpo.quick_start.evaluate import _evaluate, _write_ranks
from recbole_mpo.quick_start.experiment import Experiment
from recbole_mpo.quick_start.resume import _find_resume
from recbole_mpo.quick_start.run_folder import make_run_dir, this_process
from recbole_mpo.quick_start.show import _show, _show_results


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
            record.update(finished=_now(), peak_memory_mb=machine.peak_memory_mb(config["device"]))
            _write(record, record_paths)
        _show_results(record, record_paths)
    return record


def _run_dir(experiment: Experiment, resume_file: Path | None) -> Path:
    if resume_file:
        return resume_file.parent
    return make_run_dir(
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
        "process": this_process(),
        "config": config.plain(),
        "packages": records.package_versions(),
        "device": machine.device_description(config["device"]),
        "git": machine.revision(),
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
    machine.reset_peak_memory(config["device"])
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


def _write(record: dict, paths):
    for path in paths:
        records.write_record(record, path)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")

"""From a model's name to a finished, recorded run."""

import time
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from recbole_mpo.common import machine
from recbole_mpo.common.errors import ConfigError
from recbole_mpo.common.recbole_globals import logging_to, without_tensorboard
from recbole_mpo.common.values import as_list
from recbole_mpo.data.prepare.prepare import prepare_if_absent
from recbole_mpo.model.parameters import count_parameters
from recbole_mpo.quick_start.choose_strategy import run_best_strategy
from recbole_mpo.quick_start.configure import make_config
from recbole_mpo.quick_start.evaluate import evaluate_split, keep_ranks
from recbole_mpo.quick_start.experiment import Experiment
from recbole_mpo.quick_start.planned_run import pretrained_hash
from recbole_mpo.quick_start.record import package_versions, read_record, write_record
from recbole_mpo.quick_start.resume import find_resume
from recbole_mpo.quick_start.run_folder import make_run_dir, this_process, training_in
from recbole_mpo.quick_start.scale import scale_of, step_flops_of
from recbole_mpo.quick_start.show import show_results, show_run
from recbole_mpo.quick_start.trackers import TENSORBOARD, Trackers, tracking
from recbole_mpo.trainer.checkpoint import load_checkpoint
from recbole_mpo.trainer.core_schedules import STAGES
from recbole_mpo.trainer.distributed import (
    check_processes,
    check_same_start,
    first_before_others,
    joined_ranks,
    losses_named,
    only_first_speaks,
    own_device,
    told_by_first,
)
from recbole_mpo.trainer.first_items import FirstItems


def run(model, dataset, config_files=(), overrides=None, *, dry_run=False, resume=None, record_path=None) -> dict:
    """Train, evaluate and record one run; with ``mpo_strategy: auto``, that of the strategy which does best.

    Args:
        model: name in any capitalisation.
        dataset: its name; a known one that is absent is prepared (not with ``dry_run``).
        config_files: YAML files, later ones win.
        overrides: settings that win over the files.
        dry_run: build everything, print the parameter table and data statistics, write the record, stop.
        resume: a run's folder or ``last.pth``, or ``auto`` for the newest unfinished run of these settings.
        record_path: also write the record here.

    Returns:
        The run record.

    Raises:
        RecboleMPOError: what was given cannot be run; the message names what and why.
    """
    options = {"dry_run": dry_run, "resume": resume, "record_path": record_path}
    config = make_config(model, dataset, config_files, overrides)[1]
    if config["mpo_strategy"] != "auto":
        return run_in_folder(model, dataset, config_files, overrides, **options)[1]
    return run_best_strategy(partial(run_in_folder, model, dataset, config_files), overrides or {}, config, **options)


def run_in_folder(
    model,
    dataset,
    config_files=(),
    overrides=None,
    *,
    dry_run=False,
    resume=None,
    record_path=None,
    pause_after: int | None = None,
    choice: dict | None = None,
) -> tuple[Path, dict]:
    """Train, evaluate and record one run; return its folder and its record.

    The arguments are those of :func:`run`; ``pause_after``, the number of epochs after which the run stops for now,
    with the status ``paused`` and without test figures; and ``choice``, for the record of a run that was chosen by
    trials.
    """
    begin = time.perf_counter()
    if dry_run and resume:
        raise ConfigError("dry_run builds a new run, resume continues one; give one of them")
    spec, config = make_config(model, dataset, config_files, overrides)
    if config["mpo_strategy"] == "auto":
        raise ConfigError("mpo_strategy=auto is for runs on one dataset; pre-training needs one of the strategies")
    ranks = joined_ranks()
    check_processes(spec.model_class, config, ranks)
    config["device"] = own_device(ranks, config["device"])
    with only_first_speaks(ranks), losses_named(ranks):
        if not dry_run:
            with first_before_others(ranks):
                for name in as_list(config["domains"]) or [dataset]:
                    prepare_if_absent(name, config.data_root, bool(config["show_progress"]))
        experiment = Experiment.with_config(spec, config)
        run_dir, resume_file = told_by_first(ranks, partial(_find_folder, experiment, resume))
        record_paths = [run_dir / "record.json", *([record_path] if record_path else [])] if ranks.is_first else []
        with training_in(run_dir) if ranks.is_first else nullcontext():
            options = {"dry_run": dry_run, "pause_after": pause_after, "choice": choice}
            return run_dir, _run_in(run_dir, experiment, record_paths, resume_file, begin, **options)


def _find_folder(experiment: Experiment, resume) -> tuple[Path, Path | None]:
    """Return the folder of a run and, if it is resumed, the file to go on from."""
    resume_file = find_resume(experiment, str(resume)) if resume else None
    if resume_file:
        return resume_file.parent, resume_file
    config = experiment.config
    return make_run_dir(config["checkpoint_dir"], experiment.spec.name, config["dataset"]), None


def _run_in(
    run_dir: Path,
    experiment: Experiment,
    paths: list,
    resume_file: Path | None,
    begin: float,
    *,
    dry_run: bool,
    pause_after: int | None,
    choice: dict | None,
) -> dict:
    ranks = joined_ranks()
    # Before anything is written into the record of the run that goes on.
    with first_before_others(ranks):
        restored = experiment.restore_model(load_checkpoint(resume_file), resume_file) if resume_file else None
    log = logging_to(run_dir / f"{run_dir.name}.log", experiment.config["state"] or "INFO")
    with log if ranks.is_first else nullcontext(), _recorded(experiment, run_dir, paths) as record:
        with first_before_others(ranks):
            built = restored if resume_file else experiment.build_model()
        built.ranks = ranks
        record.update(_describe(experiment, built))
        if choice is not None:
            label = record["label"] if experiment.config["run_label"] else f"{record['label']} (auto)"
            record.update(choice=choice, label=label)
        check_same_start(ranks, built, record["data"]["files"])
        show_run(record)
        if dry_run:
            record["status"] = "dry_run"
        else:
            _write(record, paths)
            names = as_list(experiment.config["track"]) if ranks.is_first else []
            with tracking(names, run_dir, record) as trackers:
                record.update(_train(experiment, built, run_dir, resume_file, pause_after, trackers))
        record["seconds"]["total"] = time.perf_counter() - begin
    return record


@contextmanager
def _recorded(experiment: Experiment, run_dir: Path, paths: list):
    """Give the record of a run of which nothing is built yet; write it when the run ends, failed ones too."""
    record = _announce(experiment, run_dir)
    try:
        yield record
    except BaseException as problem:
        record.update(status="failed", error=f"{type(problem).__name__}: {problem}")
        if isinstance(problem, KeyboardInterrupt):
            problem.add_note(_way_on(run_dir))
        raise
    finally:
        del record["process"]
        record.update(finished=_now(), peak_memory_mb=machine.peak_memory_mb(experiment.config["device"]))
        _write(record, paths)
    if paths:
        show_results(record, paths)


def _way_on(run_dir: Path) -> str:
    """Return what to do after an interruption."""
    if (run_dir / "last.pth").is_file():
        return "to continue, give the same command again with --resume=auto"
    return "no epoch was saved yet; give the same command again"


def _announce(experiment: Experiment, run_dir: Path) -> dict:
    """Return the record of a run of which nothing is built yet."""
    spec, config = experiment.spec, experiment.config
    return {
        "status": "running",
        "run_id": run_dir.name,
        "model": spec.name,
        "label": str(config["run_label"] or _label(spec, config)),
        "dataset": config["dataset"],
        "seed": config["seed"],
        "processes": joined_ranks().count,
        **_items_of(spec.model_class, config),
        "data": {},
        "params": {},
        "valid": {},
        "test": {},
        "seconds": {"total": 0.0, "per_epoch": 0.0, "evaluate": 0.0},
        "started": _now(),
        "process": this_process(),
        "config": config.plain(),
        "packages": package_versions(),
        "device": machine.device_description(config["device"]),
        "git": machine.revision(),
        **_started_from(config, run_dir),
    }


def _started_from(config, run_dir: Path) -> dict:
    """Return name and hash of the file of pre-trained weights, which may be another file of that name later.

    A run that is resumed no longer needs the file; its record has them.
    """
    if not config["pretrained"]:
        return {}
    if (run_dir / "last.pth").is_file() and (run_dir / "record.json").is_file():
        known = read_record(run_dir).get("pretrained")
        return {"pretrained": known} if known else {}
    path = Path(config["pretrained"])
    return {"pretrained": {"file": path.name, "sha256": pretrained_hash(path)}}


def _label(spec, config) -> str:
    """Return the name of a run in tables, with the shares of the users that it is trained and evaluated on."""
    shares = {"": config["train_users"], "evaluated on ": config["eval_users"]}
    words = [f"{verb}{100 * share:g} % of users" for verb, share in shares.items() if share not in (None, 1)]
    return spec.model_class.label(spec.name, config) + (f" ({', '.join(words)})" if words else "")


def _items_of(model_class, config) -> dict:
    """Return what a model knows of items: what their vectors are made of or, without training, what it reads."""
    if model_class.reads:
        return {"item_input": "none", "reads": list(model_class.reads)}
    return {"item_input": config["item_input"] or "id"}


def _describe(experiment: Experiment, model) -> dict:
    return {
        "data": experiment.statistics(),
        "params": count_parameters(model),
        "features": experiment.feature_summary(model),
    }


def _train(
    experiment: Experiment,
    model,
    run_dir: Path,
    resume_file: Path | None,
    pause_after: int | None,
    trackers: Trackers,
) -> dict:
    """Train a model, and evaluate it unless it pauses; return what the record holds of that."""
    config = experiment.config
    train_data, valid_data, _ = experiment.data.loaders
    with nullcontext() if TENSORBOARD in as_list(config["track"]) else without_tensorboard():
        trainer = experiment.trainer(model, run_dir)
    flops = step_flops_of(experiment, model)
    machine.reset_peak_memory(config["device"])
    # What was built before must not shift what training draws, so that models are compared at one seed.
    experiment.seed()
    if pause_after is not None:
        trainer.epochs = min(trainer.epochs, pause_after)
    if resume_file:
        trainer.resume(resume_file, train_data)
        trackers.go_on_after(trainer.history)
    trainer.fit(
        train_data,
        valid_data,
        saved=True,
        show_progress=bool(config["show_progress"]),
        callback_fn=lambda *_: trackers.follow(trainer.history),
    )
    trained = {
        # Again, because a model may train more of its parameters at the end than at the beginning.
        "params": count_parameters(model),
        **scale_of(train_data, model, len(trainer.history), flops),
        "epochs_run": len(trainer.history),
        "hit_epoch_limit": len(trainer.history) >= config["epochs"],
        "history": trainer.history,
        **({"pretraining": trainer.pretraining} if trainer.pretraining else {}),
    }
    if pause_after is not None:
        return {**trained, "status": "paused", "seconds": trainer.mean_seconds()}
    if config["evidence_fit"] == "late" and config["evidence"]:
        trained["evidence_loss"] = trainer.fit_evidence(experiment.data.splits[0])
    return {**trained, **_evaluate(experiment, trainer, run_dir)}


def _evaluate(experiment: Experiment, trainer, run_dir: Path) -> dict:
    """Evaluate the best weights of a finished training, and keep the ranks."""
    best = trainer.load(trainer.saved_model_file)
    begin = time.perf_counter()
    results, ranks, train = {}, {}, experiment.data.splits[0]
    # Classes of users are few, and no recommendations.
    first = None if experiment.config["user_profile"] else FirstItems(trainer.model.n_items, trainer.device)
    splits = zip(("valid", "test"), experiment.data.loaders[1:], (None, first), strict=True)
    for name, loader, counted in splits:
        results[name], ranks[name] = evaluate_split(trainer, loader, bool(experiment.config["show_progress"]), counted)
    if first is not None and ranks["test"] is not None:
        results["recommended"] = first.metrics(train.target_popularity(), trainer.model.ranks)
    if trainer.model.ranks.is_first:
        keep_ranks(ranks, train, run_dir / "ranks.npz")
    seconds = {**trainer.mean_seconds(), "test": time.perf_counter() - begin}
    stage = {"best_stage": STAGES[best["core_stage"]]} if "core_stage" in best else {}
    size = Path(trainer.saved_model_file).stat().st_size / 1e6
    return {
        "status": "completed",
        **results,
        "best_epoch": best["epoch"],
        **stage,
        "seconds": seconds,
        "checkpoint_mb": size,
    }


def _write(record: dict, paths):
    for path in paths:
        write_record(record, path)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

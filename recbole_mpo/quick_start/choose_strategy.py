"""Choose an MPO strategy on validation figures, by successive halving: short runs of all, longer ones of the best.

Jamieson and Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization", AISTATS 2016.
"""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

from recbole_mpo.common.errors import ConfigError

logger = logging.getLogger(__name__)

# From few to many trained cores; of equal figures the first counts.
STRATEGIES = ("light", "full", "expand")
# Epochs after which the better half goes on, until one is left.
RUNGS = (2, 6)


def run_best_strategy(
    run_one: Callable[..., tuple[Path, dict]], settings: dict, config, *, dry_run=False, resume=None, record_path=None
) -> dict:
    """Train each strategy for a few epochs, and only the best to its end; return the record of that run.

    Test figures are computed for the best alone. The others keep their folders, with the status ``paused``.

    Args:
        run_one: function that starts or resumes a run; it takes settings, ``resume``, ``pause_after``, ``dry_run``,
            ``record_path`` and ``choice``, which the record gets, and returns the run's folder and record.
        settings: the settings that override those of files.
        config: all settings.
        dry_run: whether to build a run of each strategy, and then stop; the record is that of the last.
        resume: ``auto`` to go on with unfinished runs of these settings, or nothing.
        record_path: a second place for the record of the best.

    Returns:
        The record of the best run; ``choice`` in it says what was compared, and how many epochs that took.

    Raises:
        ConfigError: ``resume`` names a run, which is of one strategy, or there is nothing to compare by.
    """
    if resume not in (None, "auto"):
        raise ConfigError("mpo_strategy=auto compares several runs: resume them with --resume=auto")
    if not 1 <= config["eval_step"] <= RUNGS[0]:
        raise ConfigError(f"mpo_strategy=auto compares after {RUNGS[0]} epochs: set eval_step to 1 or {RUNGS[0]}")
    if config["epochs"] < RUNGS[0]:
        raise ConfigError(f"mpo_strategy=auto compares after {RUNGS[0]} epochs: set epochs to more, or name a strategy")
    if dry_run and resume:
        raise ConfigError("dry_run builds new runs, resume continues some; give one of them")
    run_strategy = partial(_run_strategy, run_one, settings)
    if dry_run:
        return [run_strategy(strategy, dry_run=True, record_path=record_path) for strategy in STRATEGIES][-1][1]
    best, folder, trials = _compare(run_strategy, config["valid_metric"].lower(), resume)
    others = [trial for trial in trials if trial["strategy"] != best]
    choice = {
        "trials": trials,
        "epochs_of_others": sum(trial["epochs"] for trial in others),
        "seconds_of_others": sum(trial["seconds"] for trial in others),
    }
    return run_strategy(best, resume=folder, choice=choice, record_path=record_path)[1]


def _run_strategy(run_one, settings: dict, strategy: str, **options) -> tuple[Path, dict]:
    """Start or resume a run of one strategy; ``mpo_expand`` is for one of them."""
    number = {} if strategy == "expand" else {"mpo_expand": None}
    return run_one({**settings, **number, "mpo_strategy": strategy}, **options)


def _compare(run_strategy, metric: str, resume: str | None) -> tuple[str, Path, list[dict]]:
    """Return the best strategy, the folder of its run, and what the short runs came to."""
    folders: dict[str, Path] = {}
    trials: dict[str, dict] = {}
    left = list(STRATEGIES)
    for rung in RUNGS:
        for strategy in left:
            folder, record = run_strategy(strategy, resume=folders.get(strategy, resume), pause_after=rung)
            folders[strategy], trials[strategy] = folder, _trial(strategy, record, metric, rung)
        left.sort(key=lambda strategy: (-trials[strategy]["valid"], STRATEGIES.index(strategy)))
        left = left[: (len(left) + 1) // 2]
        logger.info("after %d epochs: %s; going on with %s", rung, _figures(trials, metric), ", ".join(left))
    return left[0], folders[left[0]], list(trials.values())


def _trial(strategy: str, record: dict, metric: str, rung: int) -> dict:
    """Return what a short run came to; a resumed one may have gone on for longer, which must not change the choice."""
    history = record["history"][:rung]
    if not any("valid" in epoch for epoch in history):
        raise ConfigError("mpo_strategy=auto compares figures of validation, and there are none: name a strategy")
    return {
        "strategy": strategy,
        "run_id": record["run_id"],
        "epochs": len(history),
        "valid": max(epoch["valid"][metric] for epoch in history if "valid" in epoch),
        "trainable": record["params"]["trainable"],
        "seconds": sum(epoch["train_seconds"] + epoch.get("valid_seconds", 0.0) for epoch in history),
    }


def _figures(trials: dict[str, dict], metric: str) -> str:
    return ", ".join(f"{name} {metric} {trial['valid']:.4f}" for name, trial in trials.items())

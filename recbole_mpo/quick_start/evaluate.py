"""Metrics and ranks of a trained model, and of a checkpoint."""





from pathlib import Path

from recbole_mpo.data.training_counts import training_popularity
from recbole_mpo.quick_start import record as records
from recbole_mpo.quick_start.experiment import Experiment
from recbole_mpo.trainer.ranking import metrics_from_ranks


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


def evaluate_checkpoint(path: str | Path, overrides=None) -> dict[str, dict[str, float]]:
    """Valid and test metrics of a checkpoint, ranked anew."""
    experiment, _ = Experiment.from_checkpoint(path, overrides)
    trainer = experiment.trainer(Path(path).parent)
    loaders = dict(zip(("valid", "test"), experiment.loaders[1:], strict=True))
    return {name: _evaluate(trainer, data)[0] for name, data in loaders.items()}

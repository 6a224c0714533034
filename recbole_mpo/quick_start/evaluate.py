"""Metrics and ranks of a trained model, and of a checkpoint."""

from pathlib import Path

from recbole_mpo.data.atomic_files import SPLITS
from recbole_mpo.quick_start.experiment import Experiment
from recbole_mpo.quick_start.record import write_ranks
from recbole_mpo.trainer.first_items import FirstItems
from recbole_mpo.trainer.ranking import metrics_from_ranks
from recbole_mpo.trainer.target_losses import mean_cross_entropy


def evaluate_split(
    trainer, loader, show_progress: bool = False, first: FirstItems | None = None
) -> tuple[dict[str, float], dict | None]:
    """Return the metrics of one split, and the ranks if the metrics follow from them; ``{}`` if the split is empty.

    With ``eval_loss``, ``loss`` is among the metrics: the cross-entropy of the targets over all items.

    Args:
        trainer: the trainer of the model.
        loader: loader of the split.
        show_progress: whether to show a progress bar.
        first: counts what is recommended, right or wrong; where there are no ranks it stays empty.
    """
    if len(loader._dataset) == 0:
        return {}, None
    if trainer.uses_ranks():
        ranks = trainer.target_ranks(loader, show_progress, first)
        metrics = metrics_from_ranks(ranks["rank"], trainer.config["metrics"], trainer.config["topk"])
    else:
        ranks = None
        values = trainer.evaluate(loader, load_best_model=False, show_progress=show_progress)
        metrics = {name: float(value) for name, value in values.items()}
    return metrics | _loss(trainer, loader), ranks


def _loss(trainer, loader) -> dict[str, float]:
    config = trainer.config
    if not config["eval_loss"]:
        return {}
    place = trainer.device, trainer.test_batch_size
    return {"loss": mean_cross_entropy(trainer.model, loader, *place, config["mask_pad"])}


def keep_ranks(ranks: dict[str, dict | None], train, path: Path):
    """Write the ranks of each split, and the popularity of the targets in the training part.

    Args:
        ranks: result of ``target_ranks`` by split; None for a split without ranks.
        train: training part of the dataset.
        path: the file to write.
    """
    present = {name: dict(columns) for name, columns in ranks.items() if columns is not None}
    if present:
        popularity = train.target_popularity()
        for columns in present.values():
            columns["popularity"] = popularity[columns.pop("target")]
        write_ranks(present, path)


def evaluate_checkpoint(path: str | Path, overrides: dict | None = None) -> dict[str, dict[str, float]]:
    """Rank the valid and test splits with the model of a checkpoint and return the metrics.

    Args:
        path: file of the checkpoint.
        overrides: settings that override those of the checkpoint.

    Returns:
        ``{"valid": {"hit@10": …, …}, "test": {…}}``.

    Raises:
        CheckpointError: the checkpoint is missing, damaged or without settings, or was trained on other data.
        ConfigError: the settings do not fit together.
        DataError: the dataset cannot be read.
    """
    experiment, model, _ = Experiment.from_checkpoint(path, overrides)
    trainer = experiment.trainer(model, Path(path).parent)
    loaders = dict(zip(SPLITS[1:], experiment.data.loaders[1:], strict=True))
    return {name: evaluate_split(trainer, loader)[0] for name, loader in loaders.items()}

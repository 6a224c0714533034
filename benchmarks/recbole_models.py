"""RecBole's models on trimmed batches against its padded ones: seconds per row of training and of scoring.

    python benchmarks/recbole_models.py [--dataset=Scientific] [--models=SASRec,GRU4Rec,BERT4Rec] [--steps=4]
                                        [--output=FILE] [--key=value ...]

Both forms train one model on the same batches in turn, optimizer included, and then score all items for the same
evaluation batches; making the batches is not counted. First the two losses are compared on one batch with dropout
off. The times are this machine's; the ratios are the result.
"""

import sys
from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice

from recbole_mpo.common.process import prepare_process

prepare_process()

import torch  # noqa: E402 - the process is prepared before PyTorch is loaded
from common import Built, Stepper, main, median, seconds  # noqa: E402

from recbole_mpo.trainer.trimmed_batches import TRIMMED_MODELS, trimmed_loss, trimmed_scores  # noqa: E402


@torch.no_grad()
def losses_of_one_batch(built: Built) -> dict[str, float]:
    """Return the loss of one training batch in both forms, dropout off."""
    model, batch = built.model.eval(), next(iter(built.data.loaders[0]))
    losses = {"padded": model.calculate_loss(batch).item(), "trimmed": trimmed_loss(model, batch).item()}
    if abs(losses["padded"] - losses["trimmed"]) > 1e-4:
        raise SystemExit(f"the two forms disagree: {losses}")
    return losses


def compare(padded: Callable, trimmed: Callable, batches: Iterable) -> dict:
    """Seconds per row of both forms on each batch in turn, and the ratio of their medians."""
    samples = {"padded": [], "trimmed": []}
    first, *others = batches
    for batch in (first, first, *others):
        for name, form in (("padded", padded), ("trimmed", trimmed)):
            samples[name].append(seconds(partial(form, batch)) / len(batch))
    samples = {name: values[1:] for name, values in samples.items()}  # the first of each warms up
    return {"ratio": median(samples["padded"]) / median(samples["trimmed"]), "seconds_per_row": samples}


def compare_training(built: Built, steps: int) -> dict:
    """Optimizer steps."""
    model = built.model.train()
    padded, trimmed = Stepper(built), Stepper(built, partial(trimmed_loss, model))
    return compare(padded.step, trimmed.step, islice(built.data.loaders[0], steps))


@torch.no_grad()
def compare_scoring(built: Built, steps: int) -> dict:
    """Return the scores of all items."""
    model = built.model.eval()
    batches = (rows for rows, *_ in islice(built.data.loaders[2], steps))
    return compare(model.full_sort_predict, partial(trimmed_scores, model), batches)


def measure(dataset: str = "Scientific", models=TRIMMED_MODELS, steps: int = 4, **settings) -> dict:
    """Losses, ratios and samples of each model."""
    results = {}
    for name in [models] if isinstance(models, str) else models:
        built = Built(name, dataset, settings)
        results[name] = {
            "losses": losses_of_one_batch(built),
            "training": compare_training(built, steps),
            "scoring": compare_scoring(built, steps),
        }
        for part in ("training", "scoring"):
            print(f"{name:<9} {part:<9} {results[name][part]['ratio']:5.1f} times", flush=True)
    return {"dataset": dataset, "threads": torch.get_num_threads(), "models": results}


if __name__ == "__main__":
    sys.exit(main(measure, sys.argv[1:]))

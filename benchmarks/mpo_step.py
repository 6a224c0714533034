"""A training step of MPORec and MPORecLight over one of dense UniSRec, everything else the same.

    python benchmarks/mpo_step.py [--dataset=Scientific] [--steps=12] [--output=FILE] [--key=value ...]

The models take turns on each batch; the result is the median of the batches' ratios. ``wide`` repeats it with random
features of 768 numbers.
"""

import sys
import tempfile
from pathlib import Path

from recbole_mpo.common.process import prepare_process

prepare_process()

import numpy as np  # noqa: E402 - the process is prepared before PyTorch is loaded
from common import Built, Stepper, main, median, seconds  # noqa: E402

MODELS = {"dense": "UniSRec", "mpo": "MPORec", "light": "MPORecLight"}
WIDE = 768


def take_turns(dataset: str, settings: dict, steps: int) -> dict[str, list[float]]:
    """Seconds of a step on each batch by each model; two rounds more are run first and not counted."""
    runs = {name: Built(model, dataset, settings) for name, model in MODELS.items()}
    steppers = {name: Stepper(built) for name, built in runs.items()}
    batches = list(runs["dense"].data.loaders[0])
    samples = {name: [] for name in MODELS}
    for number in range(steps + 2):
        batch = batches[number % len(batches)]
        for name, stepper in steppers.items():
            samples[name].append(seconds(lambda stepper=stepper, batch=batch: stepper.step(batch)))
    return {name: values[2:] for name, values in samples.items()}


def ratios(samples: dict[str, list[float]]) -> dict[str, float]:
    """Medians over the batches of a model's seconds over the dense model's."""
    dense = samples["dense"]
    return {f"{name}_vs_dense": median(np.divide(samples[name], dense)) for name in ("mpo", "light")}


def measure(dataset: str = "Scientific", steps: int = 12, **settings) -> dict:
    """Ratios with the dataset's own features (MiniLM, 384 numbers) and with 768 random ones."""
    narrow = take_turns(dataset, settings, steps)
    items = Built("UniSRec", dataset, settings).data.dataset.features.item_text
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "wide.npy"
        np.save(file, np.random.default_rng(0).standard_normal((len(items), WIDE), dtype=np.float32))
        wide = take_turns(dataset, {**settings, "feature_file": str(file)}, steps)
    return {**ratios(narrow), "samples": narrow, "wide": {**ratios(wide), "samples": wide}}


if __name__ == "__main__":
    sys.exit(main(measure, sys.argv[1:]))

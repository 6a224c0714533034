"""Training targets per second: packed, pairwise and the published form; and the share of the machine's matmul rate.

    python benchmarks/train_step.py [--dataset=Scientific] [--steps=12] [--slow_steps=3] [--output=FILE]
                                    [--key=value ...]

Each form trains the same dense UniSRec at ``train_batch_size`` targets a step, optimizer included. First the three
losses are compared on one batch with dropout and gate noise off. Packed steps are timed before and after the others.
The times are this machine's; the ratios are the
result.

The published form runs twice: in this process, with its settings, which is the ratio with a target; and as users of the
published code run it, with the defaults of the allocator and of OpenMP, and with the anomaly detection that importing
RecBole's sequential models turns on.
"""

import os
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from recbole_mpo.common.process import prepare_process

prepare_process()

import numpy as np  # noqa: E402 - the process is prepared before PyTorch is loaded
import torch  # noqa: E402
from common import Built, Stepper, main, matmul_rate, median, useful_flops  # noqa: E402
from published import PublishedForm  # noqa: E402

from recbole_mpo.data.batches import pack  # noqa: E402
from recbole_mpo.data.sequences import Rows, training_windows  # noqa: E402

# prepare_process leaves alone what the environment has set; these are the defaults of glibc and OpenMP.
PLAIN_PROCESS = {"MALLOC_ARENA_TEST": "8", "OMP_WAIT_POLICY": "ACTIVE"}
NOISE_FREE = {
    "hidden_dropout_prob": 0.0,
    "attn_dropout_prob": 0.0,
    "adaptor_dropout_prob": 0.0,
    "noisy_gating": False,
}


def losses_of_one_batch(dataset: str, settings: dict, rows: int = 256) -> dict[str, float]:
    """Return the loss of the same targets by the three forms, dropout and noise off."""
    built = Built("UniSRec", dataset, {**settings, **NOISE_FREE})
    train, model = built.data.splits[0], built.model
    longest, all_rows = built.config["MAX_ITEM_LIST_LENGTH"], train.rows()
    chosen = np.flatnonzero(all_rows.lengths < longest)[:rows]
    some = Rows(all_rows.users[chosen], all_rows.ends[chosen], all_rows.lengths[chosen])
    padded = train[chosen]
    with torch.no_grad():
        losses = {
            "packed": model.calculate_loss(pack(train.flat_items, training_windows(some, longest))).item(),
            "pairwise": model.calculate_loss(padded).item(),
            "published": PublishedForm(model, built.config).train().calculate_loss(padded).item(),
        }
    if max(losses.values()) - min(losses.values()) > 1e-4:
        raise SystemExit(f"the three forms disagree: {losses}")
    return losses


def packed_steps(dataset: str, settings: dict, steps: int) -> dict:
    """Seconds and useful operations of packed steps, and the matmul rate right after each of them."""
    built = Built("UniSRec", dataset, settings)
    batches = list(built.data.loaders[0])[: steps + 2]
    model, config, stepper = built.model, built.config, Stepper(built)
    stepper.timed(batches[:2])
    taken, rates = [], []
    for batch in batches[2:]:
        taken += stepper.timed([batch], warm=0)
        rates.append(matmul_rate())
    return {
        "seconds": taken,
        "targets": [len(batch) for batch in batches[2:]],
        "useful_flops": [useful_flops(b, model.n_items, config, model.feature_size) for b in batches[2:]],
        "matmul_flops_per_second": rates,
    }


def padded_steps(dataset: str, settings: dict, steps: int, published: bool) -> dict:
    """Seconds of steps on RecBole's padded rows, by our model or in the published form."""
    built = Built("UniSRec", dataset, {**settings, "train_mode": "pairwise"})
    loss = PublishedForm(built.model, built.config).train().calculate_loss if published else None
    batches = [batch for batch, _ in zip(built.data.loaders[0], range(steps + 1), strict=False)]
    return {"seconds": Stepper(built, loss).timed(batches), "targets": [len(b) for b in batches[1:]]}


def with_anomaly_detection(dataset: str, settings: dict, steps: int) -> dict:
    """Steps of the published form as importing RecBole's sequential models leaves autograd."""
    with torch.autograd.set_detect_anomaly(True):
        return padded_steps(dataset, settings, steps, published=True)


def alone(function: Callable, *arguments, **environment: str) -> dict:
    """Return the result of ``function`` in a process with an environment and a memory of its own."""
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            return pool.submit(function, *arguments).result()
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def measure(dataset: str = "Scientific", steps: int = 12, slow_steps: int = 3, **settings) -> dict:
    """Ratios of the medians of seconds per target, and the raw samples."""
    losses = losses_of_one_batch(dataset, settings)
    samples = {
        "packed": packed_steps(dataset, settings, steps),
        "pairwise": alone(padded_steps, dataset, settings, slow_steps, False),
        "published": alone(padded_steps, dataset, settings, slow_steps, True),
        "published_as_run": alone(with_anomaly_detection, dataset, settings, slow_steps, **PLAIN_PROCESS),
        "packed_again": packed_steps(dataset, settings, steps),
    }
    packed = {key: samples["packed"][key] + samples["packed_again"][key] for key in samples["packed"]}
    per_target = {
        name: median(np.divide(sample["seconds"], sample["targets"]))
        for name, sample in {**samples, "packed": packed}.items()
    }
    rates = np.divide(packed["useful_flops"], packed["seconds"])
    return {
        "dataset": dataset,
        "losses": losses,
        "packed_vs_pairwise": per_target["pairwise"] / per_target["packed"],
        "packed_vs_published": per_target["published"] / per_target["packed"],
        "packed_vs_published_as_run": per_target["published_as_run"] / per_target["packed"],
        "matmul_share": median(rates / packed["matmul_flops_per_second"]),
        "seconds_per_target": per_target,
        "samples": samples,
    }


if __name__ == "__main__":
    sys.exit(main(measure, sys.argv[1:]))

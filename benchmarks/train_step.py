"""Training targets per second: packed, pairwise, and the published form, in one run.

    python benchmarks/train_step.py [--dataset=Scientific] [--data_path=../shared/data] [--output=FILE]
                                    [--steps=8] [--slow_steps=2] [--key=value ...]

Each form trains the same dense UniSRec at ``train_batch_size`` targets a step, optimizer included. First the three
losses are compared on one batch with dropout and gate noise off. The times are this machine's; the ratios are the
result.
"""

import json
import sys
import time
from pathlib import Path

from recbole_mpo.process import prepare_process

prepare_process()

import numpy as np  # noqa: E402 - the process is prepared before PyTorch is loaded
import torch  # noqa: E402
from published import PublishedForm  # noqa: E402

from recbole_mpo import runtime  # noqa: E402
from recbole_mpo.config import parse_assignments  # noqa: E402
from recbole_mpo.data.loader import pack  # noqa: E402
from recbole_mpo.data.sequences import Rows, bucket_edges, training_windows  # noqa: E402
from recbole_mpo.experiment import Experiment  # noqa: E402

NOISE_FREE = {
    "hidden_dropout_prob": 0.0,
    "attn_dropout_prob": 0.0,
    "adaptor_dropout_prob": 0.0,
    "noisy_gating": False,
}


def losses_of_one_batch(dataset: str, settings: dict, rows: int = 256) -> dict[str, float]:
    """The loss of the same targets by the three forms, dropout and noise off."""
    experiment = Experiment.of("UniSRec", dataset, (), {**settings, **NOISE_FREE})
    train, model = experiment.splits[0], experiment.model.train()
    all_rows = train.rows()
    chosen = np.flatnonzero(all_rows.lengths < experiment.config["MAX_ITEM_LIST_LENGTH"])[:rows]
    some = Rows(all_rows.users[chosen], all_rows.ends[chosen], all_rows.lengths[chosen])
    windows = training_windows(some, experiment.config["MAX_ITEM_LIST_LENGTH"])
    packed = pack(train.flat_items, windows, bucket_edges(windows.lengths))
    padded = train[chosen]
    with torch.no_grad():
        return {
            "packed": model.calculate_loss(packed).item(),
            "pairwise": model.calculate_loss(padded).item(),
            "published": PublishedForm(model, experiment.config).train().calculate_loss(padded).item(),
        }


def seconds_per_target(loss_of, parameters, batches, steps: int) -> list[float]:
    """Seconds of each step over its number of targets; one step more is run first and not counted."""
    optimizer = torch.optim.Adam(parameters, lr=1e-3)
    samples = []
    for _, batch in zip(range(steps + 1), batches, strict=False):
        begin = time.perf_counter()
        optimizer.zero_grad()
        loss_of(batch).backward()
        optimizer.step()
        samples.append((time.perf_counter() - begin) / len(batch))
    return samples[1:]


def measure(dataset: str, settings: dict, steps: int, slow_steps: int) -> dict:
    """Samples of all three forms, and the ratios of their medians."""
    samples = {}
    for name, mode in (("packed", "packed"), ("pairwise", "pairwise"), ("published", "pairwise")):
        experiment = Experiment.of("UniSRec", dataset, (), {**settings, "train_mode": mode})
        model = experiment.model.train()
        form = PublishedForm(model, experiment.config).train() if name == "published" else model
        count = steps if name == "packed" else slow_steps
        samples[name] = seconds_per_target(
            form.calculate_loss, model.parameters(), iter(experiment.loaders[0]), count
        )
        batch = experiment.config["train_batch_size"]
        print(f"{name:<10} {np.median(samples[name]) * batch:8.3f} s a step of {batch} targets", flush=True)
    medians = {name: float(np.median(values)) for name, values in samples.items()}
    return {
        "packed_vs_pairwise": medians["pairwise"] / medians["packed"],
        "packed_vs_published": medians["published"] / medians["packed"],
        "seconds_per_target": samples,
    }


def main(arguments: list[str]) -> int:
    """Runs the comparison and prints or writes it."""
    settings = {"data_path": "../shared/data", "show_progress": False, "use_gpu": False, **parse_assignments(arguments)}
    dataset = settings.pop("dataset", "Scientific")
    output, steps, slow_steps = settings.pop("output", None), settings.pop("steps", 8), settings.pop("slow_steps", 2)
    losses = losses_of_one_batch(dataset, settings)
    if max(losses.values()) - min(losses.values()) > 1e-4:
        print(f"the three forms disagree: {losses}")
        return 1
    result = {
        "dataset": dataset,
        "losses": losses,
        **measure(dataset, settings, steps, slow_steps),
        "device": runtime.device_description(torch.device("cpu")),
        "git": runtime.revision(),
    }
    print(f"packed is {result['packed_vs_pairwise']:.1f} times pairwise, "
          f"{result['packed_vs_published']:.1f} times the published form, in targets per second")
    if output:
        Path(output).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

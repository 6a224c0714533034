"""What the benchmarks share: settings, timing, memory, and a result's file."""

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch

from recbole_mpo.common import machine
from recbole_mpo.common.values import parse_assignments
from recbole_mpo.data.batches import PackedBatch
from recbole_mpo.quick_start.experiment import Experiment

SETTINGS = {"data_path": "../shared/data", "show_progress": False, "use_gpu": False}
MATMUL = 4096
CPU = torch.device("cpu")


class Built:
    """A run on the processor: its settings, data, and a new model in training mode."""

    def __init__(self, model: str, dataset: str, settings: dict):
        self.experiment = Experiment.of(model, dataset, (), {**SETTINGS, **settings})
        self.config, self.data = self.experiment.config, self.experiment.data
        self.model = self.experiment.build_model().train()

    def trainer(self, folder):
        """Return a trainer of the model."""
        return self.experiment.trainer(self.model, folder)


def matmul_rate() -> float:
    """Return this process's floating-point operations per second in a float32 product of 4096 x 4096 matrices."""
    first, second = torch.randn(2, MATMUL, MATMUL)
    return 2 * MATMUL**3 / seconds(lambda: first @ second)


def seconds(call: Callable[[], object]) -> float:
    """Return how long one call takes."""
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


class Stepper:
    """Whole optimizer steps on given batches."""

    def __init__(self, built: Built, loss: Callable | None = None):
        self.loss = loss or built.model.calculate_loss
        self.optimizer = torch.optim.Adam(built.model.parameters(), lr=1e-3, fused=True)

    def step(self, batch):
        """Forward, backward, update."""
        self.optimizer.zero_grad()
        self.loss(batch).backward()
        self.optimizer.step()

    def timed(self, batches: Iterable, warm: int = 1) -> list[float]:
        """Return the seconds of a step on each batch; the first ``warm`` are run and not counted."""
        return [seconds(lambda batch=batch: self.step(batch)) for batch in batches][warm:]


def useful_flops(batch: PackedBatch, items: int, config, feature_size: int) -> float:
    """Return the floating-point operations that a dense UniSRec's training step needs, padding not counted.

    Two per multiply and add. Experts and gates: forward and the weights' gradient (features take none); everything
    else: forward and both gradients. Attention counts the pairs that are seen; norms, masks, softmax and the
    optimizer count nothing.
    """
    hidden, inner, layers = config["hidden_size"], config["inner_size"], config["n_layers"]
    real = (batch.items > 0).sum().item()
    pairs = (batch.positions[batch.items > 0] + 1).sum().item()
    adaptor = 2 * items * feature_size * config["n_exps"] * (hidden + 2)
    encoder = 3 * layers * (real * (4 * hidden**2 + 2 * hidden * inner) + 2 * pairs * hidden)
    logits = 3 * len(batch) * items * hidden
    return 2.0 * (adaptor + encoder + logits)


def median(values) -> float:
    """Return the median as a plain number."""
    return float(np.median(values))


def main(measure: Callable[..., dict], arguments: list[str]) -> int:
    """Run ``measure`` with the ``--key=value`` arguments and print its result, or write it to ``--output``."""
    options = parse_assignments(arguments)
    output = options.pop("output", None)
    result = {
        **measure(**options),
        "device": machine.device_description(CPU),
        "git": machine.revision(),
    }
    text = json.dumps(result, indent=2)
    if output:
        Path(output).write_text(text + "\n", encoding="utf-8")
    else:
        print(text)
    return 0

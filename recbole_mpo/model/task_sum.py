"""Several tasks at once: the weighted sum of their losses, and what is measured of them.

Shapes: K tasks.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from recbole_mpo.data.batches import PackedBatch
from recbole_mpo.model.task_weighting import Weighting


class StepMeans:
    """Means over the steps of an epoch, of what is measured in some or all of them."""

    def __init__(self):
        self._sums: dict[tuple[str, str | None], Tensor | float] = {}
        self._counts: dict[tuple[str, str | None], int] = {}

    def add(self, kind: str, values: Mapping[str, Tensor | float] | Tensor | float):
        """Add what a step measured.

        Args:
            kind: what was measured, such as ``task_losses``.
            values: scalars by name, or one scalar.
        """
        for name, value in values.items() if isinstance(values, Mapping) else [(None, values)]:
            # In the precision of Python's numbers, without waiting for a GPU in each step.
            value = value.detach().double() if isinstance(value, Tensor) else float(value)
            self._sums[kind, name] = self._sums.get((kind, name), 0.0) + value
            self._counts[kind, name] = self._counts.get((kind, name), 0) + 1

    def take(self) -> dict[str, dict[str, float] | float]:
        """Return the means since the last call, by kind and name."""
        means: dict[str, dict[str, float] | float] = {}
        for (kind, name), total in self._sums.items():
            mean = float(total) / self._counts[kind, name]
            if name is None:
                means[kind] = mean
            else:
                means.setdefault(kind, {})[name] = mean
        self._sums, self._counts = {}, {}
        return means


class TaskSum(nn.Module):
    """Several tasks at once: the sum of their losses, each times its weight.

    Args:
        tasks: the tasks by name.
        weighting: gives the weights, in the order of the tasks.
    """

    def __init__(self, tasks: dict[str, nn.Module], weighting: Weighting):
        super().__init__()
        self.tasks = nn.ModuleDict(tasks)
        self.weighting = weighting
        self.measures = StepMeans()

    def losses(self, model, batch: PackedBatch) -> dict[str, Tensor]:
        """Return the loss of each task."""
        return {name: task(model, batch) for name, task in self.tasks.items()}

    def forward(self, model, batch: PackedBatch) -> Tensor:
        """Return the weighted sum of the losses of a batch."""
        losses = self.losses(model, batch)
        weights = self.weights(losses)
        self.note(losses, weights)
        return sum(weights[name] * loss for name, loss in losses.items()) + self.weighting.penalty()

    def weights(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the weight of each loss of a step."""
        weights_K = self.weighting(torch.stack([losses[name].detach() for name in self.tasks]))
        return dict(zip(self.tasks, weights_K.unbind(), strict=True))

    def note(self, losses: Mapping[str, Tensor], weights: Mapping[str, Tensor | float]):
        """Keep the losses of a step, and the weights that they had."""
        self.measures.add("task_losses", losses)
        self.measures.add("task_weights", weights)

    def end_epoch(self) -> dict[str, dict[str, float] | float]:
        """Return the means over the steps since the last call: ``task_losses`` without weights, ``task_weights``, ….

        The weighting takes note of the losses.
        """
        means = self.measures.take()
        losses = means.get("task_losses", {})
        if losses.keys() == set(self.tasks):
            values_K = torch.tensor([losses[name] for name in self.tasks], dtype=torch.float64)
            self.weighting.end_epoch(values_K.to(self.weighting.fixed.device))
        return means

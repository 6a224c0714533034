"""Learning rates that change while a model is trained: warm-up at the beginning, decay until the last epoch."""

import math
from contextlib import contextmanager

import torch


class RateSchedule:
    """Sets the learning rates of an optimizer before each step.

    The rates are a function of the epochs that are done, so a resumed run has the rates that it would have had.

    Args:
        optimizer: the optimizer, whose present learning rates are the largest of each group.
        name: ``constant``; ``linear`` or ``cosine`` (Loshchilov & Hutter, 2017) for a decay to zero.
        warmup_epochs: epochs in which the rates rise in a straight line from zero; need not be a whole number.
        epochs: the number of epochs at whose end a decay reaches zero.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, name: str, warmup_epochs: float, epochs: int):
        self.optimizer, self.name, self.warmup_epochs, self.epochs = optimizer, name, warmup_epochs, epochs
        self.largest = [group["lr"] for group in optimizer.param_groups]

    def factor(self, epochs_done: float) -> float:
        """Return the number, between 0 and 1, that multiplies the largest rates when so many epochs are done."""
        if epochs_done < self.warmup_epochs:
            return epochs_done / self.warmup_epochs
        if self.name == "constant":
            return 1.0
        done = min(1.0, (epochs_done - self.warmup_epochs) / max(self.epochs - self.warmup_epochs, 1e-9))
        return 1.0 - done if self.name == "linear" else 0.5 * (1.0 + math.cos(math.pi * done))

    @contextmanager
    def during(self, epoch: int, steps: int):
        """Set the rates of the steps that are taken meanwhile.

        Args:
            epoch: number of the epoch, from 0.
            steps: number of its steps.
        """
        if self.name == "constant" and not self.warmup_epochs:
            yield
            return
        taken = 0

        def set_rates(optimizer, *_):
            nonlocal taken
            taken += 1
            # In the middle of a step: the first one moves, and the last one does not stand still.
            factor = self.factor(epoch + (taken - 0.5) / steps)
            for group, largest in zip(optimizer.param_groups, self.largest, strict=True):
                group["lr"] = largest * factor

        hook = self.optimizer.register_step_pre_hook(set_rates)
        try:
            yield
        finally:
            hook.remove()

"""An exponential moving average of a model's weights, which is evaluated and saved in place of the last ones."""

from contextlib import contextmanager

import torch
from torch import nn

from recbole_mpo.common.errors import CheckpointError


class WeightAverage:
    """The average of the trainable weights over the steps of training (Polyak & Juditsky, 1992).

    After step t an average moves by ``1 - d`` of the way to the weight, with ``d = min(decay, (1 + t) / (10 + t))``, so
    that the first weights are soon forgotten.

    Args:
        model: the model that is trained.
        decay: the decay of later steps, below 1; about ``1 / (1 - decay)`` steps count.
    """

    def __init__(self, model: nn.Module, decay: float):
        self.decay, self.steps = decay, 0
        self.weights, self.averages = {}, {}
        self.include_trained(model)

    def include_trained(self, model: nn.Module):
        """Also average the weights of the model that are trained by now; their averages begin at their values."""
        for name, weight in model.named_parameters():
            if weight.requires_grad and name not in self.weights:
                self.weights[name], self.averages[name] = weight, weight.detach().clone()

    @torch.no_grad()
    def update(self):
        """Move the averages towards the weights, after a step of the optimizer."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_([*self.averages.values()], [*self.weights.values()], 1 - decay)

    @contextmanager
    def following(self, optimizer: torch.optim.Optimizer):
        """Update the averages after each step that the optimizer takes meanwhile."""
        hook = optimizer.register_step_post_hook(lambda *_: self.update())
        try:
            yield
        finally:
            hook.remove()

    @contextmanager
    def in_place(self):
        """Give the model the averages as its weights meanwhile."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self):
        for name, weight in self.weights.items():
            former = weight.clone()
            weight.copy_(self.averages[name])
            self.averages[name] = former

    def state(self) -> dict:
        """Return the averages and how many steps they are of, for ``last.pth``."""
        return {"steps": self.steps, "weights": self.averages}

    def load(self, state: dict | None, path):
        """Go on from the averages of a checkpoint.

        Args:
            state: what :meth:`state` returned.
            path: file of the checkpoint, for the message.

        Raises:
            CheckpointError: it has no averages, or those of other weights.
        """
        stored = (state or {}).get("weights", {})
        if {name: average.shape for name, average in stored.items()} != {
            name: average.shape for name, average in self.averages.items()
        }:
            raise CheckpointError(f"checkpoint {path} lacks the averages of these weights, so it cannot be resumed")
        self.steps = state["steps"]
        for name, average in self.averages.items():
            average.copy_(stored[name])

"""How the losses of several tasks are weighted in a step.

A weighting is a module called with the losses of a step, whose gradients it does not see, and returns their weights.
Its parameters and counts belong to the objective of a model, so checkpoints hold them, and later runs leave them out.
``PCGrad``, ``GradNorm`` and ``Alternating`` say what is done with the gradients of each task, which is the trainer's
work: recbole_mpo.trainer.task_gradients.

Shapes: K tasks.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

# Prefix of the parameters and counts of a weighting among the names of a model.
WEIGHTING = "objective.weighting."
# Settings that only matter for its parameters and counts.
WEIGHTING_SETTINGS = ("task_weighting", "weighting_lr_multiplier")
# How far the rate at which a loss falls moves its weight (Chen et al., section 3.2), and how even the weights of
# ``dwa`` are (Liu et al., section 3.2).
ASYMMETRY, TEMPERATURE = 1.5, 2.0
# Divisors are at least this.
SMALLEST = 1e-30


class Weighting(nn.Module):
    """Constant weights, for ``static``; the base of all others.

    Args:
        fixed: the setting's weight of each loss.
    """

    def __init__(self, fixed: Sequence[float]):
        super().__init__()
        self.register_buffer("fixed", torch.tensor(fixed, dtype=torch.float64), persistent=False)

    def forward(self, losses_K: Tensor) -> Tensor:
        """Return the weights [K] of the losses of a step, whose values are given."""
        return self.fixed.to(losses_K.dtype)

    def penalty(self) -> Tensor | float:
        """Return what is added to the weighted sum of the losses."""
        return 0.0

    def end_epoch(self, means_K: Tensor):
        """Take note of the mean losses of an epoch."""


class Average(Weighting):
    """The mean of the losses.

    Args:
        fixed: not used but for K.
    """

    def __init__(self, fixed: Sequence[float]):
        super().__init__([1 / len(fixed)] * len(fixed))


class Largest(Weighting):
    """Only the largest of the weighted losses counts.

    Args:
        fixed: the setting's weight of each loss.
    """

    def forward(self, losses_K: Tensor) -> Tensor:
        """Return the weights [K], zero but for one."""
        weights_K = super().forward(losses_K)
        largest = (weights_K * losses_K).argmax()
        return torch.where(torch.arange(len(weights_K), device=weights_K.device) == largest, weights_K, 0.0)


class Uncertainty(Weighting):
    """``sum of exp(-s_k) L_k / 2 + s_k / 2`` with learned s_k, which is least where ``exp(s_k) = L_k``.

    Source: Kendall, Gal, Cipolla, "Multi-task learning using uncertainty to weigh losses", CVPR 2018, with the
    logarithms of the variances as parameters.

    Args:
        fixed: not used but for K.
    """

    def __init__(self, fixed: Sequence[float]):
        super().__init__(fixed)
        self.log_variances = nn.Parameter(torch.zeros(len(fixed)))

    def forward(self, losses_K: Tensor) -> Tensor:
        """Return the weights [K], through which the variances are learned."""
        return 0.5 * torch.exp(-self.log_variances)

    def penalty(self) -> Tensor:
        """Return what keeps the variances from growing."""
        return 0.5 * self.log_variances.sum()


class FallingRates(Weighting):
    """Dynamic weight average (``dwa``): a loss that falls more slowly than the others counts more.

    ``w_k = K softmax over k of (r_k / T)``, with r_k the mean loss of the last epoch divided by that of the one before;
    1 in the first two epochs.

    Source: Liu, Johns, Davison, "End-to-end multi-task learning with attention", CVPR 2019.

    Args:
        fixed: the setting's weight of each loss, which the others are multiplied by.
    """

    def __init__(self, fixed: Sequence[float]):
        super().__init__(fixed)
        self.register_buffer("epochs", torch.tensor(0))
        self.register_buffer("means", torch.zeros(2, len(fixed), dtype=torch.float64))

    def forward(self, losses_K: Tensor) -> Tensor:
        """Return the weights [K]."""
        rates_K = torch.ones_like(self.fixed)
        if self.epochs >= 2:
            rates_K = self.means[1] / self.means[0].clamp(min=SMALLEST)
        weights_K = len(rates_K) * torch.softmax(rates_K / TEMPERATURE, dim=0)
        return (self.fixed * weights_K).to(losses_K.dtype)

    def end_epoch(self, means_K: Tensor):
        """Keep the mean losses of this epoch and of the one before."""
        self.means.copy_(torch.stack((self.means[1], means_K)))
        self.epochs += 1


class Random(Weighting):
    """Random weights in each step, ``softmax`` of standard normal numbers: the control of all other weightings.

    Source: Lin et al., "Reasonable effectiveness of random weighting", TMLR 2022.

    Args:
        fixed: the setting's weight of each loss, which the others are multiplied by.
    """

    def forward(self, losses_K: Tensor) -> Tensor:
        """Return the weights [K]."""
        weights_K = super().forward(losses_K)
        return weights_K * torch.randn_like(weights_K).softmax(dim=0)


class PCGrad(Weighting):
    """Constant weights of losses whose gradients are projected where they conflict (Yu et al., NeurIPS 2020).

    Args:
        fixed: the setting's weight of each loss.
    """


class GradNorm(Weighting):
    """Learned weights with the sum K, which make the gradients of all losses about equally long.

    The gradient of a loss that fell less than the others is to be longer: ``w_k n_k = mean of (w n) * r_k ** a``, with
    n_k the length of the gradient of loss k and r_k the share of the first loss that is left, over the mean of these
    shares. Here ``w = K softmax(...)`` instead of a division by the sum after each step.

    Source: Chen et al., "GradNorm", ICML 2018.

    Args:
        fixed: not used but for K.
    """

    def __init__(self, fixed: Sequence[float]):
        super().__init__(fixed)
        self.log_weights = nn.Parameter(torch.zeros(len(fixed)))
        self.register_buffer("first_losses", torch.zeros(len(fixed), dtype=torch.float64))

    def forward(self, losses_K: Tensor) -> Tensor:
        """Return the weights [K], which are positive."""
        return (len(self.log_weights) * self.log_weights.softmax(dim=0)).to(losses_K.dtype)

    def imbalance(self, lengths_K: Tensor, losses_K: Tensor) -> Tensor:
        """Return how far the gradients are from their aims, in units of their mean length.

        Args:
            lengths_K: lengths of the gradients of the losses.
            losses_K: the losses; those of the first call are remembered.
        """
        if not self.first_losses.any():
            self.first_losses.copy_(losses_K)
        weighted_K = self(lengths_K) * lengths_K
        with torch.no_grad():
            left_K = losses_K / self.first_losses.clamp(min=SMALLEST)
            mean = weighted_K.mean().clamp(min=SMALLEST)
            aims_K = mean * (left_K / left_K.mean().clamp(min=SMALLEST)).pow(ASYMMETRY)
        return ((weighted_K - aims_K) / mean).abs().sum()


class Alternating(Weighting):
    """One task after another, one in each step, and the connection of the tasks alone in a step of its own.

    Args:
        fixed: the setting's weight of each loss.
    """

    def __init__(self, fixed: Sequence[float]):
        super().__init__(fixed)
        self.register_buffer("steps", torch.tensor(0))

    def next_phase(self, count: int) -> int:
        """Return the number of the next of so many phases that follow one another."""
        phase = int(self.steps) % count
        self.steps += 1
        return phase


WEIGHTINGS: dict[str, type[Weighting]] = {
    "static": Weighting,
    "average": Average,
    "max": Largest,
    "uncertainty": Uncertainty,
    "dwa": FallingRates,
    "random": Random,
    "gradnorm": GradNorm,
    "pcgrad": PCGrad,
    "alternating": Alternating,
}
# Weightings that do not use the weights of the settings, because they have or learn their own.
WITHOUT_FIXED = ("average", "uncertainty", "gradnorm")
# Weightings with learned parameters.
LEARNED = ("uncertainty", "gradnorm")

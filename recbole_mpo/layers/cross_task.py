"""The connection of several tasks behind one encoder: a view of its states per task, exchange between views, fusion.

Everything that changes a state starts at zero, so that a new connection returns the states as they are.

Shapes: D size of a state, K tasks, W width of a head; a state may have any leading dimensions.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# The size of a state divided by the width of a head.
REDUCTION = 8
FUSIONS = ("main", "mean", "gated")


class Head(nn.Module):
    """The view of one task: ``u = z + up(gelu(down(z)))``, with ``up`` zero at the start.

    Args:
        size: D.
        std: standard deviation of the initial weights.
    """

    def __init__(self, size: int, std: float):
        super().__init__()
        width = max(1, size // REDUCTION)
        # Plain parameters: what replaces the linear layers of a model is not for these.
        self.down = nn.Parameter(std * torch.randn(size, width))
        self.up = nn.Parameter(torch.zeros(width, size))

    def forward(self, states: Tensor) -> Tensor:
        """Return the views [..., D] of states [..., D]."""
        return states + F.gelu(states @ self.down) @ self.up


class ResidualExchange(nn.Module):
    """To the view of a task, those of the others are added: ``h_k = u_k + sum over j of tanh(g_kj) P_kj u_j``.

    Args:
        size: D.
        count: K.
        std: standard deviation of the initial weights; the gates g are zero at the start.
    """

    def __init__(self, size: int, count: int, std: float):
        super().__init__()
        self.gates = nn.Parameter(torch.zeros(count, count - 1))
        self.maps = nn.Parameter(std * torch.randn(count, count - 1, size, size))

    def forward(self, views: Sequence[Tensor], number: int) -> Tensor:
        """Return the connected view [..., D] of a task.

        Args:
            views: views [..., D] of all tasks.
            number: number of the task.
        """
        others = [view for place, view in enumerate(views) if place != number]
        gates = torch.tanh(self.gates[number])
        parts = zip(gates, self.maps[number], others, strict=True)
        return views[number] + sum(gate * (view @ matrix) for gate, matrix, view in parts)


class AttentionExchange(nn.Module):
    """Each view attends to all views of the same state, with one head; its output is zero at the start.

    Args:
        size: D.
        count: K, which nothing depends on.
        std: standard deviation of the initial weights.
    """

    def __init__(self, size: int, count: int, std: float):
        super().__init__()
        self.query, self.key, self.value = (nn.Parameter(std * torch.randn(size, size)) for _ in range(3))
        self.output = nn.Parameter(torch.zeros(size, size))

    def forward(self, views: Sequence[Tensor], number: int) -> Tensor:
        """Return the connected view [..., D] of a task; the arguments are those of ``ResidualExchange``."""
        all_KD = torch.stack(tuple(views), dim=-2)
        query_D1 = (views[number] @ self.query).unsqueeze(-1)
        scores_K1 = (all_KD @ self.key) @ query_D1 / math.sqrt(len(self.query))
        attended_D = (scores_K1.softmax(dim=-2) * (all_KD @ self.value)).sum(dim=-2)
        return views[number] + attended_D @ self.output


EXCHANGES = {"residual": ResidualExchange, "attention": AttentionExchange}
"""How views are connected, by the name of the kind."""


class CrossTask(nn.Module):
    """The connected views of tasks, and the states that items are predicted from.

    Args:
        size: D.
        tasks: names of the tasks.
        main: the task that is trained on the states that items are predicted from.
        kind: a name in ``EXCHANGES``.
        fuse: what items are predicted from: the view of the ``main`` task, the ``mean`` of all views, or their
            ``gated`` sum, with weights that depend on the state.
        std: standard deviation of the initial weights. They are not drawn from torch's global generator, which is
            left as it was, so that the rest of a model does not depend on its connection.
    """

    def __init__(self, size: int, tasks: Sequence[str], main: str, kind: str, fuse: str = "main", std: float = 0.02):
        super().__init__()
        self.names, self.main, self.fuse = list(tasks), main, fuse
        with torch.random.fork_rng(devices=[]):
            self.heads = nn.ModuleDict({name: Head(size, std) for name in self.names})
            self.exchange = EXCHANGES[kind](size, len(self.names), std)
        if fuse == "gated":
            self.gate = nn.Parameter(torch.zeros(size, len(self.names)))

    def forward(self, states: Tensor, task: str | None = None) -> Tensor:
        """Return the view [..., D] that a task has of states [..., D].

        Args:
            states: states of an encoder.
            task: name of the task; without one, and for the main task, what items are predicted from.
        """
        views = [head(states) for head in self.heads.values()]
        main = self.names.index(self.main)
        if task not in (None, self.main):
            return self.exchange(views, self.names.index(task))
        if self.fuse == "main":
            return self.exchange(views, main)
        connected = torch.stack([self.exchange(views, number) for number in range(len(views))], dim=-2)
        ours = connected.select(-2, main)
        # As differences, so that equal views are kept bit for bit.
        differences = connected - ours.unsqueeze(-2)
        if self.fuse == "mean":
            return ours + differences.mean(dim=-2)
        return ours + ((states @ self.gate).softmax(dim=-1).unsqueeze(-1) * differences).sum(dim=-2)

    def own_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that do not belong to one task."""
        return [weight for name, weight in self.named_parameters() if not name.startswith("heads.")]

"""Steps of training on several tasks, where the gradient of each task counts and not only the sum of the losses.

Such a step computes the gradients itself, one task after another, so that it holds the graph of one task at a time. It
returns a loss whose backward pass gives these gradients, so that clipping and the optimizer come after it as after any
other loss.

Shapes: K tasks.
"""

from collections.abc import Callable, Sequence
from itertools import combinations

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.data.batches import PackedBatch
from recbole_mpo.layers.losses import at_least_float32
from recbole_mpo.model.task_weighting import Alternating, GradNorm, PCGrad, Weighting


def step_loss(model: nn.Module, batch: PackedBatch) -> Tensor:
    """Return the loss of a step, whose backward pass gives the gradients that the weighting of the tasks asks for.

    Args:
        model: a model that may have several tasks, as its ``task_sum``.
        batch: the batch of the step.
    """
    tasks = model.task_sum
    step = None if tasks is None else STEPS.get(type(tasks.weighting))
    return model.calculate_loss(batch) if step is None else step(model, batch)


def projected_weights(products_KK: Tensor) -> Tensor:
    """Return how often each gradient is in the sum of all after those that conflict were projected.

    Each gradient loses its component along every other one that it has a negative product with, in random order.

    Args:
        products_KK: inner products of the gradients.

    Source: Yu et al., "Gradient surgery for multi-task learning", NeurIPS 2020, algorithm 1.
    """
    products_KK = products_KK.double().cpu()
    weights_KK = torch.eye(len(products_KK), dtype=torch.float64)
    for number, weights_K in enumerate(weights_KK):
        for other in torch.randperm(len(products_KK)).tolist():
            product = float(products_KK[other] @ weights_K)
            if other != number and product < 0:
                weights_K[other] -= product / products_KK[other, other]
    return weights_KK.sum(dim=0)


def _surgery(model: nn.Module, batch: PackedBatch) -> Tensor:
    """Return a loss with the gradients of PCGrad; weights that one task alone trains get its gradient as it is."""
    parameters, losses, gradients = _of_each_task(model, batch)
    weights = model.task_sum.weights(losses)
    fixed_K = torch.stack([*weights.values()])
    products_KK = fixed_K.outer(fixed_K) * _products(gradients, _trained_by(gradients, at_least=2), fixed_K.device)
    _note(model.task_sum, losses, weights, products_KK)
    projected_K = projected_weights(products_KK).to(fixed_K) * fixed_K
    rows = [projected_K if sum(has) > 1 else fixed_K for has in _which(gradients)]
    return _with_gradients(_total(losses, weights), parameters, _sums(gradients, rows))


def _balance(model: nn.Module, batch: PackedBatch) -> Tensor:
    """Return a loss with the gradients of GradNorm, those of its weights included."""
    tasks = model.task_sum
    parameters, losses, gradients = _of_each_task(model, batch)
    shared = _trained_by(gradients, at_least=len(losses))
    if not shared:
        raise ConfigError("task_weighting=gradnorm needs weights that all tasks train; freeze fewer groups")
    weights = tasks.weights(losses)
    weights_K = torch.stack([*weights.values()]).detach()
    products_KK = _products(gradients, shared, weights_K.device)
    _note(tasks, losses, weights, weights_K.outer(weights_K) * products_KK)
    sums = _sums(gradients, [weights_K] * len(parameters))
    log_weights = tasks.weighting.log_weights
    if log_weights.requires_grad:
        losses_K = torch.stack([loss.detach() for loss in losses.values()])
        imbalance = tasks.weighting.imbalance(products_KK.diagonal().sqrt(), losses_K)
        sums[_place(parameters, log_weights)] = torch.autograd.grad(imbalance, log_weights)[0]
    return _with_gradients(_total(losses, weights), parameters, sums)


def _alternate(model: nn.Module, batch: PackedBatch) -> Tensor:
    """Return a loss that trains one task, all but the connection of tasks, or this connection alone."""
    tasks, connection = model.task_sum, model.cross_task
    of_connection = [] if connection is None else [one for one in connection.own_parameters() if one.requires_grad]
    phase = tasks.weighting.next_phase(len(tasks.tasks) + bool(of_connection))
    if phase < len(tasks.tasks):
        names = [[*tasks.tasks][phase]]
        parameters = _of_task(model, names[0])
    else:
        names, parameters = connection.names, of_connection
    losses = {name: tasks.tasks[name](model, batch) for name in names}
    fixed = dict(zip(tasks.tasks, tasks.weighting.fixed.tolist(), strict=True))
    tasks.note(losses, {name: fixed[name] * (name in losses) for name in tasks.tasks})
    loss = _total(losses, fixed)
    return _with_gradients(loss, parameters, _gradients(loss, parameters))


STEPS: dict[type[Weighting], Callable[[nn.Module, PackedBatch], Tensor]] = {
    PCGrad: _surgery,
    GradNorm: _balance,
    Alternating: _alternate,
}
"""How a step is made, by weighting; all others need the sum of the losses only."""


def _trainable(model: nn.Module) -> list[nn.Parameter]:
    return [weight for weight in model.parameters() if weight.requires_grad]


def _of_task(model: nn.Module, name: str) -> list[nn.Parameter]:
    """Return the trainable parameters without those of the connection of tasks, but with the task's head in it."""
    others: set[nn.Parameter] = set()
    if model.cross_task is not None:
        heads = model.cross_task.heads
        others = {*model.cross_task.parameters()} - {*(heads[name].parameters() if name in heads else ())}
    return [weight for weight in _trainable(model) if weight not in others]


def _place(parameters: Sequence[Tensor], parameter: Tensor) -> int:
    return next(place for place, one in enumerate(parameters) if one is parameter)


def _of_each_task(model, batch) -> tuple[list[nn.Parameter], dict[str, Tensor], list[list[Tensor | None]]]:
    """Return the trainable parameters, the losses of the tasks, and for each task its gradients of the parameters."""
    parameters = _trainable(model)
    losses, gradients = {}, []
    for name, task in model.task_sum.tasks.items():
        loss = task(model, batch)
        losses[name] = loss.detach()
        gradients.append(_gradients(loss, parameters))
    return parameters, losses, gradients


def _gradients(loss: Tensor, parameters: Sequence[Tensor]) -> list[Tensor | None]:
    if not loss.requires_grad:
        return [None] * len(parameters)
    with torch.autocast(loss.device.type, enabled=False):
        return list(torch.autograd.grad(loss, parameters, allow_unused=True))


def _which(gradients: list[list[Tensor | None]]) -> list[list[bool]]:
    """Return for each parameter which tasks have a gradient of it."""
    return [[gradient is not None for gradient in column] for column in zip(*gradients, strict=True)]


def _trained_by(gradients: list[list[Tensor | None]], at_least: int) -> list[int]:
    """Return the numbers of the parameters that so many tasks have gradients of."""
    return [number for number, has in enumerate(_which(gradients)) if sum(has) >= at_least]


def _products(gradients: list[list[Tensor | None]], numbers: Sequence[int], device: torch.device) -> Tensor:
    """Return the inner products [K, K] of the tasks' gradients of the parameters with these numbers."""
    products_KK = torch.zeros(len(gradients), len(gradients), dtype=torch.float64, device=device)
    with torch.autocast(device.type, enabled=False):
        for number in numbers:
            some = next(row[number] for row in gradients if row[number] is not None)
            rows = [torch.zeros_like(some) if row[number] is None else row[number] for row in gradients]
            flat = at_least_float32(torch.stack([row.flatten() for row in rows]))
            products_KK += flat @ flat.t()
    return products_KK


def _sums(gradients: list[list[Tensor | None]], weights: Sequence[Tensor]) -> list[Tensor | None]:
    """Return the weighted sums of the tasks' gradients, with the weights [K] of each parameter."""
    sums = []
    for column, row in zip(zip(*gradients, strict=True), weights, strict=True):
        parts = [weight * one for weight, one in zip(row, column, strict=True) if one is not None]
        sums.append(sum(parts) if parts else None)
    return sums


def _total(losses: dict[str, Tensor], weights) -> Tensor:
    return sum(weights[name] * loss for name, loss in losses.items())


def _note(tasks, losses: dict[str, Tensor], weights: dict[str, Tensor], products_KK: Tensor):
    """Keep what a step measured: the losses, their weights, the lengths of the weighted gradients, and conflicts."""
    tasks.note(losses, weights)
    tasks.measures.add("gradient_lengths", dict(zip(losses, products_KK.diagonal().sqrt().unbind(), strict=True)))
    pairs = [products_KK[one, other] < 0 for one, other in combinations(range(len(products_KK)), 2)]
    if pairs:
        tasks.measures.add("gradient_conflicts", torch.stack(pairs).double().mean())


def _with_gradients(loss: Tensor, parameters: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> Tensor:
    """Return the value of a loss, whose backward pass gives these gradients; parameters with None get none."""
    pairs = [pair for pair in zip(parameters, gradients, strict=True) if pair[1] is not None]
    if not pairs:
        return loss.detach().requires_grad_()
    return _Given.apply(loss.detach(), [gradient for _, gradient in pairs], *(parameter for parameter, _ in pairs))


class _Given(torch.autograd.Function):
    """A value whose gradients are given."""

    @staticmethod
    def forward(ctx, value, gradients, *parameters):
        ctx.save_for_backward(*gradients)
        return value.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx, scale):
        return None, None, *(gradient * scale for gradient in ctx.saved_tensors)

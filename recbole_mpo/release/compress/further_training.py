"""Train a compressed model further, on its run's dataset: entries that were pruned stay zero."""

import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from recbole_mpo.common.recbole_globals import without_tensorboard
from recbole_mpo.quick_start.experiment import Experiment
from recbole_mpo.release.compress.context import Context, matrices

CPU = torch.device("cpu")


class FurtherTraining:
    """Trains models of an experiment for a few epochs, and keeps the best epoch on the valid part.

    Args:
        experiment: the experiment, on the processor; its settings decide the learning rate and all but the epochs.
        device: where to train; models are on the processor before and after.

    Attributes:
        seconds: time that all trainings took.
    """

    def __init__(self, experiment: Experiment, device: torch.device = CPU):
        self.experiment, self.device, self.seconds = experiment, device, 0.0

    def __call__(
        self, model: nn.Module, context: Context, epochs: int, is_trained: Callable[[str], bool] | None = None
    ):
        """Train a model in place.

        Args:
            model: the model.
            context: which entries stay zero, and the factor of the L1 norm.
            epochs: number of epochs.
            is_trained: which parameters to train, by name; those that are trained anyway when left out.
        """
        begin = time.perf_counter()
        self.experiment.seed()
        self.experiment.config["epochs"] = epochs
        train, valid = self.experiment.data.loaders[:2]
        with (
            tempfile.TemporaryDirectory() as folder,
            self._on_device(model),
            _only(model, is_trained),
            _constrained(model, context),
        ):
            with without_tensorboard():
                trainer = self.experiment.trainer(model, folder)
            has_valid = len(valid._dataset) > 0
            trainer.fit(train, valid if has_valid else None, verbose=True, saved=True, show_progress=False)
            trainer.load(Path(folder) / "best.pth")
        model.eval()
        self.seconds += time.perf_counter() - begin

    @contextmanager
    def _on_device(self, model: nn.Module):
        """Have a model, and the experiment that trains it, on the device in the block."""
        try:
            self._move(model, self.device)
            yield
        finally:
            self._move(model, CPU)

    def _move(self, model: nn.Module, device: torch.device):
        self.experiment.config["device"] = model.device = device
        model.to(device)


@contextmanager
def _only(model: nn.Module, is_trained: Callable[[str], bool] | None):
    """Train only some parameters in the block."""
    former = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    try:
        if is_trained is not None:
            for name, parameter in model.named_parameters():
                parameter.requires_grad_(is_trained(name))
        yield
    finally:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(former[name])


@contextmanager
def _constrained(model: nn.Module, context: Context):
    """Add the penalty to gradients in the block, and leave out those of entries that stay zero.

    An entry that is zero and never gets a gradient has no momentum, and no decay changes it.
    """
    hooks = []
    penalised = {f"{name}.weight" for name in matrices(model)} if context.penalty else set()
    for name, parameter in model.named_parameters():
        mask = context.masks.get(name)
        if parameter.requires_grad and (mask is not None or name in penalised):
            penalty = context.penalty if name in penalised else 0.0
            hooks.append(parameter.register_hook(_changed(parameter, mask, penalty)))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _changed(parameter: nn.Parameter, mask: Tensor | None, penalty: float) -> Callable[[Tensor], Tensor]:
    mask = None if mask is None else mask.to(parameter.device)

    def change(gradient: Tensor) -> Tensor:
        if penalty:
            gradient = gradient + penalty * torch.sign(parameter.detach())
        return gradient if mask is None else gradient * mask

    return change

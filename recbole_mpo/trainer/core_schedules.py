"""Which MPO cores are trained when: more of them each time that validation stops improving.

The paper leaves the choice of a strategy to the reader. ``mpo_strategy: progressive`` begins with the fewest trained
cores, so that a small dataset or a good pre-trained model stops there.
"""

import logging

from torch import nn

from recbole_mpo.common.errors import CheckpointError, ConfigError
from recbole_mpo.layers.mpo.convert import mpo_layers, train_cores
from recbole_mpo.model.parameters import count_parameters

logger = logging.getLogger(__name__)

STAGES = ("light", "full", "expand")
"""What is trained, one stage after another: all cores but the central one, the central one too, inserted cores too."""


class CoreStages:
    """Trains the cores of a model's MPO layers in stages.

    All cores exist from the beginning, inserted ones as identities, so that checkpoints of all stages have the same
    parameters.

    Args:
        model: the model, converted with ``strategy="progressive"``; its cores are set to the first stage.
        patience: number of evaluations without improvement after which the next stage begins.
        stopping_step: number of them after which training stops, in the last stage.

    Raises:
        ConfigError: all cores are frozen, or training would stop before the next stage.
    """

    def __init__(self, model: nn.Module, patience: int, stopping_step: int):
        if patience > stopping_step:
            raise ConfigError(
                f"mpo_stage_patience {patience} is above stopping_step {stopping_step}: training would stop before "
                "its next stage"
            )
        layers = mpo_layers(model).values()
        self.layers = [layer for layer in layers if any(core.requires_grad for core in layer.cores)]
        if not self.layers:
            raise ConfigError("mpo_strategy=progressive trains MPO cores, and freeze names their group")
        self.model, self.patience, self.number = model, patience, 0
        self.go_to(0)

    @property
    def name(self) -> str:
        """Return the name of the present stage, one of ``STAGES``."""
        return STAGES[self.number]

    @property
    def trainable(self) -> int:
        """Return how many parameters are trained at present."""
        return count_parameters(self.model)["trainable"]

    def is_due(self, evaluations: int) -> bool:
        """Return whether the next stage begins after so many evaluations without improvement."""
        return evaluations >= self.patience and self.number + 1 < len(STAGES)

    def go_to(self, number: int):
        """Set which cores are trained; the optimizer must be built afterwards.

        Args:
            number: place of the stage in ``STAGES``.
        """
        self.number = number
        for layer in self.layers:
            train_cores(layer, self.name)

    def restore(self, number: int | None, path):
        """Go to the stage of a checkpoint.

        Args:
            number: place of the stage in ``STAGES``.
            path: file of the checkpoint, for the message.

        Raises:
            CheckpointError: there is no such stage.
        """
        if number is None or not 0 <= number < len(STAGES):
            raise CheckpointError(f"checkpoint {path} does not say which cores are trained, so it cannot be resumed")
        self.go_to(number)

    def advance(self, best: float):
        """Begin the next stage, and log it.

        Args:
            best: best value of the validation metric so far.
        """
        before = f"{self.name}: {self.trainable:,} parameters, best {best:.4f}"
        self.go_to(self.number + 1)
        logger.info("from here on %s: %s parameters are trained (before, %s)", self.name, f"{self.trainable:,}", before)


def make_stages(config, model: nn.Module) -> CoreStages | None:
    """Return the stages that the settings ask for; None unless ``mpo_strategy`` is ``progressive``."""
    if config["mpo_strategy"] != "progressive":
        return None
    return CoreStages(model, config["mpo_stage_patience"], config["stopping_step"])

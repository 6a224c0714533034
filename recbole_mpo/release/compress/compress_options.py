"""What is asked of compressing, beside the checkpoint."""

from dataclasses import dataclass, field

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.common.values import check_choice
from recbole_mpo.release.compress.method import Step

TIMES = ("with", "without", "only")


@dataclass(frozen=True)
class Options:
    """How a checkpoint is compressed.

    Attributes:
        method: chains of methods, parted by commas or blanks.
        finetune_epochs: epochs of further training; one report may have several.
        l1: factor of the L1 norm in further training.
        target_ratio: shares of an artefact's bytes, by which strengths are chosen that chains leave out; a row each.
        largest_drop: share of the quality on the valid part that squeezing may lose.
        seed: of the clustering of item vectors.
        times: whether rows have times: ``with`` them, ``without``, or ``only`` those of finished variants again.
    """

    method: str
    finetune_epochs: list[int] = field(default_factory=lambda: [0])
    l1: float = 0.0
    target_ratio: list[float] = field(default_factory=list)
    largest_drop: float = 0.05
    seed: int = 2020
    times: str = "with"

    def check(self):
        """Refuse values out of range.

        Raises:
            ConfigError: a number is out of range, or a penalty has no training to act in.
        """
        check_choice("times", self.times, TIMES)
        for ratio in self.target_ratio:
            if not 0 < ratio < 1:
                raise ConfigError(f"target_ratio must be between 0 and 1, not {ratio:g}")
        if not self.l1 >= 0 or not 0 <= self.largest_drop < 1:
            raise ConfigError("l1 must be at least 0, and largest_drop from 0 up to 1")
        if any(epochs < 0 for epochs in self.finetune_epochs):
            raise ConfigError("finetune_epochs must be whole numbers from 0 up")
        if self.l1 and not any(self.finetune_epochs):
            raise ConfigError("l1 has no effect without finetune_epochs")

    def check_used(self, steps: list[Step]):
        """Refuse values that none of these steps uses.

        Raises:
            ConfigError: a value has no effect; the message names it.
        """
        if self.target_ratio and all(step.strength is not None for step in steps):
            raise ConfigError("target_ratio chooses strengths that are left out, but all are given; leave it out")
        if self.l1 and not any(step.method.is_trained for step in steps):
            raise ConfigError("l1 acts in further training, but no method is trained further; leave it out")

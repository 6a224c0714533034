"""UniSRec with low-rank updates of frozen matrices: the common alternative to MPORecLight."""

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.layers.lora import convert_to_lora
from recbole_mpo.model.unisrec import UniSRec


class LoRA(UniSRec):
    """UniSRec with frozen adaptor matrices and trained low-rank updates of them (Hu et al., ICLR 2022).

    By default it trains about as many parameters as MPORecLight. Like MPORecLight, it is meant for pre-trained weights
    (``pretrained``); without them the frozen matrices are random.

    Args:
        config: settings of the run.
        dataset: training part of the run's dataset.

    Raises:
        ConfigError: the LoRA settings (``lora_*``) do not fit the model.
    """

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        try:
            convert_to_lora(self, config["lora_target_modules"], config["lora_rank"], config["lora_alpha"])
        except ValueError as problem:
            raise ConfigError(f"the LoRA settings (lora_*) do not fit the model: {problem}") from problem

"""UniSRec with low-rank updates of frozen matrices: what a practitioner would use where MPORecLight is used."""

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.layers.lora import convert_to_lora
from recbole_mpo.model.sequential import UniSRec


class LoRA(UniSRec):
    """UniSRec whose adaptor matrices are frozen and take a low-rank update (Hu et al., ICLR 2022).

    By default it trains as many parameters as MPORecLight does. Like it, it is meant for pre-trained weights
    (``pretrained``); without them the frozen matrices are random.
    """

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        try:
            convert_to_lora(self, config["lora_target_modules"], config["lora_rank"], config["lora_alpha"])
        except ValueError as problem:
            raise ConfigError(f"the LoRA settings (lora_*) do not fit the model: {problem}") from problem

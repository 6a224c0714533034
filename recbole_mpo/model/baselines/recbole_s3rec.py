"""RecBole's S3Rec as one model that is pre-trained and then fine-tuned.

RecBole needs two runs for that. The model of the second run reads the weights of the first while it is built, with a
``torch.load`` that runs code in old versions of torch and fails in new ones. Here the model is always built for the
first stage. It has the same parameters in both; only ``train_stage`` and ``loss_fct`` differ.
"""

from recbole.model.loss import BPRLoss
from torch import Tensor, nn

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.model.abstract_recommender import ModelContract, PretrainedWeights

PRETRAINING, FINE_TUNING = "pretrain", "finetune"
FINE_TUNING_LOSSES = {"CE": nn.CrossEntropyLoss, "BPR": BPRLoss}


class S3RecContract(ModelContract):
    """Mixin for RecBole's S3Rec that builds it for the first stage, whatever stages the settings ask for.

    Args:
        config: settings of the run.
        dataset: training part of the run's dataset.

    Raises:
        ConfigError: ``pretrained`` is set, but ``train_stage`` is not ``finetune``.
    """

    # Both stages use the same dataset, so the item table is copied too.
    fresh_weights = ()

    def __init__(self, config, dataset):
        if _stage(config) == PRETRAINING and config["pretrained"]:
            raise ConfigError("pretrained is used only with train_stage=finetune; give both or neither")
        super().__init__(config.with_values(train_stage=PRETRAINING), dataset)
        self._asked_stage = _stage(config)

    def check_fresh_start(self):
        """Refuse fine-tuning without pre-trained weights.

        Raises:
            ConfigError: ``train_stage`` is ``finetune``, and ``pretrained`` is not set.
        """
        if self._asked_stage == FINE_TUNING:
            raise ConfigError(
                "train_stage=finetune starts from pre-trained weights: name their file in pretrained (a run saves "
                "them as pretrained.pth), or leave train_stage out to pre-train and fine-tune in one run"
            )

    def carry_over(self, source: PretrainedWeights) -> dict[str, Tensor]:
        """Refuse weights of other items; return no weights, since all are copied by name.

        Args:
            source: the checkpoint.

        Raises:
            CheckpointError: the checkpoint has other items.
        """
        if source.item_hash is not None:
            self.check_items(source.item_hash, source.path)
        return {}

    def begin_fine_tuning(self, loss_type: str):
        """Switch to the second stage, as RecBole builds it, with the loss ``CE`` or ``BPR``."""
        self.train_stage = FINE_TUNING
        self.loss_fct = FINE_TUNING_LOSSES[loss_type]()


def pretraining_epochs(config) -> int:
    """Return ``pretrain_epochs``; when left out, a third of ``epochs``, rounded up; 0 if only fine-tuning."""
    if _stage(config) == FINE_TUNING:
        return 0
    epochs = config["pretrain_epochs"]
    return -(-config["epochs"] // 3) if epochs is None else epochs


def _stage(config) -> str:
    """Return the setting ``train_stage`` in lower case."""
    return config["train_stage"].lower()

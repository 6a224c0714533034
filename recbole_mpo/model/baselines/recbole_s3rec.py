"""RecBole's own S3Rec as one model that is pre-trained and then fine-tuned.

RecBole makes two runs of it. The second one's model reads the first one's weights while it is built, by a torch.load
that runs code in old versions of torch and fails in new ones. Here the model is always built for the first stage. It
has the same parameters in both: what differs is ``train_stage`` and ``loss_fct``.
"""

from recbole.model.loss import BPRLoss
from torch import Tensor, nn

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.model.abstract_recommender import ModelContract, PretrainedWeights

PRETRAINING, FINE_TUNING = "pretrain", "finetune"
FINE_TUNING_LOSSES = {"CE": nn.CrossEntropyLoss, "BPR": BPRLoss}


class S3RecContract(ModelContract):
    """Mixed in before RecBole's S3Rec: builds it at its first stage, for whatever stages the settings ask for.

    Raises:
        ConfigError: settings of the stages that do not fit together.
    """

    # Both stages are of one dataset, item table included.
    fresh_weights = ()

    def __init__(self, config, dataset):
        if _stage(config) == PRETRAINING and config["pretrained"]:
            raise ConfigError("pretrained is read with train_stage=finetune alone; give both or neither")
        super().__init__(config.with_values(train_stage=PRETRAINING), dataset)
        self._asked_stage = _stage(config)

    def check_fresh_start(self):
        """Refuse fine-tuning alone without weights to start from.

        Raises:
            ConfigError: it is what was asked for.
        """
        if self._asked_stage == FINE_TUNING:
            raise ConfigError(
                "train_stage=finetune starts from pre-trained weights: name their file in pretrained (a run keeps "
                "them as pretrained.pth), or leave train_stage out, which pre-trains and fine-tunes in one run"
            )

    def carry_over(self, source: PretrainedWeights) -> dict[str, Tensor]:
        """Refuse the weights of other items; all of them go over by name.

        Raises:
            CheckpointError: the file says that its items are others.
        """
        if source.item_hash is not None:
            self.check_items(source.item_hash, source.path)
        return {}

    def begin_fine_tuning(self, loss_type: str):
        """Switch to the second stage, as RecBole builds it."""
        self.train_stage = FINE_TUNING
        self.loss_fct = FINE_TUNING_LOSSES[loss_type]()


def pretraining_epochs(config) -> int:
    """Return the epochs of pre-training: a third of ``epochs``, rounded up, where ``pretrain_epochs`` is left out."""
    if _stage(config) == FINE_TUNING:
        return 0
    epochs = config["pretrain_epochs"]
    return -(-config["epochs"] // 3) if epochs is None else epochs


def _stage(config) -> str:
    """Return the stage that is asked for; settings name it in any capitals."""
    return config["train_stage"].lower()

"""RecBole's own S3Rec, its class untouched, as one model that is pre-trained and then fine-tuned.

RecBole makes two runs of it. The second one's model reads the first one's weights while it is built, by a torch.load
that runs code in old versions of torch and fails in new ones. Here the model is always built for the first stage. It
has the same parameters in both: what differs is ``train_stage`` and ``loss_fct``.
"""

from recbole.model.loss import BPRLoss
from torch import nn

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.common.values import check_choice

PRETRAINING, FINE_TUNING = "pretrain", "finetune"
FINE_TUNING_LOSSES = {"CE": nn.CrossEntropyLoss, "BPR": BPRLoss}


def build_s3rec(model_class, config, dataset):
    """The model at its first stage, for whatever stages the settings ask for.

    Raises:
        ConfigError: settings of the stages that do not fit together.
    """
    _check_stages(config)
    return model_class(config.with_values(train_stage=PRETRAINING), dataset)


def _check_stages(config):
    stage, weights = config["train_stage"], config["pretrained"]
    check_choice("train_stage", stage, (PRETRAINING, FINE_TUNING))
    if stage == FINE_TUNING and not weights:
        raise ConfigError(
            "train_stage=finetune starts from pre-trained weights: name their file in pretrained (a run keeps "
            "them as pretrained.pth), or leave train_stage out, which pre-trains and fine-tunes in one run"
        )
    if stage == PRETRAINING and weights:
        raise ConfigError("pretrained is read with train_stage=finetune alone; give both or neither")
    pretraining_epochs(config)


def pretraining_epochs(config) -> int:
    """Epochs of pre-training: a third of ``epochs``, rounded up, where ``pretrain_epochs`` is left out."""
    epochs = config["pretrain_epochs"]
    if config["train_stage"] == FINE_TUNING:
        return 0
    if epochs is None:
        return -(-config["epochs"] // 3)
    if type(epochs) is not int or epochs < 0:
        raise ConfigError(f"pretrain_epochs must be a whole number from 0 on, not {epochs!r}")
    return epochs


def begin_fine_tuning(model, loss_type: str):
    """Switches the model to its second stage, as RecBole builds it."""
    model.train_stage = FINE_TUNING
    model.loss_fct = FINE_TUNING_LOSSES[loss_type]()

"""RecBole's S3Rec: its two runs as one."""

from logging import getLogger
from pathlib import Path

from recbole.utils import init_seed

from recbole_mpo.model.baselines.recbole_s3rec import begin_fine_tuning, pretraining_epochs
from recbole_mpo.trainer import checkpoint
from recbole_mpo.trainer.stages import PretrainingMixin
from recbole_mpo.trainer.trainer import RunTrainer


class S3RecTrainer(PretrainingMixin, RunTrainer):
    """For RecBole's S3Rec: its two runs as one, with the numbers that two runs of one seed have."""

    def __init__(self, config, model, run_dir):
        super().__init__(config, model, run_dir)
        self.pretrain_epochs = pretraining_epochs(config)

    def _pretraining_loader(self, train_data):
        config = self.config.with_values(train_batch_size=self.config["pretrain_batch_size"])
        return type(train_data)(config, train_data._dataset, train_data._sampler, shuffle=config["shuffle"])

    def _pretraining_loss(self, batch):
        return self.model.calculate_loss(batch)

    def _begin_fine_tuning(self):
        if self.start_epoch == 0:
            if self.config["pretrained"]:
                load_pretrained(self.model, self.config["pretrained"])
            # RecBole's second run begins from the seed.
            init_seed(self.config["seed"], self.config["reproducibility"])
        begin_fine_tuning(self.model, self.config["loss_type"])


def load_pretrained(model, path: str | Path):
    """Loads ``pretrained.pth``, or the weights of any checkpoint of plain data that has a ``state_dict``.

    Raises:
        CheckpointError: missing, pickled, of other items or of another architecture.
    """
    state = checkpoint.load_checkpoint(path)
    if "item_hash" in state:
        checkpoint.check_identity(state, model, path)
    checkpoint.load_weights(model, state["state_dict"], path)
    getLogger().info("fine-tuning from %s", path)

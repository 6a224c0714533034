"""The trainer of RecBole's S3Rec: its two runs in one."""

from recbole.utils import init_seed

from recbole_mpo.model.baselines.recbole_s3rec import pretraining_epochs
from recbole_mpo.trainer.stages import Pretraining, PretrainingMixin
from recbole_mpo.trainer.trainer import RunTrainer


class S3RecTrainer(PretrainingMixin, RunTrainer):
    """Trainer of RecBole's S3Rec: its two runs in one, with the same figures as two runs with the same seed."""

    def __init__(self, config, model, run_dir):
        def make_loader(train_data):
            longer = config.with_values(train_batch_size=config["pretrain_batch_size"])
            return type(train_data)(longer, train_data._dataset, train_data._sampler, shuffle=config["shuffle"])

        def begin_fine_tuning(starts: bool):
            if starts:
                # In RecBole the second run seeds the generators again.
                init_seed(config["seed"], config["reproducibility"])
            model.begin_fine_tuning(config["loss_type"])

        plan = Pretraining(pretraining_epochs(config), make_loader, model.calculate_loss, begin_fine_tuning)
        super().__init__(config, model, run_dir, plan)

"""The trainer of models that score by item vectors: MPO cores in stages, several tasks, several processes."""

import torch

from recbole_mpo.layers.mpo.convert import merged
from recbole_mpo.trainer.core_schedules import make_stages
from recbole_mpo.trainer.optimizer import MULTIPLIERS, optimizer_groups
from recbole_mpo.trainer.task_gradients import step_loss
from recbole_mpo.trainer.trainer import RunTrainer

# What torch updates in one pass over a parameter instead of one pass per operation.
FUSED_LEARNERS = ("adam", "adamw")


class ItemVectorTrainer(RunTrainer):
    """For models whose item vectors are computed once per evaluation; trains what is not frozen, by groups."""

    def __init__(self, config, model, run_dir):
        # Before RecBole builds the optimizer, which has what is trained at first.
        stages = make_stages(config, model)
        super().__init__(config, model, run_dir)
        self.stages = stages

    def _build_optimizer(self, **kwargs):
        multipliers = {key: self.config[key] for key in MULTIPLIERS if self.config[key] is not None}
        groups = optimizer_groups(self.model, self.learning_rate, multipliers)
        if self.learner.lower() in FUSED_LEARNERS:
            groups = [{**group, "fused": True} for group in groups]
        return super()._build_optimizer(params=groups, **kwargs)

    def _train_epoch(self, train_data, epoch_idx, loss_func=None, show_progress=False):
        loss = super()._train_epoch(train_data, epoch_idx, loss_func or self._loss, show_progress)
        self.history[-1].update(self.model.end_epoch())
        return loss

    def _loss(self, batch):
        """Return the model's loss; with ``enable_amp`` in bfloat16 wherever RecBole's own choice is float16."""
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.enable_amp):
            return step_loss(self.model, self._own_part(batch))

    def _own_part(self, batch):
        ranks = self.model.ranks
        return batch if ranks.count == 1 or self.train_loader.is_dealt else batch.dealt(ranks.number, ranks.count)

    @torch.no_grad()
    def evaluate(self, eval_data, load_best_model=True, model_file=None, show_progress=False):
        """Return the metrics of ``eval_data``, every MPO weight merged once."""
        if load_best_model:
            self.load(model_file or self.saved_model_file)
        self.model.eval()
        with merged(self.model):
            return super().evaluate(eval_data, load_best_model=False, show_progress=show_progress)

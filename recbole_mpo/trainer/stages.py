"""Models that are pre-trained on other objectives before the run proper, in one run."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from recbole_mpo.data.loader import PackedLoader
from recbole_mpo.trainer import checkpoint
from recbole_mpo.trainer.trainer import ItemVectorTrainer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pretraining:
    """What comes before a run's own training.

    Attributes:
        epochs: of it.
        make_loader: from the run's training loader to that of pre-training.
        loss: from a batch to its loss.
        begin_fine_tuning: prepares the model for the run proper; called with whether that starts now, else it goes on.
    """

    epochs: int
    make_loader: Callable
    loss: Callable[[object], Tensor]
    begin_fine_tuning: Callable[[bool], None] = lambda starts: None


class PretrainingMixin:
    """Pre-trains a model first and keeps the result in ``pretrained.pth``; mixed in before a trainer of runs."""

    def __init__(self, config, model, run_dir, plan: Pretraining):
        super().__init__(config, model, run_dir)
        self.plan = plan

    def fit(self, train_data, valid_data=None, verbose=True, saved=True, show_progress=False, callback_fn=None):
        """Pre-train, then train as every run does; a run that is resumed has all or part of the first behind it."""
        if self.start_epoch == 0 and not self.pretraining and self.plan.epochs:
            self._pretrain(self._continued(self.plan.make_loader(train_data), train_data), saved, show_progress)
            self.train_loader = train_data
            self._end_pretraining(saved)
        self.plan.begin_fine_tuning(self.start_epoch == 0)
        return super().fit(train_data, valid_data, verbose, saved, show_progress, callback_fn)

    def _continued(self, loader, train_data):
        """Return the loader, drawing on where a run that is resumed within its pre-training stopped.

        A resumed run hands what was drawn last to the loader of the run proper, which has drawn nothing yet.
        """
        if self.history and not isinstance(loader, PackedLoader):
            loader.generator.set_state(train_data.generator.get_state())
            train_data.generator.manual_seed(self.config["seed"])
        return loader

    def _pretrain(self, loader, saved: bool, show_progress: bool):
        self.train_loader = loader
        logger.info("pre-training: %d epochs of %d steps", self.plan.epochs, len(loader))
        for epoch in range(len(self.history), self.plan.epochs):
            self._train_epoch(loader, epoch, self.plan.loss, show_progress)
            logger.info("pre-training %d [loss: %.4f]", epoch, self.history[-1]["train_loss"])
            if saved:
                self._save_before_fine_tuning()
            if saved and self.config["save_step"] and (epoch + 1) % self.config["save_step"] == 0:
                self._save_pretrained(f"pretrained-{epoch + 1}.pth")

    def _end_pretraining(self, saved: bool):
        self.pretraining, self.history = self.history, []
        # What Adam remembers of the other loss is of no use to this one.
        self.optimizer = self._build_optimizer()
        if saved:
            self._save_pretrained("pretrained.pth")
            self._save_before_fine_tuning()

    def _save_before_fine_tuning(self):
        """So that an interruption before the first evaluation costs an epoch at most."""
        self._save_checkpoint(-1, verbose=False, saved_model_file=self.last_file)

    def _save_pretrained(self, name: str):
        state = {
            "model": self.config["model"],
            "item_hash": self.model.item_hash,
            "state_dict": self.model.state_dict(),
        }
        checkpoint.save_checkpoint(state, self.run_dir / name)


class PretrainingTrainer(PretrainingMixin, ItemVectorTrainer):
    """For this package's models, which tell the epochs, the batch and the loss of their pre-training."""

    def __init__(self, config, model, run_dir):
        def make_loader(train_data):
            return train_data.of_histories(model.pretrain_batch_size, model.max_seq_length)

        super().__init__(config, model, run_dir, Pretraining(model.pretrain_epochs, make_loader, self._full_precision))

    def _full_precision(self, batch) -> Tensor:
        # RecBole's mixed precision would be float16 here.
        with torch.autocast(self.device.type, enabled=False):
            return self.model.pretraining_loss(batch)

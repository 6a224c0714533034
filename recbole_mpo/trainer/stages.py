"""Trainers that first pre-train a model on other objectives, in the same run."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from recbole_mpo.data.loader import PackedLoader
from recbole_mpo.trainer import checkpoint
from recbole_mpo.trainer.epoch_lines import epoch_line
from recbole_mpo.trainer.item_vector_trainer import ItemVectorTrainer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pretraining:
    """How a model is pre-trained.

    Attributes:
        epochs: number of epochs.
        make_loader: function from the loader of fine-tuning to that of pre-training.
        loss: function from a batch to its loss.
        begin_fine_tuning: function that prepares the model for fine-tuning; its argument is whether fine-tuning starts
            now, rather than being resumed.
    """

    epochs: int
    make_loader: Callable
    loss: Callable[[object], Tensor]
    begin_fine_tuning: Callable[[bool], None] = lambda starts: None


class PretrainingMixin:
    """Mixin for a trainer that first pre-trains the model and saves the result in ``pretrained.pth``."""

    def __init__(self, config, model, run_dir, plan: Pretraining):
        super().__init__(config, model, run_dir)
        self.plan = plan

    def fit(self, train_data, valid_data=None, verbose=True, saved=True, show_progress=False, callback_fn=None):
        """Train in two stages, pre-training and fine-tuning; a resumed run continues with what is left of them."""
        if self.start_epoch == 0 and not self.pretraining and self.plan.epochs:
            self._pretrain(self._continued(self.plan.make_loader(train_data), train_data), saved, show_progress)
            self.train_loader = train_data
            self._end_pretraining(saved)
        self.plan.begin_fine_tuning(self.start_epoch == 0)
        return super().fit(train_data, valid_data, verbose, saved, show_progress, callback_fn)

    def _continued(self, loader, train_data):
        """Return the loader; if a run is resumed in pre-training, its generator continues where the run stopped.

        Resuming sets the generator of the loader of fine-tuning, which has not been used yet and is reset here.
        """
        if self.history and not isinstance(loader, PackedLoader):
            loader.generator.set_state(train_data.generator.get_state())
            train_data.generator.manual_seed(self.config["seed"])
        return loader

    def _pretrain(self, loader, saved: bool, show_progress: bool):
        self.train_loader = loader
        self._rates = self._make_schedule(self.plan.epochs)
        logger.info("pre-training: %d epochs of %d steps", self.plan.epochs, len(loader))
        for epoch in range(len(self.history), self.plan.epochs):
            self._train_epoch(loader, epoch, self.plan.loss, show_progress)
            logger.info("pre-training %s", epoch_line(self.history, self.plan.epochs, None))
            if saved:
                self._save_before_fine_tuning()
            if saved and self.config["save_step"] and (epoch + 1) % self.config["save_step"] == 0:
                self._save_pretrained(f"pretrained-{epoch + 1}.pth")

    def _end_pretraining(self, saved: bool):
        self.pretraining, self.history = self.history, []
        # Adam's averages of the other loss are of no use for this one.
        self.optimizer = self._build_optimizer()
        if saved:
            self._save_pretrained("pretrained.pth")
            self._save_before_fine_tuning()

    def _save_before_fine_tuning(self):
        """Write ``last.pth``, so that an interruption before the first evaluation costs at most one epoch."""
        self._save_checkpoint(-1, verbose=False, saved_model_file=self.last_file)

    def _save_pretrained(self, name: str):
        state = {
            "model": self.config["model"],
            "item_hash": self.model.item_hash,
            "state_dict": self.model.state_dict(),
        }
        checkpoint.save_checkpoint(state, self.run_dir / name)


class PretrainingTrainer(PretrainingMixin, ItemVectorTrainer):
    """Trainer of this package's models that define the epochs, batches and loss of their pre-training."""

    def __init__(self, config, model, run_dir):
        def make_loader(train_data):
            return train_data.of_histories(model.pretrain_batch_size, model.max_seq_length)

        super().__init__(config, model, run_dir, Pretraining(model.pretrain_epochs, make_loader, self._full_precision))

    def _full_precision(self, batch) -> Tensor:
        # RecBole's mixed precision would be float16 here.
        with torch.autocast(self.device.type, enabled=False):
            return self.model.pretraining_loss(batch)

"""Models that are pre-trained on other objectives before the run proper, in one run."""

from logging import getLogger

import torch

from recbole_mpo.trainer import checkpoint
from recbole_mpo.trainer.trainer import MPOTrainer


class PretrainingMixin:
    """Pre-trains a model first and keeps what came of it in ``pretrained.pth``; mixed in before a trainer of runs.

    What it is mixed into says how: ``pretrain_epochs``, ``_pretraining_loader(train_data)`` and
    ``_pretraining_loss(batch)``.
    """

    def fit(self, train_data, valid_data=None, verbose=True, saved=True, show_progress=False, callback_fn=None):
        """Pre-training, then as ever; a run that is resumed has all or part of it behind it."""
        if self.start_epoch == 0 and not self.pretraining and self.pretrain_epochs:
            self._pretrain(self._continued(self._pretraining_loader(train_data), train_data), saved, show_progress)
            self.train_loader = train_data
            self._end_pretraining(saved)
        self._begin_fine_tuning()
        return super().fit(train_data, valid_data, verbose, saved, show_progress, callback_fn)

    def _continued(self, loader, train_data):
        """The loader, drawing on where a run that is resumed within its pre-training stopped.

        A resumed run hands what was drawn last to the loader of the run proper, which has drawn nothing yet.
        """
        if self.history and hasattr(loader, "generator"):
            loader.generator.set_state(train_data.generator.get_state())
            train_data.generator.manual_seed(self.config["seed"])
        return loader

    def _pretrain(self, loader, saved: bool, show_progress: bool):
        self.train_loader = loader
        getLogger().info("pre-training: %d epochs of %d steps", self.pretrain_epochs, len(loader))
        for epoch in range(len(self.history), self.pretrain_epochs):
            self._train_epoch(loader, epoch, self._pretraining_loss, show_progress)
            getLogger().info("pre-training %d [loss: %.4f]", epoch, self.history[-1]["train_loss"])
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

    def _begin_fine_tuning(self):
        """What a model needs between its stages."""


class PretrainingTrainer(PretrainingMixin, MPOTrainer):
    """For this package's models, which tell the epochs, the batch and the loss of their pre-training."""

    @property
    def pretrain_epochs(self) -> int:
        return self.model.pretrain_epochs

    def _pretraining_loader(self, train_data):
        return train_data.of_histories(self.model.pretrain_batch_size, self.model.max_seq_length)

    def _pretraining_loss(self, batch):
        # RecBole's mixed precision would be float16 here.
        with torch.autocast(self.device.type, enabled=False):
            return self.model.pretraining_loss(batch)

"""Training and evaluation: RecBole's loop, with safe checkpoints, exact resume and rank-based evaluation."""

import logging
import time
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import torch
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.trainer import Trainer

from recbole_mpo.common.progress import progress_bar
from recbole_mpo.common.recbole_globals import without_future_warnings
from recbole_mpo.data.known_items import KnownItems
from recbole_mpo.data.loader import EpochLoader
from recbole_mpo.model.abstract_recommender import ItemVectorRecommender
from recbole_mpo.trainer import checkpoint, finite, random_state, ranking
from recbole_mpo.trainer.checkpoint_content import check_content
from recbole_mpo.trainer.core_schedules import CoreStages
from recbole_mpo.trainer.data_identity import identity
from recbole_mpo.trainer.distributed import adding_gradients, seed_noise
from recbole_mpo.trainer.epoch_lines import epoch_line
from recbole_mpo.trainer.first_items import FirstItems
from recbole_mpo.trainer.late_evidence import FitsEvidence
from recbole_mpo.trainer.learning_rate import RateSchedule
from recbole_mpo.trainer.optimizer import load_optimizer
from recbole_mpo.trainer.trimmed_batches import trimmed_loss, trimmed_scores
from recbole_mpo.trainer.weight_average import WeightAverage

logger = logging.getLogger(__name__)


class RunTrainerMixin(FitsEvidence):
    """What every run gets, RecBole's own models included; mixed in before any of RecBole's trainers.

    ``best.pth`` and ``last.pth`` in the run's folder replace RecBole's pickled files. ``last.pth`` is written
    after each evaluation and holds all that :meth:`resume` needs to go on as if never interrupted.
    """

    def __init__(self, config, model, run_dir):
        super().__init__(config, model)
        self.run_dir = Path(run_dir)
        self.saved_model_file = str(self.run_dir / "best.pth")
        self.last_file = self.run_dir / "last.pth"
        self.history: list[dict] = []
        self.pretraining: list[dict] = []
        self.train_loader = None
        self.is_finished = False
        self.says_epochs = self.validates = False
        self.known_items: KnownItems | None = None
        self.average: WeightAverage | None = None
        self._rates: RateSchedule | None = None
        self.stages: CoreStages | None = None
        # RecBole would clip the gradients of one process.
        self.clip_of_sums = None
        if model.ranks.count > 1:
            self.clip_of_sums, self.clip_grad_norm = self.clip_grad_norm, None

    def fit(self, train_data, valid_data=None, verbose=True, saved=True, show_progress=False, callback_fn=None):
        """Train until the epochs are done or validation stops improving; return RecBole's pair."""
        self.train_loader = train_data
        if self.is_finished:
            return self.best_valid_score, self.best_valid_result
        self.says_epochs = verbose
        self._begin_average()
        self.validates = bool(valid_data) and self.eval_step > 0

        def after_evaluation(epoch, score):
            if verbose:
                self._say_evaluated(epoch)
            if self.stages is not None and self.stages.is_due(self.cur_step):
                self._begin_stage()
            if saved:
                self._save_checkpoint(epoch, verbose=False, saved_model_file=self.last_file)
            if callback_fn:
                callback_fn(epoch, score)

        # RecBole's own four lines per epoch are left out; this class says the same in one.
        return super().fit(train_data, valid_data, False, saved, show_progress, after_evaluation)

    def _say_evaluated(self, epoch: int):
        logger.info(epoch_line(self.history, self.epochs, self.valid_metric, is_best=self.cur_step == 0))
        if self.cur_step > self.stopping_step:
            best = epoch - self.cur_step * self.eval_step
            logger.info("stopped: no better %s after epoch %d", self.valid_metric.lower(), best)

    def _begin_stage(self):
        """Train more cores from here on; what was trained before keeps its state in the optimizer."""
        self.stages.advance(self.best_valid_score)
        self.cur_step = 0
        before = self.optimizer.state
        self.optimizer = self._build_optimizer()
        self.optimizer.state.update(before)
        if self.average is not None:
            self.average.include_trained(self.model)

    def _train_epoch(self, train_data, epoch_idx, loss_func=None, show_progress=False):
        if isinstance(train_data, EpochLoader):
            train_data.set_epoch(epoch_idx)
        if loss_func is None and self._trims_batches():
            loss_func = partial(trimmed_loss, self.model)
        begin = time.perf_counter()
        shown = progress_bar(train_data, shown=show_progress, description=f"Epoch {epoch_idx}", unit="step")
        rates = self._schedule().during(epoch_idx, len(train_data))
        follows = self.average.following(self.optimizer) if self.average else nullcontext()
        together = adding_gradients(self.model.ranks, self.optimizer, self.clip_of_sums)
        seed_noise(self.model.ranks, self.config["seed"], epoch_idx)
        with without_future_warnings(), finite.finite_steps(epoch_idx), rates, follows, together:
            loss = super()._train_epoch(shown, epoch_idx, loss_func, show_progress=False)
        finite.check_weights(self.model, epoch_idx)
        seconds = time.perf_counter() - begin
        total = self.model.ranks.sum(torch.tensor(sum(loss) if isinstance(loss, tuple) else loss, dtype=torch.float64))
        total = float(total)
        self.history.append(
            {"epoch": epoch_idx, "train_loss": total / max(len(train_data), 1), "train_seconds": seconds}
        )
        if self.stages is not None:
            self.history[-1] |= {"stage": self.stages.name, "trainable": self.stages.trainable}
        if self.says_epochs and not (self.validates and (epoch_idx + 1) % self.eval_step == 0):
            logger.info(epoch_line(self.history, self.epochs, None))
        return loss

    def _schedule(self) -> RateSchedule:
        """Return the learning rates of the present stage of training."""
        if self._rates is None or self._rates.optimizer is not self.optimizer:
            # Not self.epochs, at which a run may only pause.
            self._rates = self._make_schedule(self.config["epochs"])
        return self._rates

    def _make_schedule(self, epochs: int) -> RateSchedule:
        """Return learning rates that change over so many epochs as the settings say."""
        settings = self.config["lr_schedule"] or "constant", self.config["warmup_epochs"] or 0.0
        return RateSchedule(self.optimizer, *settings, epochs)

    def _begin_average(self):
        if self.config["ema_decay"] and self.average is None:
            self.average = WeightAverage(self.model, self.config["ema_decay"])

    def _averaged(self):
        """Return a context in which the model has the averages of its weights, if there are any."""
        return self.average.in_place() if self.average else nullcontext()

    def _trims_batches(self) -> bool:
        """Return whether padding is left out: on a GPU the several groups of a batch are not known to be faster."""
        return self.config["trim_batches"] and self.device.type == "cpu" and self.model.trims_batches

    def _valid_epoch(self, valid_data, show_progress=False):
        begin = time.perf_counter()
        with self._averaged():
            score, result = super()._valid_epoch(valid_data, show_progress)
        self.history[-1]["valid_seconds"] = time.perf_counter() - begin
        self.history[-1]["valid"] = {name: float(value) for name, value in result.items()}
        return score, result

    def _save_checkpoint(self, epoch, verbose=True, **kwargs):
        if self.model.ranks.is_first:
            self._write_checkpoint(epoch, Path(kwargs.pop("saved_model_file", self.saved_model_file)))
        self.model.ranks.wait()

    def _write_checkpoint(self, epoch: int, path: Path):
        if path == self.last_file:
            averages = {} if self.average is None else {"averages": self.average.state()}
            checkpoint.save_checkpoint({**self._state(epoch), **averages}, path)
            return
        with self._averaged():
            checkpoint.save_checkpoint(self._state(epoch), path)

    def _state(self, epoch: int) -> dict:
        best = self.best_valid_result
        return {
            "model": self.config["model"],
            "config": self.config.plain(),
            **identity(self.model),
            "state_dict": self.model.state_dict(),
            "other_parameter": self.model.other_parameter(),
            "optimizer": None if self.optimizer is None else self.optimizer.state_dict(),
            "epoch": int(epoch),
            "cur_step": int(self.cur_step),
            "best_valid_score": float(self.best_valid_score),
            "best_valid_result": None if best is None else {key: float(best[key]) for key in best},
            "history": self.history,
            "pretraining": self.pretraining,
            **({} if self.stages is None else {"core_stage": self.stages.number}),
            "rng": random_state.rng_state(self.device),
            "loader_rng": self._loader_generator_state(),
        }

    def _loader_generator_state(self):
        # The order of packed batches follows from the epoch; RecBole's loaders draw on.
        is_recboles = self.train_loader is not None and not isinstance(self.train_loader, EpochLoader)
        return self.train_loader.generator.get_state() if is_recboles else None

    def load(self, path) -> dict:
        """Load the weights of a checkpoint of this run's data. Returns the file."""
        state = checkpoint.load_checkpoint(path)
        checkpoint.restore_model(self.model, state, path)
        return state

    def resume(self, path, train_data):
        """Go on from ``path`` (a run's ``last.pth``) as if the run had not been interrupted.

        ``train_data`` is the loader that :meth:`fit` will train on; one of RecBole's draws on where it stopped.

        Raises:
            CheckpointError: the checkpoint does not fit the run, or lacks what is needed to go on.
        """
        self.train_loader = train_data
        state = self.load(path)
        check_content(state, path, resumable=True)
        if self.stages is not None:
            self.stages.restore(state.get("core_stage"), path)
            self.optimizer = self._build_optimizer()
        load_optimizer(self.optimizer, state["optimizer"], path)
        if state["epoch"] >= 0:
            self._begin_average()
        if self.average is not None:
            self.average.load(state.get("averages"), path)
        self.start_epoch = state["epoch"] + 1
        self.cur_step = state["cur_step"]
        self.best_valid_score = state["best_valid_score"]
        self.best_valid_result = state["best_valid_result"]
        self.history = state["history"]
        self.pretraining = state.get("pretraining", [])
        self.is_finished = self.cur_step > self.stopping_step or self.start_epoch >= self.epochs
        if state["loader_rng"] is not None:
            with random_state.refusals_named(path):
                train_data.generator.set_state(state["loader_rng"])
        random_state.restore_rng_state(state["rng"], self.device, path)
        logger.info("resuming %s at epoch %d", path, self.start_epoch)

    @torch.no_grad()
    def evaluate(self, eval_data, load_best_model=True, model_file=None, show_progress=False):
        """Return the metrics of ``eval_data``, from exact ranks where the settings allow, else RecBole's."""
        if load_best_model:
            self.load(model_file or self.saved_model_file)
        if self.uses_ranks():
            ranks = self.target_ranks(eval_data, show_progress)["rank"]
            return ranking.metrics_from_ranks(ranks, self.config["metrics"], self.config["topk"])
        self.known_items = eval_data._dataset.known_items
        return super().evaluate(eval_data, load_best_model=False, show_progress=show_progress)

    def uses_ranks(self) -> bool:
        """Return whether every metric follows from the ranks of single targets among all items."""
        is_full = set(self.config["eval_args"]["mode"].values()) == {"full"}
        scores_all = type(self.model).full_sort_predict is not AbstractRecommender.full_sort_predict
        can_rank = scores_all and is_full and ranking.can_rank(self.config["metrics"])
        return self.config["eval_mode"] == "ranks" and can_rank

    @torch.no_grad()
    def target_ranks(self, eval_data, show_progress=False, first: FirstItems | None = None) -> dict[str, np.ndarray]:
        """Return ``{"user", "rank", "history_length", "target"}``, each int32 [R]; ``first`` counts what is shown."""
        self.model.eval()
        known = eval_data._dataset.known_items
        if isinstance(self.model, ItemVectorRecommender):
            ranker = ranking.rank_by_item_vectors(self.model, self.test_batch_size, known, first)
        else:
            score = partial(trimmed_scores, self.model) if self._trims_batches() else self.model.full_sort_predict
            ranker = nullcontext(ranking.rank_by_scores(score, self.model.n_items, known, first))
        with ranker as rank:
            return ranking.rank_rows(rank, eval_data, self.config, self.device, show_progress, self.model.ranks)

    def _check_nan(self, loss):
        # The sum, so that all processes stop for the same reason.
        finite.check_loss(self.model.ranks.sum(loss) if self.model.ranks.count > 1 else loss, len(self.history))

    def _full_sort_batch_eval(self, batched_data):
        evaluated = _with_checked_scores(super()._full_sort_batch_eval(batched_data))
        if self.known_items is not None:
            interaction, scores, *_ = evaluated
            ranking.mask_known(scores, self.known_items, interaction, max(self.config["topk"]))
        return evaluated

    def _neg_sample_batch_eval(self, batched_data):
        return _with_checked_scores(super()._neg_sample_batch_eval(batched_data))

    def mean_seconds(self) -> dict[str, float]:
        """Return the mean seconds of an epoch's training and of an evaluation, over the epochs run so far."""
        train = [epoch["train_seconds"] for epoch in self.history]
        valid = [epoch["valid_seconds"] for epoch in self.history if "valid_seconds" in epoch]
        return {
            "per_epoch": float(np.mean(train)) if train else 0.0,
            "evaluate": float(np.mean(valid)) if valid else 0.0,
        }


def _with_checked_scores(evaluated: tuple) -> tuple:
    """Return what RecBole's evaluation of a batch returns, whose second part are the scores."""
    finite.check_scores(evaluated[1])
    return evaluated


class RunTrainer(RunTrainerMixin, Trainer):
    """RecBole's plain trainer with safe checkpoints, for models that need nothing else."""


class CountingTrainer(RunTrainer):
    """For models that know all from the start: one evaluation on valid, and a checkpoint of the settings."""

    def _build_optimizer(self, **kwargs):
        return None

    def fit(self, train_data, valid_data=None, verbose=True, saved=True, show_progress=False, callback_fn=None):
        """Evaluate once; return RecBole's pair."""
        self.train_loader = train_data
        self.history = [{"epoch": 0, "train_loss": 0.0, "train_seconds": 0.0}]
        if len(valid_data._dataset):
            self.best_valid_score, self.best_valid_result = self._valid_epoch(valid_data, show_progress)
        if saved:
            self._save_checkpoint(0, verbose=verbose)
        return self.best_valid_score, self.best_valid_result

"""Training on a mixture of domains: validation ranks the last item of held-out users among their domain's items.

Shapes: N items of a domain (row 0 is PAD), B rows of a batch, R rows of a domain.
"""

import numpy as np
import torch

from recbole_mpo.data.mixture import HeldOut
from recbole_mpo.layers.mpo.convert import merged
from recbole_mpo.trainer.item_vector_trainer import ItemVectorTrainer
from recbole_mpo.trainer.ranking import metrics_from_ranks, ranks_of_targets, rows_per_batch


class DomainTrainer(ItemVectorTrainer):
    """Trainer of a model of several domains; a metric is the mean over the domains, so that small ones count too."""

    def uses_ranks(self) -> bool:
        """Return that there are no ranks to keep: rows of several domains have different candidates."""
        return False

    @torch.no_grad()
    def evaluate(self, eval_data, load_best_model=True, model_file=None, show_progress=False):
        """Return the metrics of held-out users: means over the domains, and those of each as ``<name>/<metric>``.

        A domain with a single user counts in neither, because nobody can be held out.

        Args:
            eval_data: a list of ``HeldOut``.
            load_best_model: whether to load the best weights first.
            model_file: checkpoint to load instead of the best.
            show_progress: not used.
        """
        if load_best_model:
            self.load(model_file or self.saved_model_file)
        self.model.eval()
        settings = self.config["metrics"], self.config["topk"]
        of_domains = {one.name: metrics_from_ranks(self.ranks(one), *settings) for one in eval_data if len(one)}
        means = {
            metric: float(np.mean([metrics[metric] for metrics in of_domains.values()]))
            for metric in next(iter(of_domains.values()))
        }
        return means | {
            f"{name}/{metric}": value for name, metrics in of_domains.items() for metric, value in metrics.items()
        }

    @torch.no_grad()
    def ranks(self, held_out: HeldOut) -> np.ndarray:
        """Return the rank [R] of each held-out target among the items of its domain; the model is evaluating."""
        with merged(self.model):
            item_vectors = self.model.encode_items(held_out.items.to(self.device))
            candidates = self.model.candidates(item_vectors)
            step = rows_per_batch(self.test_batch_size, held_out.item_num)
            ranks = self.model.ranks
            rows = torch.arange(len(held_out), device=self.device)
            # The same parts whatever the number of processes, since sums of other sizes round differently.
            own = rows.split(step)[ranks.number :: ranks.count]
            parts = [self._ranks(held_out, part, item_vectors, candidates) for part in own]
            row_R, rank_R = (ranks.gather(torch.cat([rows[:0], *of_parts])) for of_parts in (own, parts))
            return rank_R[row_R.argsort()].cpu().numpy()

    def _ranks(self, held_out: HeldOut, rows: torch.Tensor, item_vectors, candidates) -> torch.Tensor:
        begin, end = int(rows[0]), int(rows[-1]) + 1
        histories, lengths, targets = (
            tensor[begin:end].to(self.device) for tensor in (held_out.histories, held_out.lengths, held_out.targets)
        )
        states = self.model.encode_sequences(item_vectors, histories[:, : int(lengths.max())], lengths)
        return ranks_of_targets(self.model.queries(states) @ candidates.t(), targets)

"""Evidence beside RecBole's own models, fitted after their training: RecBole's losses take none.

Shapes: B rows, N items (column 0 is PAD).
"""

import torch
from torch import Tensor

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.common.values import as_list
from recbole_mpo.data.flat_histories import FlatHistories
from recbole_mpo.layers.pair_evidence import Columns, Recent
from recbole_mpo.model.evidence import evidence_labels, evidence_of


class LateEvidence:
    """Mixin for a RecBole model that scores all items: adds evidence to the scores once it is fitted.

    Args:
        config: settings of the run.
        dataset: training part of the run's dataset.

    Raises:
        ConfigError: evidence is to be fitted with the model, or the evaluation draws candidates.
    """

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.evidence = None
        names = as_list(config["evidence"])
        if not names:
            return
        if config["evidence_fit"] != "late":
            raise ConfigError(
                f"{config['model']} is RecBole's, whose loss takes no evidence: give evidence_fit=late, which fits it "
                "after the training"
            )
        if {*config["eval_args"]["mode"].values()} != {"full"}:
            raise ConfigError("evidence is added to the scores of all items: leave mode=full in eval_args")
        evidence_of(names, config, FlatHistories(dataset), folds=None).join(self)

    @property
    def awaits_fit(self) -> bool:
        """Whether the evidence is still to be fitted."""
        return self.evidence is not None and not self.evidence.is_fitted

    def scores_alone(self, interaction) -> Tensor:
        """Return the scores [B, N] of RecBole's model, without evidence, for a batch of RecBole's rows."""
        scores = super().full_sort_predict(interaction).view(len(interaction), -1)
        return scores.clone(memory_format=torch.contiguous_format)

    def full_sort_predict(self, interaction) -> Tensor:
        """Return the scores of all items for a batch of RecBole's rows, with evidence that is fitted."""
        if self.evidence is None or not self.evidence.is_fitted:
            return super().full_sort_predict(interaction)
        scores = self.scores_alone(interaction)
        recent = Recent.of(interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN])
        return self.evidence(recent, Columns(scores.shape[1])).add_to(scores)

    @classmethod
    def label(cls, name: str, config) -> str:
        """Return the name of a run in tables, which says which evidence there is."""
        return " + ".join([name, *evidence_labels(config)])


class NoEvidence:
    """Mixin for a RecBole model that scores given items alone.

    Args:
        config: settings of the run.
        dataset: training part of the run's dataset.

    Raises:
        ConfigError: evidence is asked for.
    """

    def __init__(self, config, dataset):
        if config["evidence"]:
            raise ConfigError(f"{config['model']} cannot score all items, so that it takes no evidence; leave it out")
        super().__init__(config, dataset)

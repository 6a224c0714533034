"""UniSRec as it is fine-tuned, with dense weights: the model from which all others here are made."""

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.model.adapters import add_patches
from recbole_mpo.model.evidence import make_evidence
from recbole_mpo.model.item_encoder import ItemEncoder, scores_by_ids
from recbole_mpo.model.objective import make_objective
from recbole_mpo.model.scoring import CosineScoring, TextAndIdScoring
from recbole_mpo.model.sequence_encoder import TransformerSequenceEncoder
from recbole_mpo.model.sequential import TextSequentialRecommender
from recbole_mpo.model.tasks import make_connection, make_tasks


class UniSRec(TextSequentialRecommender):
    """UniSRec as it is fine-tuned (Hou et al., KDD 2022), with the parameter names of the published code.

    It has text features, a mixture-of-experts adaptor, a causal Transformer and a softmax of cosines; all weights are
    dense.

    With ``item_input: text+id`` and ``id_side: output`` items are scored by ids of their own too, which no state reads.

    With ``adapter: patches`` a pre-trained model stays frozen, except for patches in its Transformer, its layer norms
    and the adaptor's gate.

    Args:
        config: settings of the run.
        dataset: training part of the run's dataset.

    Raises:
        ConfigError: ``patch_reduction`` is larger than ``hidden_size``.
    """

    shares_batches = True

    def __init__(self, config, dataset):
        super().__init__(
            config,
            dataset,
            items=ItemEncoder(config, dataset),
            sequence=TransformerSequenceEncoder(config),
            scoring=_scoring(config, dataset),
            objective=make_tasks(config, make_objective(config, dataset)),
            evidence=make_evidence(config, dataset),
            connection=make_connection(config),
        )
        self.has_patches: bool = config["adapter"] == "patches"
        if self.has_patches:
            add_patches(self, config["patch_reduction"], config["initializer_range"])

    def check_fresh_start(self):
        """Refuse to adapt a model that was never trained.

        Raises:
            ConfigError: ``adapter`` freezes most weights, and ``pretrained`` is not set.
        """
        if self.has_patches:
            raise ConfigError(
                "adapter=patches freezes a model that was never trained: give weights of recbole-mpo pretrain as "
                "pretrained"
            )

    @classmethod
    def label(cls, name: str, config) -> str:
        """Return the name of a run in tables, which says whether there are patches and evidence."""
        return super().label(f"{name} (patches)" if config["adapter"] == "patches" else name, config)


def _scoring(config, dataset) -> CosineScoring:
    """Return how states score items: by text alone or, where the settings say so, by ids as well."""
    if not scores_by_ids(config):
        return CosineScoring(config["temperature"])
    sizes = dataset.num(dataset.iid_field), config["hidden_size"], config["id_size"]
    return TextAndIdScoring(config["temperature"], *sizes, config["hidden_dropout_prob"], config["id_dropout_prob"])

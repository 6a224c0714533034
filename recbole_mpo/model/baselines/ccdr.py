"""CCDR: contrastive learning between the graphs of two domains, for recommendations in the sparser domain.

Xie et al., "Contrastive Cross-Domain Recommendation in Matching", KDD 2022. docs/models.md says what is taken from the
paper, from its published code, and from neither.

Shapes: B rows, L length, D hidden, N items of a domain (row 0 is PAD), S shared nodes, M targets, K negatives, P pairs.
"""

import logging
import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_mpo.common.values import as_list
from recbole_mpo.data.batches import PackedBatch
from recbole_mpo.data.domain_graphs import LEVELS, TEXT_LEVELS, DomainGraphs, build_graphs
from recbole_mpo.data.domains import domain_features, source_domain, target_domain
from recbole_mpo.data.training_counts import counts_hash
from recbole_mpo.layers.graph_attention import (
    AGGREGATORS,
    GraphEncoder,
    Neighbours,
    PairDraw,
    WeightedDraw,
    contrast,
    neighbour_loss,
)
from recbole_mpo.layers.losses import CHUNK_LOGITS, catalogue_cross_entropy
from recbole_mpo.layers.pair_evidence import newest_items
from recbole_mpo.model.abstract_recommender import ITEM_TABLES, ItemVectorRecommender
from recbole_mpo.text.feature_files import feature_hash, feature_sketch

logger = logging.getLogger(__name__)

# Negatives are drawn with probabilities proportional to degree ** 0.75, as in the published code.
NEGATIVE_POWER = 0.75
# Number of items of a batch that are contrasted with each other in the loss within a domain.
MOST_CONTRASTED = 2048


class DomainNodes(nn.Module):
    """Vectors and neighbours of the nodes of one domain: its items, then the shared nodes.

    Args:
        adjacency: weights of the edges [N + S, N + S].
        levels: kind of each shared node [S].
        size: size of a vector, D.
        features: text features [N, F] if they are part of item vectors.
    """

    def __init__(self, adjacency, levels: np.ndarray, size: int, features: np.ndarray | None):
        super().__init__()
        self.item_num = adjacency.shape[0] - len(levels)
        self.embedding = nn.Embedding(adjacency.shape[0], size)
        self.neighbours = Neighbours(*map(torch.from_numpy, (adjacency.indptr, adjacency.indices, adjacency.data)))
        # Kind 0 are items.
        kinds = np.concatenate([np.zeros(self.item_num, dtype=np.int64), 1 + levels])
        self.register_buffer("kinds", torch.from_numpy(kinds), persistent=False)
        table = None if features is None else torch.from_numpy(features)
        self.register_buffer("item_features", table, persistent=False)
        self._build_draws(adjacency)

    def _build_draws(self, adjacency):
        rows = np.repeat(np.arange(adjacency.shape[0]), np.diff(adjacency.indptr))
        is_item = np.arange(adjacency.shape[0]) < self.item_num
        both_items = is_item[rows] & is_item[adjacency.indices]
        pairs = np.stack([rows, adjacency.indices]).astype(np.int64)
        # Pairs of two items, and pairs of a shared node and an item.
        self.item_pairs, self.shared_pairs = (
            PairDraw(torch.from_numpy(pairs[:, chosen]), torch.from_numpy(adjacency.data[chosen]))
            for chosen in (both_items, ~is_item[rows])
        )
        degrees = np.diff(adjacency.indptr)
        # Every item can be a negative, as in a softmax; PAD cannot.
        item_weights = np.maximum(degrees, 1) ** NEGATIVE_POWER * is_item
        item_weights[0] = 0
        self.item_draw = WeightedDraw(torch.from_numpy(item_weights))
        self.shared_draw = WeightedDraw(torch.from_numpy(degrees**NEGATIVE_POWER * ~is_item))


class CCDR(ItemVectorRecommender):
    """Two graphs, of a target and a source domain, whose nodes are items and what the domains share.

    The newest items of a history, its triggers, determine the scores. Without ``ccdr_source`` there is only the
    target's graph, with the loss between views of its items.

    Args:
        config: settings of the run.
        dataset: training part of the run's dataset.

    Raises:
        ConfigError: the features of the domains cannot be compared, or there are too few items for the clusters.
        DataError: the source domain cannot be read.
        ValueError: ``hidden_size`` is not a multiple of ``n_heads``.
    """

    needs_packed = True
    item_inputs = ("id", "text+id")
    # Nodes with the same numbers are other nodes in other datasets.
    fresh_weights = (*ITEM_TABLES, "domains.")

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self._read_settings(config)
        size = config["hidden_size"]
        graphs, features = self._build_graphs(config, dataset)
        parts = zip(("target", "source"), graphs.adjacency, features, strict=False)
        self.domains = nn.ModuleDict(
            {name: DomainNodes(adjacency, graphs.levels, size, table) for name, adjacency, table in parts}
        )
        aligned = graphs.aligned() if "source" in self.domains else np.empty(0, dtype=np.int64)
        is_user = graphs.levels[aligned] == LEVELS.index("user")
        self.register_buffer("aligned_users", torch.from_numpy(aligned[is_user]), persistent=False)
        self.register_buffer("aligned_taxonomy", torch.from_numpy(aligned[~is_user]), persistent=False)
        self.kind_embedding = nn.Embedding(1 + len(LEVELS), size)
        self.feature_projection = None if features[0] is None else nn.Linear(features[0].shape[1], size)
        layers = [AGGREGATORS[config["ccdr_aggregator"]](size, config["n_heads"]) for _ in self.fan_out]
        self.encoder = GraphEncoder(layers, self.fan_out)
        self.dropout = nn.Dropout(config["hidden_dropout_prob"])
        # With this offset the sigmoids start at the share of true pairs, one of 1 + K.
        self.offset = nn.Parameter(torch.tensor(-math.log(self.negatives)))
        # Only the softmax over all items trains it.
        decay = torch.tensor(config["ccdr_trigger_decay"]).logit()
        self.trigger_decay = nn.Parameter(decay, requires_grad=self.match_loss == "ce")
        for table in (module for module in self.modules() if isinstance(module, nn.Embedding)):
            nn.init.normal_(table.weight, std=config["initializer_range"])

    def _read_settings(self, config):
        self.align = as_list(config["ccdr_align"])
        fan_out = config["ccdr_fan_out"]
        self.fan_out = fan_out if isinstance(fan_out, list) else [fan_out]
        self.match_loss = config["ccdr_match_loss"]
        self.temperature = config["ccdr_temperature"]
        self.negatives = config["ccdr_negatives"]
        self.intra_weight, self.inter_weight = config["ccdr_intra_weight"], config["ccdr_inter_weight"]
        self.inter_nodes = config["ccdr_inter_nodes"]
        self.triggers = config["ccdr_triggers"]

    def _build_graphs(self, config, dataset) -> tuple[DomainGraphs, list]:
        """Return the graphs, and the features of each domain's items if they are part of item vectors."""
        reads_text = not TEXT_LEVELS.isdisjoint(self.align)
        domains = [target_domain(config, dataset, reads_text)]
        if config["ccdr_source"]:
            domains.append(source_domain(config, config["ccdr_source"], reads_text))
        is_input = config["item_input"] == "text+id"
        features = domain_features(config, dataset, domains) if is_input or "cluster" in self.align else None
        sizes = config["ccdr_words"], config["ccdr_clusters"], config["seed"]
        graphs = build_graphs(domains, self.align, *sizes, features)
        self.counts_hash = counts_hash(*graphs.adjacency)
        if features is not None:
            of_all = np.concatenate(features) if len(features) > 1 else features[0]
            self.feature_hash, self.feature_sketch = feature_hash(of_all), torch.from_numpy(feature_sketch(of_all))
            self.fitted_text = dataset.fitted_text
        _log(graphs, [domain.name for domain in domains])
        return graphs, features if is_input else [None] * len(domains)

    def vectors(self, domain: str, nodes_M: Tensor) -> Tensor:
        """Return the vectors [M, D] of nodes of a domain, before the first layer."""
        domain_nodes = self.domains[domain]
        kinds_MD = self.kind_embedding(domain_nodes.kinds[nodes_M])
        vectors_MD = F.embedding(nodes_M, domain_nodes.embedding.weight) + kinds_MD
        if self.feature_projection is not None:
            is_item = nodes_M < domain_nodes.item_num
            rows = torch.where(is_item, nodes_M, 0)
            vectors_MD = vectors_MD + self.feature_projection(domain_nodes.item_features[rows]) * is_item.unsqueeze(1)
        return self.dropout(vectors_MD)

    def encode_nodes(self, domain: str, *groups: Tensor) -> list[Tensor]:
        """Return the states of groups of nodes with drawn neighbours; a node has the same state in every group."""
        nodes, where = torch.unique(torch.cat(groups), return_inverse=True)
        domain_nodes = self.domains[domain]
        states = self.encoder(lambda some: self.vectors(domain, some), domain_nodes.neighbours, nodes)
        return list(F.embedding(where, states).split(list(map(len, groups))))

    def encode_items(self, ids: Tensor | None = None) -> Tensor:
        """Return the vectors [N, D] of the target's items, computed from all neighbours; or those of some ids."""
        domain_nodes = self.domains["target"]
        every = torch.arange(len(domain_nodes.kinds), device=domain_nodes.kinds.device)
        vectors = self.encoder.whole(self.vectors("target", every), domain_nodes.neighbours, domain_nodes.item_num)
        return vectors if ids is None else vectors.index_select(0, ids)

    def encode_sequences(self, item_vectors: Tensor, item_seq: Tensor, lengths: Tensor) -> Tensor:
        """Return the weighted mean [B, D] of the newest items' vectors; each older item weighs less by the decay."""
        return self._trigger_states(item_vectors, *newest_items(item_seq, lengths, self.triggers))

    def _trigger_states(self, item_vectors: Tensor, items_MK: Tensor, exists_MK: Tensor) -> Tensor:
        age_K = torch.arange(items_MK.shape[1], device=items_MK.device)
        weights_MK = torch.sigmoid(self.trigger_decay) ** age_K * exists_MK
        weights_MK = weights_MK / weights_MK.sum(dim=1, keepdim=True)
        return torch.einsum("mk,mkd->md", weights_MK, F.embedding(items_MK, item_vectors))

    def calculate_loss(self, batch: PackedBatch) -> tuple[Tensor, ...]:
        """Return the weighted parts of the loss: neighbours per domain, within the target, and between the domains.

        An epoch has the target's batches, since the source may be much larger.
        """
        parts = [self._match_loss(batch)] if self.match_loss == "ce" else []
        parts += self._domain_losses("target", batch)
        if "source" in self.domains:
            parts += self._domain_losses("source", batch)
            if self.inter_weight > 0:
                parts += [self.inter_weight * loss for loss in self.inter_losses().values()]
        return tuple(parts)

    def _match_loss(self, batch: PackedBatch) -> Tensor:
        """Return the cross-entropy over all items, of the states that the triggers give."""
        domain_nodes = self.domains["target"]
        items = torch.arange(domain_nodes.item_num, device=domain_nodes.kinds.device)
        (item_vectors,) = self.encode_nodes("target", items)
        states_MD = self._trigger_states(item_vectors, *batch.newest_items(self.triggers))
        return catalogue_cross_entropy(states_MD, item_vectors, batch.targets, True, CHUNK_LOGITS)

    def _domain_losses(self, domain: str, batch: PackedBatch) -> list[Tensor]:
        """Return the loss between neighbours (the paper's L_N) and, in the target, that between views of items."""
        triples = self._draw_triples(domain, batch)
        items = self._contrasted(batch) if domain == "target" and self.intra_weight > 0 else None
        groups = [group for triple in triples for group in triple] + ([] if items is None else [items])
        if not groups:
            return []
        states = self.encode_nodes(domain, *groups)
        neighbour_losses = [
            neighbour_loss(*states[3 * place : 3 * place + 3], self._not_negative(domain, nodes, drawn), self.offset)
            for place, (nodes, _, drawn) in enumerate(triples)
        ]
        losses = [torch.stack(neighbour_losses).mean()] if neighbour_losses else []
        if items is not None:
            (other_view,) = self.encode_nodes(domain, items)
            kinds = torch.zeros_like(items)
            losses.append(self.intra_weight * contrast(states[-1], other_view, items, kinds, self.temperature))
        return losses

    def _not_negative(self, domain: str, nodes_P: Tensor, drawn_K: Tensor) -> Tensor:
        """Return which of the drawn nodes are not negatives [P, K]: the node itself and its neighbours."""
        nodes_PK, drawn_PK = torch.broadcast_tensors(nodes_P.unsqueeze(1), drawn_K)
        return self.domains[domain].neighbours.contains(nodes_PK, drawn_PK) | (nodes_PK == drawn_PK)

    def _draw_triples(self, domain: str, batch: PackedBatch) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Return nodes, a neighbour of each, and negatives [K] of the same kind as the neighbours.

        In the target, pairs of items are those of the batch. All other pairs are drawn, one per target of the batch.
        """
        domain_nodes = self.domains[domain]
        items = domain_nodes.item_pairs(len(batch))
        if domain == "target":
            items = torch.stack([self._last_items(batch), batch.targets])
        shared = domain_nodes.shared_pairs(len(batch)).flip(0)
        if domain == "target" and self.match_loss == "ce":
            items = items[:, :0]
        kinds = ((items, domain_nodes.item_draw), (shared, domain_nodes.shared_draw))
        return [(*pairs, draw(self.negatives)) for pairs, draw in kinds if pairs.shape[1]]

    @staticmethod
    def _last_items(batch: PackedBatch) -> Tensor:
        return batch.items.flatten().index_select(0, batch.predicting)

    def _contrasted(self, batch: PackedBatch) -> Tensor:
        items = self._last_items(batch).unique()
        return items[torch.randperm(len(items), device=items.device)[:MOST_CONTRASTED]]

    def inter_losses(self) -> dict[str, Tensor]:
        """Return the losses between the domains by name.

        ``user`` and ``taxonomy`` contrast aligned nodes with the same nodes of the other domain, and ``neighbour``
        contrasts them with a target item next to them. Which losses there are depends on what is aligned, not on what
        is drawn.
        """
        kinds = {"user": self.aligned_users, "taxonomy": self.aligned_taxonomy}
        drawn = {name: self._some(nodes) for name, nodes in kinds.items() if len(nodes)}
        if not drawn:
            return {}
        shared_P = torch.cat(list(drawn.values()))
        source_P, target_P = (shared_P + self.domains[name].item_num for name in ("source", "target"))
        near_P = self.domains["target"].neighbours.sample(target_P, 1)[0].squeeze(1)
        (anchors_PD,) = self.encode_nodes("source", source_P)
        positives_PD, near_PD = self.encode_nodes("target", target_P, near_P)
        kinds_P = self.domains["target"].kinds[target_P]
        columns = (anchors_PD, positives_PD, shared_P, kinds_P)
        by_kind = zip(*(column.split(list(map(len, drawn.values()))) for column in columns), strict=True)
        losses = {name: contrast(*part, self.temperature) for name, part in zip(drawn, by_kind, strict=True)}
        losses["neighbour"] = contrast(anchors_PD, near_PD, near_P, torch.zeros_like(near_P), self.temperature)
        return losses

    def _some(self, nodes: Tensor) -> Tensor:
        return nodes[torch.randperm(len(nodes), device=nodes.device)[: self.inter_nodes]]


def _log(graphs: DomainGraphs, names: list[str]):
    if len(names) == 1:
        logger.info("CCDR without ccdr_source: only the target's graph, %d shared nodes", len(graphs.names))
        return
    aligned = graphs.aligned_counts()
    counts = ", ".join(f"{level} {count}" for level, count in aligned.items())
    logger.info("CCDR between %s and %s; aligned: %s", *names, counts)
    if not aligned["user"]:
        logger.info("aligned users: 0, so the loss between users is off")
    if not any(aligned.values()):
        logger.warning("nothing is aligned between %s and %s: all losses between them are off", *names)

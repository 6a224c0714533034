"""Graphs of two domains whose nodes meet: items, and the users, brands, categories, words and clusters beside them.

What stands in a graph comes from training rows and item texts alone.

Shapes: N items of a domain (row 0 is PAD), S shared nodes, E edges, F feature.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from sklearn.cluster import MiniBatchKMeans

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.data.domains import Domain
from recbole_mpo.text.sentences import item_metadata

LEVELS = ("user", "brand", "category", "word", "cluster")
TEXT_LEVELS = {"brand", "category", "word"}
# A node of fewer items says little; a word of more than this share of them says nothing.
LEAST_ITEMS, LARGEST_SHARE = 5, 0.05


@dataclass(frozen=True)
class DomainGraphs:
    """The graphs of all domains over one set of shared nodes.

    Attributes:
        names: [S] of the shared nodes.
        levels: [S] the index of each in LEVELS.
        adjacency: of each domain [N + S, N + S], symmetric and weighted; items come first, PAD has no neighbours.
    """

    names: list[str]
    levels: np.ndarray
    adjacency: list[sparse.csr_matrix]

    def aligned(self) -> np.ndarray:
        """The shared nodes that have neighbours in every domain."""
        degrees = [np.diff(graph.indptr)[graph.shape[0] - len(self.names) :] for graph in self.adjacency]
        return np.flatnonzero(np.all([degree > 0 for degree in degrees], axis=0))

    def aligned_counts(self) -> dict[str, int]:
        """How many shared nodes of each level meet."""
        counts = np.bincount(self.levels[self.aligned()], minlength=len(LEVELS))
        return dict(zip(LEVELS, counts.tolist(), strict=True))


def build_graphs(
    domains: list[Domain],
    levels: list[str],
    word_limit: int,
    clusters: int,
    seed: int,
    features: list[np.ndarray] | None = None,
) -> DomainGraphs:
    """One graph of each domain, the first being the target's.

    Args:
        domains: one, or a target and a source.
        levels: which kinds of shared nodes there are, of LEVELS.
        word_limit: how many words at most, those of the most items.
        clusters: how many clusters the items of all domains fall into by their features.
        seed: of the clusters.
        features: of each domain [N, F], for clusters alone.
    """
    metadata = [item_metadata(domain.texts) for domain in domains]
    find = {
        "user": lambda: _aligned_users(domains),
        "brand": lambda: _of_enough_items([_single(one.brands) for one in metadata]),
        "category": lambda: _of_enough_items([_single(one.categories) for one in metadata]),
        "word": lambda: _shared_words([one.title_words for one in metadata], word_limit),
        "cluster": lambda: [_single(labels) for labels in _cluster_labels(features, clusters, seed)],
    }
    names, numbers, parts = [], [], [[np.empty((0, 2), dtype=np.int64)] for _ in domains]
    for number, level in enumerate(LEVELS):
        if level not in levels:
            continue
        members = find[level]()
        level_names = sorted(set().union(*members))
        node_of = {name: len(names) + place for place, name in enumerate(level_names)}
        for edges, items_of in zip(parts, members, strict=True):
            pairs = [(item, node_of[name]) for name, items in items_of.items() for item in items]
            edges.append(np.array(pairs, dtype=np.int64).reshape(-1, 2))
        names += level_names
        numbers += [number] * len(level_names)
    adjacency = [
        _adjacency(domain, np.concatenate(edges), len(names)) for domain, edges in zip(domains, parts, strict=True)
    ]
    return DomainGraphs(names, np.array(numbers, dtype=np.int64), adjacency)


def _adjacency(domain: Domain, pairs_E2: np.ndarray, shared: int) -> sparse.csr_matrix:
    """Neighbours in histories by count, and the shared nodes of items by how often they are named together."""
    size = domain.item_num + shared
    item_item = domain.transitions.tocoo()
    rows = np.concatenate([item_item.row, pairs_E2[:, 0]])
    columns = np.concatenate([item_item.col, pairs_E2[:, 1] + domain.item_num])
    values = np.concatenate([item_item.data, np.ones(len(pairs_E2))])
    # An item that follows itself tells nothing of its neighbours.
    kept = rows != columns
    one_way = sparse.coo_matrix((values[kept], (rows[kept], columns[kept])), shape=(size, size))
    return (one_way + one_way.T).tocsr()


def _single(values: list[str]) -> dict[str, list[int]]:
    """Items by name, of one name an item; "" is none."""
    items_of: dict[str, list[int]] = {}
    for item, name in enumerate(values):
        if name:
            items_of.setdefault(name, []).append(item)
    return items_of


def _of_enough_items(found: list[dict[str, list[int]]]) -> list[dict[str, list[int]]]:
    return [{name: items for name, items in one.items() if len(items) >= LEAST_ITEMS} for one in found]


def _shared_words(titles: list[list[set[str]]], limit: int) -> list[dict[str, list[int]]]:
    """Words that every domain has in enough and not in too many items."""
    found: list[dict[str, list[int]]] = []
    for words_of_items in titles:
        counts = Counter(word for words in words_of_items for word in words)
        most = max(LEAST_ITEMS, LARGEST_SHARE * len(words_of_items))
        kept = {word for word, count in counts.items() if LEAST_ITEMS <= count <= most}
        found.append({word: [] for word in kept})
        for item, words in enumerate(words_of_items):
            for word in words & kept:
                found[-1][word].append(item)
    common = set(found[0]).intersection(*found)
    by_items = sorted(common, key=lambda word: (-sum(len(one[word]) for one in found), word))
    return [{word: one[word] for word in by_items[:limit]} for one in found]


def _aligned_users(domains: list[Domain]) -> list[dict[str, list[int]]]:
    """Items by raw user name, of the users that every domain trains on; none where there is one domain alone."""
    if len(domains) < 2:
        return [{} for _ in domains]
    found: list[dict[str, list[int]]] = [{} for _ in domains]
    for items_of, domain in zip(found, domains, strict=True):
        for user, item in zip(domain.users.tolist(), domain.items.tolist(), strict=True):
            name = domain.user_names[user] if domain.user_names else ""
            if name:
                items_of.setdefault(name, []).append(item)
    common = set(found[0]).intersection(*found)
    return [{name: items for name, items in items_of.items() if name in common} for items_of in found]


def _cluster_labels(features: list[np.ndarray], clusters: int, seed: int) -> list[list[str]]:
    """The cluster of each item [N] of each domain, "" without text; columns are standardised in each domain first.

    Raises:
        ConfigError: fewer items than clusters.
    """
    present = [table.any(axis=1) for table in features]
    parts = [table[rows] for table, rows in zip(features, present, strict=True)]
    standard = [(part - part.mean(axis=0)) / np.maximum(part.std(axis=0), 1e-6) for part in parts]
    count = sum(map(len, parts))
    if count < clusters:
        raise ConfigError(
            f"ccdr_clusters is {clusters}, but only {count} items have text: lower it, or leave cluster out of "
            "ccdr_align"
        )
    fitted = MiniBatchKMeans(clusters, random_state=seed, batch_size=4096, n_init=3)
    labels = np.split(fitted.fit_predict(np.concatenate(standard)), np.cumsum(list(map(len, parts)))[:-1])
    named = []
    for rows, found in zip(present, labels, strict=True):
        names = np.full(len(rows), "", dtype=object)
        names[rows] = [str(label) for label in found]
        named.append(names.tolist())
    return named

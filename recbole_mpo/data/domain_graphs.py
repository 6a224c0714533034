"""Graphs of two domains with shared nodes: in addition to items, users, brands, categories, words and clusters.

Graphs are made only from training rows and item texts.

Shapes: N items of a domain (row 0 is PAD), S shared nodes, E edges, F feature.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from sklearn.cluster import MiniBatchKMeans

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.data.domains import Domain
from recbole_mpo.text.sentences import LEAST_ITEMS, item_metadata, telling_names

LEVELS = ("user", "brand", "category", "word", "cluster")
TEXT_LEVELS = {"brand", "category", "word"}
# Words in more than this share of a domain's items are left out: they do not tell items apart.
LARGEST_WORD_SHARE = 0.05


@dataclass(frozen=True)
class DomainGraphs:
    """The graphs of all domains over one set of shared nodes.

    Attributes:
        names: [S] names of the shared nodes.
        levels: [S] index of each shared node's level in ``LEVELS``.
        adjacency: one matrix [N + S, N + S] per domain, symmetric and weighted; items come first, PAD has no
            neighbours.
    """

    names: list[str]
    levels: np.ndarray
    adjacency: list[sparse.csr_matrix]

    def aligned(self) -> np.ndarray:
        """Return the shared nodes that have neighbours in every domain."""
        degrees = [np.diff(graph.indptr)[graph.shape[0] - len(self.names) :] for graph in self.adjacency]
        return np.flatnonzero(np.all([degree > 0 for degree in degrees], axis=0))

    def aligned_counts(self) -> dict[str, int]:
        """Count the nodes of :meth:`aligned` by level."""
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
    """Return one graph per domain, in the order of ``domains``.

    Args:
        domains: one domain, or a target and a source.
        levels: kinds of shared nodes, from ``LEVELS``.
        word_limit: maximum number of words; those of the most items are kept.
        clusters: number of clusters of the features of all domains' items.
        seed: seed of the clustering.
        features: [N, F] features of each domain; needed only for clusters.

    Raises:
        ConfigError: there are fewer items than clusters.
    """
    find = _finders(domains, word_limit, clusters, seed, features)
    names: list[str] = []
    numbers: list[int] = []
    edges: list[list[np.ndarray]] = [[np.empty((0, 2), dtype=np.int64)] for _ in domains]
    for number, level in enumerate(LEVELS):
        if level not in levels:
            continue
        items_by_name = find[level]()
        level_names = sorted(set().union(*items_by_name))
        node_of = {name: len(names) + place for place, name in enumerate(level_names)}
        for edges_of_domain, items_of in zip(edges, items_by_name, strict=True):
            named = [(item, node_of[name]) for name, items in items_of.items() for item in items]
            edges_of_domain.append(np.array(named, dtype=np.int64).reshape(-1, 2))
        names += level_names
        numbers += [number] * len(level_names)
    pairs = map(np.concatenate, edges)
    adjacency = [_adjacency(domain, pairs_E2, len(names)) for domain, pairs_E2 in zip(domains, pairs, strict=True)]
    return DomainGraphs(names, np.array(numbers, dtype=np.int64), adjacency)


def _finders(
    domains: list[Domain], word_limit: int, clusters: int, seed: int, features: list[np.ndarray] | None
) -> dict[str, Callable[[], list[dict[str, list[int]]]]]:
    """Return what finds each level's nodes: for each domain the items by the node's name."""
    metadata = [item_metadata(domain.texts) for domain in domains]
    return {
        "user": lambda: _aligned_users(domains),
        "brand": lambda: _of_enough_items([_single(one.brands) for one in metadata]),
        "category": lambda: _of_enough_items([_single(one.categories) for one in metadata]),
        "word": lambda: _shared_words([one.title_words for one in metadata], word_limit),
        "cluster": lambda: [_single(labels) for labels in _cluster_labels(features, clusters, seed)],
    }


def _adjacency(domain: Domain, pairs_E2: np.ndarray, shared: int) -> sparse.csr_matrix:
    """Return the adjacency: neighbours in histories by their count, items and shared nodes by their number of pairs."""
    size = domain.item_num + shared
    item_item = domain.transitions.tocoo()
    rows = np.concatenate([item_item.row, pairs_E2[:, 0]])
    columns = np.concatenate([item_item.col, pairs_E2[:, 1] + domain.item_num])
    values = np.concatenate([item_item.data, np.ones(len(pairs_E2))])
    # An item that follows itself is not its own neighbour.
    differ = rows != columns
    one_way = sparse.coo_matrix((values[differ], (rows[differ], columns[differ])), shape=(size, size))
    return (one_way + one_way.T).tocsr()


def _single(values: list[str]) -> dict[str, list[int]]:
    """Return the items of each name, if each item has at most one name; "" means none."""
    items_of: dict[str, list[int]] = {}
    for item, name in enumerate(values):
        if name:
            items_of.setdefault(name, []).append(item)
    return items_of


def _of_enough_items(items_by_name: list[dict[str, list[int]]]) -> list[dict[str, list[int]]]:
    return [{name: items for name, items in one.items() if len(items) >= LEAST_ITEMS} for one in items_by_name]


def _shared_words(titles: list[list[set[str]]], limit: int) -> list[dict[str, list[int]]]:
    """Return the items of each word, by domain; each word is in enough and not too many items of every domain."""
    items_by_word: list[dict[str, list[int]]] = []
    for words_of_items in titles:
        telling = telling_names(words_of_items, LEAST_ITEMS, LARGEST_WORD_SHARE)
        items_of: dict[str, list[int]] = {word: [] for word in telling}
        for item, words in enumerate(words_of_items):
            for word in words & telling:
                items_of[word].append(item)
        items_by_word.append(items_of)
    common = set(items_by_word[0]).intersection(*items_by_word)
    by_items = sorted(common, key=lambda word: (-sum(len(one[word]) for one in items_by_word), word))
    return [{word: one[word] for word in by_items[:limit]} for one in items_by_word]


def _aligned_users(domains: list[Domain]) -> list[dict[str, list[int]]]:
    """Return the items of each user in the training data of all domains, by raw name; none if there is one domain."""
    if len(domains) < 2:
        return [{} for _ in domains]
    items_by_user: list[dict[str, list[int]]] = [{} for _ in domains]
    for items_of, domain in zip(items_by_user, domains, strict=True):
        for user, item in zip(domain.users.tolist(), domain.items.tolist(), strict=True):
            name = domain.user_names[user] if domain.user_names else ""
            if name:
                items_of.setdefault(name, []).append(item)
    common = set(items_by_user[0]).intersection(*items_by_user)
    return [{name: items for name, items in items_of.items() if name in common} for items_of in items_by_user]


def _cluster_labels(features: list[np.ndarray], clusters: int, seed: int) -> list[list[str]]:
    """Return the cluster of each item [N] of each domain, "" without text; columns are standardised per domain first.

    Raises:
        ConfigError: there are fewer items than clusters.
    """
    has_text = [table.any(axis=1) for table in features]
    vectors = [table[rows] for table, rows in zip(features, has_text, strict=True)]
    standard = [(table - table.mean(axis=0)) / np.maximum(table.std(axis=0), 1e-6) for table in vectors]
    sizes = list(map(len, vectors))
    if sum(sizes) < clusters:
        raise ConfigError(
            f"ccdr_clusters is {clusters}, but only {sum(sizes)} items have text: lower it, or remove cluster from "
            "ccdr_align"
        )
    kmeans = MiniBatchKMeans(clusters, random_state=seed, batch_size=4096, n_init=3)
    labels_of_domains = np.split(kmeans.fit_predict(np.concatenate(standard)), np.cumsum(sizes)[:-1])
    named = []
    for rows, labels in zip(has_text, labels_of_domains, strict=True):
        names = np.full(len(rows), "", dtype=object)
        names[rows] = [str(label) for label in labels]
        named.append(names.tolist())
    return named

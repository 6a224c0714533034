"""What stands in the graphs of two domains, and what does not."""

import numpy as np
import pytest
from scipy import sparse

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.data.domain_graphs import build_graphs
from recbole_mpo.data.domains import Domain

# Items 1 to 6 of both domains; five of the titles share a word.
TITLES = ["", *(f"garden lamp number {name}" for name in ("one", "two", "three", "four", "five")), "a cup"]


def domain(titles=TITLES, interactions=((0, 1), (0, 2), (1, 2), (1, 3)), names=()) -> Domain:
    users, items = np.array(interactions).T
    follows = np.flatnonzero(users[1:] == users[:-1])
    shape = (len(titles), len(titles))
    pairs = sparse.coo_matrix((np.ones(len(follows)), (items[follows], items[follows + 1])), shape=shape).tocsr()
    tokens = np.array(["[PAD]", *map(str, range(1, len(titles)))])
    return Domain("set", users, items, pairs, list(names), tokens, list(titles))


def neighbours(graphs, which: int, node: int) -> set:
    """Items by number, shared nodes by name."""
    adjacency = graphs.adjacency[which]
    items = adjacency.shape[0] - len(graphs.names)
    return {int(other) if other < items else graphs.names[other - items] for other in adjacency[node].indices}


def build(domains, levels=("user", "brand", "category", "word"), words=100):
    return build_graphs(domains, list(levels), words, 1, 0)


def test_items_meet_in_both_directions_and_by_count():
    graphs = build([domain(interactions=((0, 1), (0, 2), (0, 1), (0, 3), (1, 1), (1, 2)))], levels=())
    adjacency = graphs.adjacency[0]
    assert neighbours(graphs, 0, 1) == {2, 3} and adjacency[1, 2] == adjacency[2, 1] == 3
    assert adjacency[0].nnz == 0


def test_words_must_be_in_enough_items_of_every_domain():
    other = ["", *TITLES[1:5], "garden chair", "red cup"]
    graphs = build([domain(), domain(other)])
    # 'lamp' and 'number' are in four titles of the second domain alone.
    assert graphs.names == ["garden"] and neighbours(graphs, 0, 5) == {"garden"}
    assert neighbours(graphs, 1, 1) == {2, "garden"} and neighbours(graphs, 1, 6) == set()
    assert graphs.aligned_counts() == {"user": 0, "brand": 0, "category": 0, "word": 1, "cluster": 0}


def test_of_many_words_those_of_the_most_items_stay():
    titles = ["", *["garden lamp"] * 5, "garden cup", *["a cup"] * 120]
    assert build([domain(titles)]).names == ["garden", "lamp"]
    assert build([domain(titles)], words=1).names == ["garden"]


def test_users_meet_by_raw_name_alone():
    first = domain(names=["anna", "bert"])
    second = domain(names=["carl", "anna"])
    graphs = build([first, second])
    assert "anna" in graphs.names and "bert" not in graphs.names
    assert "anna" in neighbours(graphs, 0, 1) and "anna" in neighbours(graphs, 1, 3)
    assert build([first, domain()]).aligned_counts()["user"] == 0 == build([first]).aligned_counts()["user"]


def test_brands_and_categories_come_from_texts_that_have_them():
    titles = ["", *[f"lamp {n}. Home Lighting. Lumo." for n in range(5)], "cup. Home Kitchen. Acme."]
    graphs = build([domain(titles), domain()], levels=("brand", "category"))
    assert graphs.names == ["lumo", "home lighting"]
    # They join items of the target, and nothing in the source.
    assert {"lumo", "home lighting"} <= neighbours(graphs, 0, 4) and len(graphs.aligned()) == 0


def test_users_without_training_rows_in_both_are_no_nodes():
    first = domain(names=["anna", "bert"])
    second = domain(interactions=((0, 1), (0, 2)), names=["carl", "anna"])
    assert build([first, second], levels=["user"]).names == []


def test_clusters_are_of_both_domains_and_leave_out_items_without_text():
    low, high = np.full((3, 3), -1.0), np.full((3, 3), 1.0)
    features = np.concatenate([np.zeros((1, 3)), low, high]) + np.eye(7, 3) * 0.01
    features[0] = 0
    both = [features, features * 5]
    graphs = build_graphs([domain(), domain()], ["cluster"], 1, 2, 0, both)
    assert graphs.aligned_counts()["cluster"] == 2
    groups = [neighbours(graphs, 0, item) - {1, 2, 3} for item in range(7)]
    assert groups[0] == set() and groups[4] == groups[5] == groups[6] != groups[1]
    # Domains are standardised apart, so the same items of either fall together.
    assert [neighbours(graphs, 1, item) - {1, 2, 3} for item in range(7)] == groups
    with pytest.raises(ConfigError, match="ccdr_clusters is 20, but only 12 items have text: lower it"):
        build_graphs([domain(), domain()], ["cluster"], 1, 20, 0, both)

"""What stands in the graphs of two domains, and what does not."""

import numpy as np
import pytest
from scipy import sparse

from recbole_mpo.data.domain import Domain, source_domain, target_domain
from recbole_mpo.data.graph import LEVELS, build_graphs
from recbole_mpo.data.histories import read_dataset_histories
from recbole_mpo.errors import ConfigError
from recbole_mpo.experiment import Experiment

KEYS = ("data_path", "checkpoint_dir", "cache_dir", "text_encoder", "show_progress", "use_gpu", "seed")
# Items 1 to 6 of both domains; five of the titles share a word.
TITLES = ["", *(f"garden lamp number {name}" for name in ("one", "two", "three", "four", "five")), "a cup"]


def domain(titles=TITLES, interactions=((0, 1), (0, 2), (1, 2), (1, 3)), names=(), features=None) -> Domain:
    users, items = np.array(interactions).T
    follows = np.flatnonzero(users[1:] == users[:-1])
    shape = (len(titles), len(titles))
    pairs = sparse.coo_matrix((np.ones(len(follows)), (items[follows], items[follows + 1])), shape=shape).tocsr()
    return Domain(users, items, pairs, list(names), list(titles), features)


def neighbours(graphs, which: int, node: int) -> set:
    """Items by number, shared nodes by name."""
    adjacency = graphs.adjacency[which]
    items = adjacency.shape[0] - len(graphs.names)
    return {int(other) if other < items else graphs.names[other - items] for other in adjacency[node].indices}


def build(domains, levels=LEVELS, words=100, clusters=2):
    return build_graphs(domains, [level for level in levels if level != "cluster"], words, clusters, 0)


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


def test_clusters_are_of_both_domains_and_leave_out_items_without_text():
    low, high = np.full((6, 3), -1.0), np.full((6, 3), 1.0)
    features = np.concatenate([np.zeros((1, 3)), low[:3], high[:3]]) + np.eye(7, 3) * 0.01
    features[0] = 0
    far = features * 5
    graphs = build_graphs([domain(features=features), domain(features=far)], ["cluster"], 1, 2, 0)
    assert graphs.aligned_counts()["cluster"] == 2
    groups = [neighbours(graphs, 0, item) - {1, 2, 3} for item in range(7)]
    assert groups[0] == set() and groups[4] == groups[5] == groups[6] != groups[1] - {1, 2, 3}
    with pytest.raises(ConfigError, match="ccdr_clusters is 20, but only 12 items have text"):
        build_graphs([domain(features=features), domain(features=far)], ["cluster"], 1, 20, 0)
    with pytest.raises(ConfigError, match=r"features of one size for all domains, found \[2, 3\]"):
        build_graphs([domain(features=features), domain(features=far[:, :2])], ["cluster"], 1, 2, 0)


def test_domains_hold_training_interactions_alone(tiny_settings, tiny_path):
    """A set as its own source has the same interactions and the same pairs, by token."""
    settings = {key: tiny_settings[key] for key in KEYS}
    experiment = Experiment.of("CCDR", "tiny", (), {**settings, "ccdr_clusters": 4})
    target = target_domain(experiment.config, experiment.splits[0], False)
    source = source_domain(experiment.config, "tiny", None, False)
    tokens = {name: experiment.dataset.field2id_token[name] for name in ("user_id", "item_id")}

    def by_token(found, users, items):
        pairs = found.transitions.tocoo()
        named = zip(users[found.users], items[found.items], strict=True)
        return sorted(named), sorted(zip(items[pairs.row], items[pairs.col], pairs.data, strict=True))

    lines = [line.split("\t") for line in (tiny_path / "tiny" / "tiny.inter").read_text().splitlines()[1:]]
    lines.sort(key=lambda line: (line[0], int(line[2])))
    expected = []
    for user in {line[0] for line in lines}:
        expected += [(user, item) for _, item, _ in [line for line in lines if line[0] == user][:-2]]
    found = by_token(target, tokens["user_id"], tokens["item_id"])
    assert found[0] == sorted(expected)
    source_items = np.array(["[PAD]", *read_dataset_histories(tiny_path, "tiny").item_tokens])
    assert by_token(source, np.array(source.user_names), source_items) == found

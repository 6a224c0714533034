"""What stands in the graphs of two domains, and what does not."""

import numpy as np
import pytest
from scipy import sparse

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.data.domain_graphs import build_graphs
from recbole_mpo.data.domains import Domain, domain_features, source_domain, target_domain
from recbole_mpo.quick_start.experiment import Experiment

KEYS = ("data_path", "checkpoint_dir", "cache_dir", "text_encoder", "show_progress", "use_gpu", "seed")
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


def test_domains_hold_training_interactions_alone(tiny_settings, tiny_path):
    """A set as its own source has the same interactions and the same pairs, by token."""
    settings = {key: tiny_settings[key] for key in KEYS}
    experiment = Experiment.of("CCDR", "tiny", (), {**settings, "ccdr_clusters": 4})
    target = target_domain(experiment.config, experiment.splits[0], True)
    source = source_domain(experiment.config, "tiny", True)
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
    assert by_token(source, np.array(source.user_names), source.item_tokens) == found


def test_a_pre_split_source_has_the_training_rows_of_a_run(tiny_settings, shared_data):
    settings = {key: tiny_settings[key] for key in KEYS}
    experiment = Experiment.of("CCDR", "Scientific", (), {**settings, "data_path": str(shared_data)})
    target = target_domain(experiment.config, experiment.splits[0], False)
    source = source_domain(experiment.config, "Scientific", False)
    order = np.argsort(target.item_tokens)[np.argsort(np.argsort(source.item_tokens))]
    assert len(source.items) == len(target.items) == 42_543
    assert (target.transitions[order][:, order] != source.transitions).nnz == 0


def test_raw_user_names_come_from_the_index_file(tiny_settings, tiny_path):
    experiment = Experiment.of("CCDR", "tiny", (), {key: tiny_settings[key] for key in KEYS})
    assert source_domain(experiment.config, "tiny", False).user_names[0].startswith("u")
    path = tiny_path / "tiny" / "tiny.inter"
    path.write_text(path.read_text(encoding="utf-8").replace("\nu", "\n"), encoding="utf-8")
    # Numbers of a set's own say nothing of another set's.
    assert source_domain(experiment.config, "tiny", False).user_names == []
    (tiny_path / "tiny" / "tiny.user2index").write_text("".join(f"A{n}\t{n}\n" for n in range(40)), encoding="utf-8")
    names = source_domain(experiment.config, "tiny", False).user_names
    assert sorted(names) == sorted(f"A{n}" for n in range(40))


def few_and_many(tiny_path, make_dataset):
    """Two sets of the same items and texts, in another order of appearance."""
    for name, seed in (("few", 0), ("many", 1)):
        make_dataset(tiny_path, name, seed=seed)
    text = (tiny_path / "few" / "few.text").read_text(encoding="utf-8")
    (tiny_path / "many" / "many.text").write_text(text, encoding="utf-8")


def test_features_of_an_encoder_that_fits_each_corpus_are_made_together(tiny_settings, tiny_path, make_dataset):
    few_and_many(tiny_path, make_dataset)
    experiment = Experiment.of("CCDR", "few", (), {key: tiny_settings[key] for key in KEYS})
    dataset = experiment.splits[0]
    domains = [target_domain(experiment.config, dataset, False), source_domain(experiment.config, "many", False)]
    target, source = domain_features(experiment.config, dataset, domains)
    assert not target[0].any() and not source[0].any()
    row_of = {token: row for row, token in enumerate(domains[1].item_tokens)}
    rows = [row_of[token] for token in domains[0].item_tokens]
    np.testing.assert_array_equal(target, source[rows])


def test_features_that_cannot_be_compared_are_refused(tiny_settings, tiny_path, make_dataset):
    few_and_many(tiny_path, make_dataset)
    for width in (3, 4):
        np.save(tiny_path / f"f{width}.npy", np.random.default_rng(0).normal(size=(30, width)).astype(np.float32))
    settings = {key: tiny_settings[key] for key in KEYS} | {"feature_file": str(tiny_path / "f3.npy")}

    def features(**changes):
        experiment = Experiment.of("CCDR", "few", (), {**settings, **changes})
        dataset = experiment.splits[0]
        domains = [target_domain(experiment.config, dataset, False), source_domain(experiment.config, "many", False)]
        return domain_features(experiment.config, dataset, domains)

    assert [table.shape for table in features(ccdr_source_feature_file=settings["feature_file"])] == [(31, 3), (31, 3)]
    with pytest.raises(ConfigError, match="give both feature_file and ccdr_source_feature_file, or none"):
        features()
    with pytest.raises(ConfigError, match="these have 3 and 4 columns"):
        features(ccdr_source_feature_file=str(tiny_path / "f4.npy"))

"""Domains hold training interactions alone, under the names of their own files, and features in one space."""

from types import SimpleNamespace

import numpy as np
import pytest

from recbole_mpo.common.errors import ConfigError, DataError
from recbole_mpo.data.domains import domain_features, source_domain, target_domain

KEYS = ("data_path", "checkpoint_dir", "cache_dir", "text_encoder", "show_progress", "use_gpu", "seed")


@pytest.fixture
def open_domain(data, tiny_settings):
    """A dataset as CCDR takes it."""

    def make(name, **changes):
        settings = {key: tiny_settings[key] for key in KEYS} | changes
        return data.open_dataset(settings.pop("data_path"), name, "CCDR", **settings)

    return make


def by_token(domain, users, items):
    """(user, item) of each interaction and (item, next item, count) of each pair, sorted."""
    pairs = domain.transitions.tocoo()
    named = zip(users[domain.users], items[domain.items], strict=True)
    return sorted(named), sorted(zip(items[pairs.row], items[pairs.col], pairs.data, strict=True))


def test_domains_hold_training_interactions_alone(open_domain, tiny_path):
    """A dataset as its own source has the same interactions and the same pairs, by token."""
    opened = open_domain("tiny", ccdr_clusters=4)
    target = target_domain(opened.config, opened.splits[0], True)
    source = source_domain(opened.config, "tiny", True)
    tokens = {name: opened.dataset.field2id_token[name] for name in ("user_id", "item_id")}
    lines = [line.split("\t") for line in (tiny_path / "tiny" / "tiny.inter").read_text().splitlines()[1:]]
    lines.sort(key=lambda line: (line[0], int(line[2])))
    expected = []
    for user in {line[0] for line in lines}:
        expected += [(user, item) for _, item, _ in [line for line in lines if line[0] == user][:-2]]
    of_target = by_token(target, tokens["user_id"], tokens["item_id"])
    assert of_target[0] == sorted(expected)
    assert by_token(source, np.array(source.user_names), source.item_tokens) == of_target
    assert dict(zip(source.item_tokens, source.texts, strict=True)) == dict(
        zip(target.item_tokens, target.texts, strict=True)
    )


def test_a_pre_split_source_has_the_training_rows_of_a_run(open_domain, shared_data):
    opened = open_domain("Scientific", data_path=str(shared_data))
    target = target_domain(opened.config, opened.splits[0], False)
    source = source_domain(opened.config, "Scientific", False)
    order = np.argsort(target.item_tokens)[np.argsort(np.argsort(source.item_tokens))]
    assert len(source.items) == len(target.items) == 42_543
    assert (target.transitions[order][:, order] != source.transitions).nnz == 0


def test_raw_user_names_come_from_the_index_file(open_domain, tiny_path):
    config = open_domain("tiny").config
    assert source_domain(config, "tiny", False).user_names[0].startswith("u")
    path = tiny_path / "tiny" / "tiny.inter"
    path.write_text(path.read_text(encoding="utf-8").replace("\nu", "\n"), encoding="utf-8")
    # Numbers of a dataset's own say nothing of another one's.
    assert source_domain(config, "tiny", False).user_names == []
    (tiny_path / "tiny" / "tiny.user2index").write_text("".join(f"A{n}\t{n}\n" for n in range(40)), encoding="utf-8")
    names = source_domain(config, "tiny", False).user_names
    assert sorted(names) == sorted(f"A{n}" for n in range(40))


# Names of columns

OTHER_NAMES = {"USER_ID_FIELD": "uid", "ITEM_ID_FIELD": "asin", "TIME_FIELD": "when", "LIST_SUFFIX": "_seq"}
RECBOLE_FORM = {"field_separator": "\t", "seq_separator": " ", "encoding": None}


class Settings(dict):
    """Settings as a run has them."""

    def __init__(self, data_root, **settings):
        super().__init__(settings)
        self.data_root = data_root


def test_a_source_calls_its_columns_as_the_settings_say(tiny_path, open_domain):
    expected = source_domain(open_domain("tiny").config, "tiny", False)
    path = tiny_path / "tiny" / "tiny.inter"
    header, _, rows = path.read_text().partition("\n")
    path.write_text("uid:token;asin:token;when:float\n" + rows.replace("\t", ";"))
    config = Settings(tiny_path, **OTHER_NAMES, **{**RECBOLE_FORM, "field_separator": ";"})
    domain = source_domain(config, "tiny", False)
    for field in ("users", "items", "item_tokens"):
        np.testing.assert_array_equal(getattr(domain, field), getattr(expected, field))
    assert (domain.transitions != expected.transitions).nnz == 0 and domain.user_names == expected.user_names


def test_a_pre_split_source_too(tmp_path, data):
    data.write_split(tmp_path, data.split_parts(data.random_interactions()))
    defaults = {"USER_ID_FIELD": "user_id", "ITEM_ID_FIELD": "item_id", "TIME_FIELD": "timestamp"}
    expected = source_domain(Settings(tmp_path, **defaults, LIST_SUFFIX="_list", **RECBOLE_FORM), "shop", False)
    for split in ("train", "valid", "test"):
        path = tmp_path / "shop" / f"shop.{split}.inter"
        rows = path.read_text().partition("\n")[2].replace(" ", "|")
        path.write_text("uid:token\tasin_seq:token_seq\tasin:token\n" + rows)
    config = Settings(tmp_path, **OTHER_NAMES, **{**RECBOLE_FORM, "seq_separator": "|"})
    domain = source_domain(config, "shop", False)
    np.testing.assert_array_equal(domain.items, expected.items)
    assert (domain.transitions != expected.transitions).nnz == 0


def test_a_source_with_other_columns_names_those_there_are(tiny_path):
    config = Settings(tiny_path, **OTHER_NAMES, **RECBOLE_FORM)
    message = r"tiny\.inter has no column 'uid', 'asin', 'when'; its columns are user_id, .*set USER_ID_FIELD"
    with pytest.raises(DataError, match=message):
        source_domain(config, "tiny", False)


# Features


def few_and_many(tiny_path, make_dataset):
    """Two datasets of the same items and texts, in another order of appearance."""
    for name, seed in (("few", 0), ("many", 1)):
        make_dataset(tiny_path, name, seed=seed)
    text = (tiny_path / "few" / "few.text").read_text(encoding="utf-8")
    (tiny_path / "many" / "many.text").write_text(text, encoding="utf-8")


def features_of_both(opened) -> SimpleNamespace:
    dataset, config = opened.splits[0], opened.config
    domains = [target_domain(config, dataset, False), source_domain(config, "many", False)]
    return SimpleNamespace(domains=domains, tables=domain_features(config, dataset, domains))


def test_features_of_an_encoder_that_fits_each_corpus_are_made_together(open_domain, tiny_path, make_dataset):
    few_and_many(tiny_path, make_dataset)
    both = features_of_both(open_domain("few"))
    target, source = both.tables
    assert not target[0].any() and not source[0].any()
    row_of = {token: row for row, token in enumerate(both.domains[1].item_tokens)}
    rows = [row_of[token] for token in both.domains[0].item_tokens]
    np.testing.assert_array_equal(target, source[rows])


def test_features_that_cannot_be_compared_are_refused(open_domain, tiny_path, make_dataset):
    few_and_many(tiny_path, make_dataset)
    for width in (3, 4):
        np.save(tiny_path / f"f{width}.npy", np.random.default_rng(0).normal(size=(30, width)).astype(np.float32))
    three, four = (str(tiny_path / f"f{width}.npy") for width in (3, 4))
    both = features_of_both(open_domain("few", feature_file=three, ccdr_source_feature_file=three))
    assert [table.shape for table in both.tables] == [(31, 3), (31, 3)]
    with pytest.raises(ConfigError, match="give both feature_file and ccdr_source_feature_file, or neither"):
        features_of_both(open_domain("few", feature_file=three))
    with pytest.raises(ConfigError, match="but feature_file and ccdr_source_feature_file have 3 and 4 columns"):
        features_of_both(open_domain("few", feature_file=three, ccdr_source_feature_file=four))

"""What is counted of all parts: the hash of the test pairs is that of the text file, whatever the tokens."""

import pytest
from sharded import shard_dataset
from support import built_run

from recbole_mpo.common.errors import DataError
from recbole_mpo.data import shard_facts
from recbole_mpo.data.target_pairs import target_pairs_hash


@pytest.fixture
def datasets(tiny_settings, tiny_path):
    """The text file's test split, and the sharded dataset; some tokens are not plain."""
    path = tiny_path / "tiny" / "tiny.inter"
    path.write_text(path.read_text().replace("u1\t", 'u"1\\\t').replace("i3\t", "ï3 é\t"), encoding="utf-8")
    shard_dataset(tiny_path)
    settings = {**tiny_settings, "item_input": "id"}
    settings.pop("text_encoder")
    return built_run("UniSRec", "tiny", (), settings).splits[2], built_run("UniSRec", "shards", (), settings).dataset


def test_the_hash_of_test_pairs_is_that_of_the_text_file(datasets, monkeypatch):
    test, sharded = datasets
    assert sharded.facts.test_pairs == target_pairs_hash(test)
    monkeypatch.setattr(shard_facts, "LINES_AT_A_TIME", 7)
    monkeypatch.setattr("recbole_mpo.data.shard_manifest.ROWS_AT_A_TIME", 10)
    assert shard_facts.test_pairs_hash(sharded) == target_pairs_hash(test)


def test_other_shares_are_counted_apart(datasets):
    _, sharded = datasets
    paths = set(sharded.folder.glob("facts-*"))
    assert len(paths) == 1
    facts = shard_facts.read_or_count(sharded, {"train_users": 0.5, "eval_users": 1})
    assert facts.test_pairs == sharded.facts.test_pairs and len(set(sharded.folder.glob("facts-*"))) == 2


def test_a_part_that_was_cut_short_since_is_named(datasets, tmp_path):
    _, sharded = datasets
    first, second, *_ = sharded.manifest.parts
    first.path.write_bytes(second.path.read_bytes())
    with pytest.raises(DataError, match=f"has {second.rows:,} rows, but the manifest of its dataset says"):
        shard_facts.test_pairs_hash(sharded)

"""Evaluated rows are those of the text file, in batches of RecBole's fields."""

import pytest
from sharded import shard_dataset
from support import built_run


@pytest.fixture
def loaders(tiny_settings, tiny_path):
    shard_dataset(tiny_path)
    settings = {**tiny_settings, "eval_batch_size": 7, "MAX_ITEM_LIST_LENGTH": 6}
    return [built_run("UniSRec", name, (), settings).loaders[1:] for name in ("tiny", "shards")]


def rows(loader):
    found = []
    for interaction, _, positive_rows, targets in loader:
        assert positive_rows.tolist() == list(range(len(targets)))
        lengths = interaction["item_length"].tolist()
        histories = [row[:length] for row, length in zip(interaction["item_id_list"].tolist(), lengths, strict=True)]
        users = interaction["user_id"].tolist()
        rows_of_batch = zip(users, histories, targets.tolist(), strict=True)
        found += [(user, *history, target) for user, history, target in rows_of_batch]
    return found


def test_rows_are_those_of_the_text_file(loaders):
    for text, shards in zip(*loaders, strict=True):
        assert sorted(rows(shards)) == sorted(rows(text))
        assert len(shards._dataset) == len(text._dataset) == 40


def test_batches_are_counted_and_have_short_histories_first(loaders):
    loader = loaders[1][1]
    batches = list(loader)
    assert len(batches) == len(loader) and max(len(targets) for *_, targets in batches) == 7
    # Of the first part.
    lengths = sum((rows["item_length"].tolist() for rows, *_ in batches[:2]), [])
    assert lengths == sorted(lengths)

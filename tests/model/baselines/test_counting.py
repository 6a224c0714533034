"""Pop, CoVisit, TextKNN and CountText against their definitions, and on Scientific against known figures."""

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from model.baselines.count_text import (
    WEIGHTS,
    count_text_by_loop,
    neighbours,
    texts_by_token,
    walks_of,
    word_cosines,
    write_repeating,
)
from support import built_run

from recbole_mpo.common.errors import CheckpointError, ConfigError
from recbole_mpo.data.histories import read_dataset_histories
from recbole_mpo.quick_start.evaluate import evaluate_checkpoint
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.trainer import checkpoint, ranking

KEYS = ("data_path", "checkpoint_dir", "cache_dir", "show_progress", "use_gpu", "seed")


@pytest.fixture
def settings(tiny_settings):
    return {key: tiny_settings[key] for key in KEYS}


def training_histories(data_path):
    """Tokens of each user but the last two; every user of ``tiny`` has at least four."""
    found = read_dataset_histories(data_path, "tiny")
    tokens = np.split(found.item_tokens[found.items], np.cumsum(found.lengths)[:-1])
    return [history[:-2].tolist() for history in tokens]


def scores_of(name, settings, part=2):
    """Scores by item token, one history of tokens each."""
    experiment = built_run(name, "tiny", (), settings)
    rows = experiment.splits[part][np.arange(len(experiment.splits[part]))]
    scores = experiment.model.eval().full_sort_predict(rows)
    names = experiment.dataset.field2id_token["item_id"]
    for items, length, row in zip(rows["item_id_list"], rows["item_length"], scores, strict=True):
        yield [names[item] for item in items[:length].tolist()], dict(zip(names[1:], row[1:].tolist(), strict=True))


def test_pop_counts_training_interactions(settings, tiny_path):
    counts = Counter(item for history in training_histories(tiny_path) for item in history)
    for _, scores in scores_of("Pop", settings):
        assert scores == {item: counts[item] for item in scores}


@pytest.mark.parametrize("symmetric", [True, False])
def test_covisit_adds_neighbours_of_the_newest_items(settings, tiny_path, symmetric):
    follows = Counter(
        pair for history in training_histories(tiny_path) for pair in zip(history, history[1:], strict=False)
    )
    popular = Counter(item for history in training_histories(tiny_path) for item in history)
    for history, scores in scores_of("CoVisit", {**settings, "covisit_symmetric": symmetric}):
        expected = {
            item: sum(
                weight * (follows[recent, item] + symmetric * follows[item, recent])
                for weight, recent in zip(WEIGHTS, reversed(history), strict=False)
            )
            for item in scores
        }
        assert all(0 <= scores[item] - expected[item] < 0.005 for item in scores)
        best = sorted(scores, key=scores.get, reverse=True)
        assert best == sorted(best, key=lambda item: (round(expected[item], 6), popular[item]), reverse=True)


def test_textknn_adds_cosines_of_other_items(settings, tiny_path):
    experiment = built_run("TextKNN", "tiny", (), {**settings, "text_encoder": "tfidf-svd"})
    features = experiment.dataset.features
    tokens = experiment.dataset.field2id_token["item_id"]
    lengths = np.linalg.norm(features.table, axis=1, keepdims=True)
    vector = dict(zip(tokens[1:], features.table[1:] / lengths[1:], strict=True))
    for history, scores in scores_of("TextKNN", {**settings, "text_encoder": "tfidf-svd"}):
        for item in list(scores)[:5]:
            recent = zip(WEIGHTS, reversed(history), strict=False)
            expected = sum(weight * vector[other] @ vector[item] for weight, other in recent if other != item)
            assert scores[item] == pytest.approx(expected, abs=1e-5)


EVIDENCE = ["covisit", "words", "two_hop"]


@pytest.mark.parametrize("kinds", [None, EVIDENCE, ["words"], ["two_hop"], ["two_hop", "covisit"]])
@pytest.mark.parametrize("data", ["tiny", "repeating"])
def test_counttext_adds_counts_words_and_walks(settings, tiny_path, tmp_path, data, kinds):
    path = tiny_path if data == "tiny" else tmp_path / "repeating"
    write_repeating(tmp_path / "repeating")
    histories = training_histories(path)
    pairs, popular = neighbours(histories), Counter(item for history in histories for item in history)
    walks, cosines = walks_of(pairs), word_cosines(texts_by_token(path, "tiny"))
    changes = {"data_path": str(path), **({} if kinds is None else {"evidence": kinds})}
    assert data == "tiny" or {(item, item) for item in "ace"} <= pairs.keys()
    has_repeats = False
    for history, scores in scores_of("CountText", {**settings, **changes}):
        has_repeats |= len(set(history[-5:])) < len(history[-5:])
        expected = {
            item: count_text_by_loop(history, item, kinds or ["covisit", "words"], pairs, walks, cosines)
            for item in scores
        }
        assert all(-1e-12 <= scores[item] - expected[item] <= 1e-6 + 1e-12 for item in scores)
        tie_breaks = {item: 1e-6 * popular[item] / max(popular.values()) for item in scores}
        assert scores == pytest.approx({item: expected[item] + tie_breaks[item] for item in scores}, abs=1e-12)
        best = sorted(scores, key=scores.get, reverse=True)
        assert best == sorted(best, key=lambda item: (round(expected[item], 9), popular[item]), reverse=True)
    assert data == "tiny" or has_repeats


def test_counttext_takes_evidence_in_any_order_and_a_window(settings, tiny_path):
    orders = (EVIDENCE, EVIDENCE[::-1])
    first, second = ([scores for _, scores in scores_of("CountText", {**settings, "evidence": one})] for one in orders)
    assert all(one == pytest.approx(other, abs=1e-12) for one, other in zip(first, second, strict=True))
    pairs = Counter()
    for history in training_histories(tiny_path):
        for distance in (1, 2, 3):
            for item, later in zip(history, history[distance:], strict=False):
                pairs[item, later] += 0.5 ** (distance - 1)
                pairs[later, item] += 0.5 ** (distance - 1)
    for history, scores in scores_of("CountText", {**settings, "evidence": "covisit", "evidence_window": 3}):
        recent = list(zip(WEIGHTS, reversed(history), strict=False))
        for item, score in scores.items():
            assert score == pytest.approx(math.log1p(sum(w * pairs[other, item] for w, other in recent)), abs=2e-6)


def test_counttext_without_evidence_is_refused(settings):
    with pytest.raises(ConfigError, match="CountText scores by evidence: give covisit, words or two_hop"):
        built_run("CountText", "tiny", (), {**settings, "evidence": []}).model  # noqa: B018


@pytest.mark.parametrize("name", ["Pop", "CoVisit", "TextKNN", "CountText"])
def test_a_run_takes_no_training_and_its_checkpoint_ranks_the_same(settings, name):
    record = run(name, "tiny", (), {**settings, **({"text_encoder": "tfidf-svd"} if name == "TextKNN" else {})})
    assert record["status"] == "completed" and record["params"]["trainable"] == 0
    assert record["item_input"] == "none" and "item_input" not in record["config"]
    assert record["reads"] == ["interactions", *(["text"] if name in ("TextKNN", "CountText") else [])]
    assert record["test"]["hit@10"] > 0
    path = f"{settings['checkpoint_dir']}/{record['run_id']}/best.pth"
    assert evaluate_checkpoint(path) == {split: record[split] for split in ("valid", "test")}


@pytest.mark.parametrize("name", ["Pop", "CoVisit", "CountText"])
def test_rows_of_valid_and_test_change_nothing_that_is_counted(settings, tiny_path, name):
    def counted():
        """Popularity and pairs by token: the numbers of items follow their first appearance anywhere."""
        experiment = built_run(name, "tiny", (), settings)
        model, names = experiment.model, experiment.dataset.field2id_token["item_id"]
        popular = dict(zip(names, model.popularity.tolist(), strict=True))
        tables = {"CoVisit": lambda: model.counts, "CountText": lambda: model.tables["covisit"]}
        pairs = tables[name]().tocoo() if name in tables else None
        found = {} if pairs is None else zip(names[pairs.row], names[pairs.col], pairs.data, strict=True)
        return popular, set(found)

    before = counted()
    path = tiny_path / "tiny" / "tiny.inter"
    frame = pd.read_csv(path, sep="\t")
    user, item, time = frame.columns
    newest = frame.sort_values(time).groupby(user).tail(2).index
    frame.loc[newest, item] = frame.loc[newest, item].to_numpy()[::-1]
    frame.to_csv(path, sep="\t", index=False)
    assert counted() == before


@pytest.mark.parametrize("weights", [[], ["a"], ["1"], [-1], [1.0, -1.0], 1, None, [1, float("inf")], [True]])
@pytest.mark.parametrize("name", ["CoVisit", "MPORec"])
def test_weights_are_checked(tiny_settings, settings, name, weights):
    given = {**tiny_settings, "evidence": ["covisit"]} if name == "MPORec" else settings
    with pytest.raises(ConfigError, match="recent_weights must be a list of numbers"):
        built_run(name, "tiny", (), {**given, "recent_weights": weights}).model  # noqa: B018


@pytest.mark.parametrize(
    "name, changes, message",
    [
        ("Pop", {"item_input": "text"}, "Pop does not use item_input; leave it out"),
        ("TextKNN", {"item_input": "text"}, "TextKNN does not use item_input; leave it out"),
        ("CoVisit", {"train_mode": "pairwise"}, "CoVisit reads whole histories: leave train_mode=packed"),
        ("BERT4RecFair", {"train_mode": "pairwise"}, "BERT4RecFair reads whole histories"),
        ("BERT4RecFair", {"item_input": "text"}, "BERT4RecFair takes item_input=id"),
    ],
)
def test_settings_a_model_has_no_use_for_are_refused(settings, name, changes, message):
    with pytest.raises(ConfigError, match=message):
        built_run(name, "tiny", (), {**settings, **changes})


def test_whole_histories_of_presplit_rows_are_counted(tmp_path):
    """Also where a row is no prefix of the next: every pair of a history counts, and once."""
    folder = tmp_path / "data" / "rows"
    folder.mkdir(parents=True)
    header = "user_id:token\titem_id_list:token_seq\titem_id:token\n"
    train = "u\ta b c d\te\nv\ta\tb\nv\ta b\tc\n"
    for part, rows in (("train", train), ("valid", "u\ta b c d e\tf\n"), ("test", "u\ta b c d e f\ta\n")):
        (folder / f"rows.{part}.inter").write_text(header + rows)
    settings = {"data_path": str(tmp_path / "data"), "use_gpu": False, "covisit_symmetric": False}
    experiment = built_run("CoVisit", "rows", (), settings)
    names, counts = experiment.dataset.field2id_token["item_id"], experiment.model.counts.tocoo()
    found = {names[i] + names[j]: count for i, j, count in zip(counts.row, counts.col, counts.data, strict=True)}
    assert found == {"ab": 2, "bc": 2, "cd": 1, "de": 1}


@pytest.mark.parametrize("name", ["CoVisit", "CountText"])
def test_a_checkpoint_of_other_counts_is_refused(settings, tiny_path, name):
    record = run(name, "tiny", (), settings)
    path = tiny_path / "tiny" / "tiny.inter"
    header, *rows = path.read_text().splitlines()
    # The last interaction of all happens before all others: the same items in the same order of lines.
    latest = max(rows, key=lambda row: int(row.split("\t")[2]))
    moved = latest.rsplit("\t", 1)[0] + "\t1"
    path.write_text("\n".join([header, *(moved if row == latest else row for row in rows)]) + "\n")
    with pytest.raises(CheckpointError, match="was written with other counts of training interactions"):
        evaluate_checkpoint(f"{settings['checkpoint_dir']}/{record['run_id']}/best.pth")


def test_a_checkpoint_of_other_texts_is_refused(settings, tiny_path):
    record = run("CountText", "tiny", (), settings)
    path = tiny_path / "tiny" / "tiny.text"
    path.write_text(path.read_text().replace("lamp", "table"))
    with pytest.raises(CheckpointError, match="was written with other counts of training interactions"):
        evaluate_checkpoint(f"{settings['checkpoint_dir']}/{record['run_id']}/best.pth")


def test_a_counting_model_cannot_be_resumed(settings):
    record = run("Pop", "tiny", (), settings)
    path = f"{settings['checkpoint_dir']}/{record['run_id']}/best.pth"
    with pytest.raises(CheckpointError, match="holds only weights"):
        run("Pop", "tiny", (), settings, resume=path)


def test_a_checkpoint_that_names_an_item_input_as_before_ranks_the_same(settings, caplog):
    record = run("CoVisit", "tiny", (), settings)
    path = f"{settings['checkpoint_dir']}/{record['run_id']}/best.pth"
    state = checkpoint.load_checkpoint(path)
    checkpoint.save_checkpoint({**state, "config": {**state["config"], "item_input": "id"}}, Path(path))
    assert evaluate_checkpoint(path)["test"] == record["test"]
    assert "settings of the checkpoint that CoVisit does not use are dropped: item_input" in caplog.text


@pytest.mark.parametrize("name", ["CoVisit", "SASRec"])
def test_scores_of_few_rows_at_a_time_rank_the_same(settings, monkeypatch, name):
    experiment = built_run(name, "tiny", (), settings)
    trainer = experiment.trainer("run")
    whole = trainer.target_ranks(experiment.loaders[2])["rank"]
    monkeypatch.setattr(ranking, "MAX_SCORES", 100)
    assert np.array_equal(trainer.target_ranks(experiment.loaders[2])["rank"], whole)


def test_scientifics_counts_are_the_known_ones(shared_data, tmp_path):
    """Pop .0309 / .0171; symmetric co-visits .1115 / .0760 where equal scores are ordered in the target's favour."""
    common = {"data_path": str(shared_data), "checkpoint_dir": str(tmp_path), "show_progress": False, "use_gpu": False}
    found = {name: run(name, "Scientific", (), common)["test"] for name in ("Pop", "CoVisit")}
    assert found["Pop"]["hit@10"] == pytest.approx(0.0309, abs=5e-4)
    assert found["Pop"]["ndcg@10"] == pytest.approx(0.0171, abs=5e-4)
    assert found["CoVisit"]["hit@10"] == pytest.approx(0.1115, abs=2e-3)
    assert found["CoVisit"]["ndcg@10"] == pytest.approx(0.0760, abs=2e-3)


@pytest.mark.parametrize(
    ("kinds", "figures"),
    [
        (None, {"hit@10": 0.1360, "hit@50": 0.2217, "ndcg@10": 0.0939, "ndcg@50": 0.1127}),
        (EVIDENCE, {"hit@10": 0.1394, "hit@50": 0.2286, "ndcg@10": 0.0936, "ndcg@50": 0.1132}),
    ],
)
def test_scientifics_counts_and_words_are_the_known_ones(shared_data, tmp_path, kinds, figures):
    """Taken with scripts of their own before there was this model."""
    common = {"data_path": str(shared_data), "checkpoint_dir": str(tmp_path), "show_progress": False, "use_gpu": False}
    found = run("CountText", "Scientific", (), {**common, **({} if kinds is None else {"evidence": kinds})})["test"]
    assert {name: found[name] for name in figures} == pytest.approx(figures, abs=5e-4)

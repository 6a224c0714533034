"""Rankings with ``eval_history: masked``, of every model, against a slow oracle that reads the files itself."""

import json

import numpy as np
import pytest
import torch
from support import built_run

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.common.rank_gains import MISSED
from recbole_mpo.data.histories import read_dataset_histories
from recbole_mpo.data.known_items import ROW_NUMBER
from recbole_mpo.quick_start.evaluate import evaluate_checkpoint
from recbole_mpo.quick_start.recorded_run import run as run_model
from recbole_mpo.study.table import make_table
from recbole_mpo.trainer import ranking

KEYS = ("data_path", "checkpoint_dir", "cache_dir", "show_progress", "use_gpu", "seed")
TEXT = {"text_encoder": "tfidf-svd"}
MODELS = {
    "MPORec": TEXT,
    "UniSRec": {**TEXT, "evidence": ["covisit"]},
    "UniSRec, pairwise": {**TEXT, "train_mode": "pairwise"},
    "SASRecCE": {},
    "PeterRec": {"item_input": "id", "dilations": [1, 4]},
    "S3RecFixed": {},
    "BERT4RecFair": {},
    "CCDR": {"ccdr_clusters": 4, **TEXT},
    "Pop": {},
    "CoVisit": {},
    "TextKNN": TEXT,
    "CountText": {},
    "SASRec": {},
    "GRU4Rec": {},
    "BERT4Rec": {},
    "S3Rec": {},
}


@pytest.fixture
def settings(tiny_settings):
    """The model sees three items of a history; all of it is masked."""
    return {**{key: tiny_settings[key] for key in KEYS}, "MAX_ITEM_LIST_LENGTH": 3, "eval_history": "masked"}


def write_presplit(folder):
    """The histories of ``tiny`` as three files ``three``; in those of valid and test, cut to two items."""
    found = read_dataset_histories(folder, "tiny")
    target = folder / "three"
    target.mkdir()
    rows = {"train": [], "valid": [], "test": []}
    for number, user in enumerate(found.user_tokens):
        items = found.item_tokens[found.items[found.users == number]].tolist()
        for part, place in (*(("train", place) for place in range(1, len(items) - 2)), ("valid", -2), ("test", -1)):
            history = items[:place] if part == "train" else items[:place][-2:]
            rows[part].append(f"{user}\t{' '.join(history)}\t{items[place]}")
    for part, lines in rows.items():
        header = "user_id:token\titem_id_list:token_seq\titem_id:token"
        (target / f"three.{part}.inter").write_text("\n".join([header, *lines]) + "\n")
    text = (folder / "tiny" / "tiny.text").read_text()
    (target / "three.text").write_text(text)


@torch.no_grad()
def ranks_by_oracle(run, folder, part):
    """Dense scores, -inf for each item before the target, and a count; by user token."""
    found = read_dataset_histories(folder, "tiny")
    split, numbers = run.splits[part], run.dataset.field2token_id["item_id"]
    rows = split[np.arange(len(split))]
    # RecBole's own rows get what its loader of an evaluation adds.
    rows = run.loaders[part].transform(split, rows)
    scores = run.model.eval().full_sort_predict(rows).view(len(split), -1)
    ranks = {}
    for user, target, row in zip(rows["user_id"].tolist(), rows["item_id"].tolist(), scores.tolist(), strict=True):
        token = split.id2token("user_id", user)
        of_user = found.users == found.user_tokens.tolist().index(token)
        history = found.item_tokens[found.items[of_user]].tolist()[: part - 3]
        masked = [-np.inf if item in {0, *(numbers[known] for known in history)} else score
                  for item, score in enumerate(row)]  # fmt: skip
        others = [score for item, score in enumerate(masked) if item != target and score >= row[target]]
        ranks[token] = MISSED if masked[target] == -np.inf else 1 + len(others)
    return ranks


@pytest.mark.parametrize("dataset", ["tiny", "three"])
@pytest.mark.parametrize("name", MODELS)
def test_ranks_are_those_of_the_oracle(settings, tiny_path, monkeypatch, name, dataset):
    write_presplit(tiny_path)
    run = built_run(name.split(",")[0], dataset, (), {**settings, **MODELS[name]})
    trainer = run.trainer("run")
    for part in (1, 2):
        columns = trainer.target_ranks(run.loaders[part])
        found = dict(zip(run.dataset.id2token("user_id", columns["user"]), columns["rank"].tolist(), strict=True))
        assert found == ranks_by_oracle(run, tiny_path, part)
        assert columns["rank"].dtype == np.int32 and len(found) == 40
        assert 0 < sum(rank == MISSED for rank in found.values()) < 40
        monkeypatch.setattr(ranking, "MAX_SCORES", 100)
        assert np.array_equal(trainer.target_ranks(run.loaders[part])["rank"], columns["rank"])
        monkeypatch.undo()


@pytest.mark.parametrize("group_by", ["user", None])
@pytest.mark.parametrize("name", ["CoVisit", "SASRec"])
def test_with_several_targets_of_a_user_each_knows_all_before_it(settings, tiny_path, name, group_by):
    ratios = {"split": {"RS": [0.6, 0.2, 0.2]}, "group_by": group_by}
    run = built_run(name, "tiny", (), {**settings, "eval_args": ratios})
    found = read_dataset_histories(tiny_path, "tiny")
    seen = 0
    for split in run.splits:
        rows = split.inter_feat
        order = np.argsort(rows[ROW_NUMBER].numpy(), kind="stable")
        users, targets = (split.id2token(field, rows[field].numpy()[order]) for field in ("user_id", "item_id"))
        known = [set() for _ in order]
        for row, item in zip(*split.known_items.pairs(rows[order]), strict=True):
            known[row].add(split.id2token("item_id", item))
        for user in set(users.tolist()):
            history = found.item_tokens[found.items[found.users == found.user_tokens.tolist().index(user)]].tolist()
            mine = np.flatnonzero(users == user)
            places = [int(run_place) for run_place in places_of(run, user, rows, order[mine])]
            assert [history[place] for place in places] == targets[mine].tolist()
            assert [known[row] for row in mine] == [set(history[:place]) for place in places]
            seen += len(mine)
    assert seen == sum(map(len, run.splits)) and max(np.unique(users, return_counts=True)[1]) > 1


def places_of(run, user, rows, chosen):
    """Places in the user's history of the targets of these rows: rows are numbered user by user, in order of time."""
    number = run.dataset.field2token_id["user_id"][user]
    first = min(int(split.inter_feat[ROW_NUMBER][split.inter_feat["user_id"] == number].min())
                for split in run.splits if (split.inter_feat["user_id"] == number).any())  # fmt: skip
    return rows[ROW_NUMBER].numpy()[chosen] - first + 1


@pytest.mark.parametrize("name", ["MPORec", "CoVisit", "SASRec", "S3Rec"])
def test_recboles_evaluator_gives_the_same_metrics(settings, name):
    metrics = {"metrics": ["Hit", "NDCG", "MRR", "Recall", "Precision", "MAP"], "topk": [1, 5, 10]}
    results = []
    for eval_mode in ("ranks", "recbole"):
        changes = {**metrics, **MODELS[name], "eval_mode": eval_mode, "metric_decimal_place": 12}
        run = built_run(name, "tiny", (), {**settings, **changes})
        trainer = run.trainer("run")
        trainer.eval_collector.data_collect(run.loaders[0])
        results.append(trainer.evaluate(run.loaders[2], load_best_model=False))
    ours, recboles = results
    # Equal scores are ordered by RecBole as they fall.
    near = 0.06 if name == "CoVisit" else 1e-9
    assert {key: float(value) for key, value in recboles.items()} == pytest.approx(ours, abs=near) and len(ours) == 18


def test_recboles_evaluator_refuses_more_places_than_candidates(settings):
    run = built_run("SASRec", "tiny", (), {**settings, "eval_mode": "recbole", "topk": [10, 28]})
    trainer = run.trainer("run")
    trainer.eval_collector.data_collect(run.loaders[0])
    with pytest.raises(ConfigError, match=r"a user has only 1\d candidates, fewer than topk=28: .*eval_mode=ranks"):
        trainer.evaluate(run.loaders[2], load_best_model=False)


@pytest.mark.parametrize(("name", "epochs"), [("CoVisit", {}), ("SASRec", {"epochs": 1})])
def test_a_run_says_which_way_and_the_two_are_not_put_into_one_table(settings, name, epochs):
    records = {}
    for way in ("kept", "masked"):
        records[way] = run_model(name, "tiny", (), {**settings, **epochs, "eval_history": way})
    folders = {way: f"{settings['checkpoint_dir']}/{record['run_id']}" for way, record in records.items()}
    assert [record["config"]["eval_history"] for record in records.values()] == ["kept", "masked"]
    assert records["kept"]["data"] == records["masked"]["data"]
    for way, folder in folders.items():
        assert evaluate_checkpoint(f"{folder}/best.pth") == {part: records[way][part] for part in ("valid", "test")}
        assert json.loads(open(f"{folder}/record.json").read())["test"] == records[way]["test"]
        # The ranks beside the record give its metrics, misses among them.
        make_table([folder], reference=folder)
    with np.load(f"{folders['masked']}/ranks.npz") as ranks:
        missed = ranks["test_rank"] == MISSED
    with np.load(f"{folders['kept']}/ranks.npz") as ranks:
        assert 0 < missed.sum() < len(missed) == len(ranks["test_rank"]) and ranks["test_rank"].max() < 31
    # A miss stays a miss at a cut-off beyond the catalogue.
    assert records["masked"]["test"]["hit@50"] == 1 - missed.mean() < records["kept"]["test"]["hit@50"] == 1


def test_there_is_no_third_way(settings):
    with pytest.raises(ConfigError, match="eval_history is 'hidden'; choose one of kept, masked"):
        built_run("SASRec", "tiny", (), {**settings, "eval_history": "hidden"})

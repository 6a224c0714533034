"""Evidence beside RecBole's own models: what it counts, what it adds, and what it leaves alone."""

import numpy as np
import pytest
import torch
from support import built_run, folder_of

from recbole_mpo.common.errors import CheckpointError, ConfigError
from recbole_mpo.layers.pair_evidence import Columns, Recent
from recbole_mpo.quick_start.evaluate import evaluate_checkpoint
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.trainer import late_evidence
from recbole_mpo.trainer.late_evidence import fit_evidence

KINDS = ["covisit", "words", "two_hop"]
LATE = {"evidence": KINDS, "evidence_fit": "late"}
SIZES = {
    "SASRec": {"hidden_size": 16, "inner_size": 16},
    "GRU4Rec": {"hidden_size": 16, "embedding_size": 16},
    "BERT4Rec": {"hidden_size": 16, "inner_size": 16},
    "S3Rec": {"hidden_size": 16, "inner_size": 16, "pretrain_epochs": 1},
    "FPMC": {"embedding_size": 8},
}
SHARED = ("data_path", "checkpoint_dir", "cache_dir", "show_progress", "use_gpu", "train_batch_size", "seed")


@pytest.fixture
def settings(tiny_settings):
    """Settings of one epoch of a small model of RecBole's with evidence, by name."""

    def make(name, **changes):
        shared = {key: tiny_settings[key] for key in SHARED}
        # RecBole's time goes with the length of its rows.
        shared |= {"MAX_ITEM_LIST_LENGTH": 15, "epochs": 1}
        return {**shared, **SIZES.get(name, {}), **LATE, **changes}

    return make


@pytest.mark.parametrize("name", ["SASRec", "BERT4Rec"])
def test_the_tables_are_those_of_a_text_model_on_the_same_data(settings, tiny_settings, name):
    text = built_run("UniSRec", "tiny", (), {**tiny_settings, **LATE, "MAX_ITEM_LIST_LENGTH": 15}).model.evidence
    other = built_run(name, "tiny", (), settings(name)).model.evidence
    for one in (text, other):
        one.make_training_tables()
    assert list(other.kinds) == KINDS
    for kind, pairs in text.kinds.items():
        assert len(pairs.starts) == (1 if kind == "words" else 2)
        for part in ("starts", "columns", "values"):
            assert torch.equal(getattr(pairs, part), getattr(other.kinds[kind], part))


@pytest.mark.parametrize("name", SIZES)
def test_a_run_trains_as_without_it_and_is_evaluated_with_it(settings, name):
    plain = run(name, "tiny", (), settings(name, evidence=[]))
    record = run(name, "tiny", (), settings(name))
    for part in ("train_loss", "valid"):
        assert [epoch[part] for epoch in record["history"]] == [epoch[part] for epoch in plain["history"]]
    assert record["label"] == f"{name} + evidence, late" and plain["label"] == name
    losses = record["evidence_loss"]
    assert len(losses) == late_evidence.EPOCHS and losses[-1] < losses[0] and "evidence_loss" not in plain
    assert record["test"] != plain["test"]
    assert record["params"]["by_group"]["evidence"] == {"total": 26, "trainable": 0}
    path = folder_of(record) / "best.pth"
    assert torch.load(path, weights_only=True)["state_dict"]["evidence.is_fitted"]
    assert evaluate_checkpoint(path) == {split: record[split] for split in ("valid", "test")}


@pytest.mark.parametrize("name", ["SASRec", "GRU4Rec", "BERT4Rec"])
def test_scores_are_recboles_plus_the_evidence(settings, name):
    one = built_run(name, "tiny", (), settings(name))
    model, rows = one.model.eval(), one.splits[2][np.arange(9)]
    with torch.no_grad():
        alone = model.full_sort_predict(rows)
        assert model.awaits_fit and torch.equal(alone.view(9, -1), model.scores_alone(rows))
        fit_evidence(model, one.splits[0], seed=1)
        recent = Recent.of(rows[model.ITEM_SEQ], rows[model.ITEM_SEQ_LEN])
        expected = model.evidence(recent, Columns(31)).add_to(alone.view(9, -1).clone())
        assert torch.equal(model.full_sort_predict(rows), expected) and not model.awaits_fit
        assert (expected != alone.view(9, -1)).any()


def test_only_the_evidence_changes(settings):
    one = built_run("SASRec", "tiny", (), settings("SASRec"))
    before = {name: value.clone() for name, value in one.model.state_dict().items()}
    fit_evidence(one.model, one.splits[0], seed=1)
    changed = {name for name, value in one.model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and all(name.startswith("evidence.") for name in changed)


def test_a_run_killed_after_its_fit_ends_as_one_that_was_not(settings, monkeypatch):
    expected = run("SASRec", "tiny", (), settings("SASRec"))

    def killed(*given):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("recbole_mpo.quick_start.recorded_run.evaluate_split", killed)
        with pytest.raises(KeyboardInterrupt):
            run("SASRec", "tiny", (), settings("SASRec"))
    resumed = run("SASRec", "tiny", (), settings("SASRec"), resume="auto")
    assert all(resumed[part] == expected[part] for part in ("valid", "test", "evidence_loss"))


def test_recboles_evaluator_sees_it_too(settings):
    record = run("SASRec", "tiny", (), settings("SASRec", topk=[5, 10]))
    recboles = evaluate_checkpoint(folder_of(record) / "best.pth", {"eval_mode": "recbole"})["test"]
    assert {"hit@5", "ndcg@10"} < recboles.keys()
    assert recboles == pytest.approx({name: record["test"][name] for name in recboles}, abs=1.01e-4)


def test_an_edited_text_is_refused(settings, tiny_path):
    path = folder_of(run("SASRec", "tiny", (), settings("SASRec"))) / "best.pth"
    text = tiny_path / "tiny" / "tiny.text"
    text.write_text(text.read_text().replace("i3\t", "i3\tpurple lamp "))
    with pytest.raises(CheckpointError, match=r"fitted to other texts of 1 of 30 items \('i3'\)"):
        evaluate_checkpoint(path)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("SASRec", {"evidence_fit": "joint"}, "whose loss takes no evidence: give evidence_fit=late"),
        ("SASRec", {"evidence": ["words", "words"]}, "evidence names a kind twice: words, words"),
        ("SASRec", {"evidence": "none"}, "evidence names 'none'; choose from covisit, words, two_hop"),
        ("SASRec", {"recent_weights": [1.0, 0]}, "each of recent_weights must be above 0"),
        ("SASRec", {"eval_args": {"mode": "uni5"}, "topk": 10}, "added to the scores of all items: leave mode=full"),
        ("SASRec", {"evidence_folds": 3}, "SASRec does not use evidence_folds"),
    ],
)
def test_what_evidence_cannot_work_with_is_said(settings, name, changes, message):
    with pytest.raises(ConfigError, match=message):
        built_run(name, "tiny", (), settings(name, **changes)).model  # noqa: B018


def test_a_model_that_scores_given_items_alone_takes_none(settings, tiny_settings):
    shared = {key: tiny_settings[key] for key in SHARED}
    with pytest.raises(ConfigError, match="DIN cannot score all items, so that it takes no evidence; leave it out"):
        built_run("DIN", "tiny", (), {**shared, **LATE, "eval_args": {"mode": "uni5"}, "topk": 10}).model  # noqa: B018


# Those that read ids alone.
SCORING_ALL = """
    CORE Caser FEARec FOSSIL GCSAN GRU4RecCPR HGN HRM LightSANs NARM NPE NextItNet RepeatNet SASRecCPR SHAN SINE SRGNN
    STAMP TransRec
""".split()


@pytest.mark.slow
@pytest.mark.parametrize("name", SCORING_ALL)
def test_every_model_that_scores_all_items_takes_it(settings, make_dataset, tmp_path, name):
    # The CPR models rank a hundred candidates anew.
    make_dataset(tmp_path / "wide", items=150)
    record = run(name, "tiny", (), settings(name, data_path=str(tmp_path / "wide")))
    assert record["evidence_loss"][-1] < record["evidence_loss"][0]
    ranked = evaluate_checkpoint(folder_of(record) / "best.pth")
    assert ranked == {split: record[split] for split in ("valid", "test")}

"""Evidence that is fitted after training: what it is fitted to, and what it leaves alone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse
from support import built_run

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.data.training_counts import training_pairs
from recbole_mpo.quick_start import recorded_run
from recbole_mpo.quick_start.evaluate import evaluate_checkpoint
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.trainer import late_evidence
from recbole_mpo.trainer.late_evidence import fit_evidence

LATE = {"evidence": ["covisit", "words", "two_hop"], "evidence_fit": "late"}


def killed(*given):
    raise KeyboardInterrupt


@pytest.fixture
def late(tiny_settings):
    return built_run("MPORec", "tiny", (), {**tiny_settings, **LATE})


def test_training_reads_tables_without_the_last_target_of_each_user(late):
    train, table = late.splits[0], late.model.evidence.kinds["covisit"]
    assert len(table.starts) == 1
    late.model.evidence.make_training_tables()
    rows = train.rows()
    newest = {user: rows.ends[rows.users == user].max() for user in np.unique(rows.users)}
    pairs = training_pairs(train, late.config["evidence_window"], without_last=True)
    every = training_pairs(train, late.config["evidence_window"])
    # Each user loses the pairs that end at his last target: one for each of the places before it in the window.
    lost = [min(late.config["evidence_window"], int(rows.lengths[rows.ends == end][0])) for end in newest.values()]
    assert len(every) - len(pairs) == sum(lost)
    count = late.model.n_items
    parts = [slice(table.starts[number, 0], table.starts[number, -1]) for number in range(2)]
    held = [
        sparse.csr_matrix(
            (table.values[part].numpy(), table.columns[part].numpy(), (table.starts[k] - part.start).numpy()),
            shape=(count, count),
        )
        for k, part in enumerate(parts)
    ]
    assert len(table.starts) == 2
    for held_one, counted in zip(held, (every, pairs), strict=True):
        assert abs(held_one - counted.neighbours(count)).max() < 1e-6


def test_only_the_evidence_changes_and_its_loss_falls(late):
    model = late.model
    before = {name: value.clone() for name, value in model.state_dict().items()}
    losses = fit_evidence(model, late.splits[0], seed=1)
    assert len(losses) == late_evidence.EPOCHS and losses[-1] < losses[0]
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    own = {name for name in before if name.startswith("evidence.")}
    assert changed <= own and {"evidence.is_fitted", "evidence.repeats", "evidence.kinds.words.weight"} <= changed
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {name for name, _ in model.named_parameters() if name not in own}


def test_a_second_fit_begins_anew(late):
    first = fit_evidence(late.model, late.splits[0], seed=1)
    weights = {name: value.clone() for name, value in late.model.evidence.state_dict().items()}
    assert fit_evidence(late.model, late.splits[0], seed=1) == first
    assert all(torch.equal(value, weights[name]) for name, value in late.model.evidence.state_dict().items())


def test_training_never_reads_its_tables(late):
    batch = next(iter(late.loaders[0]))
    assert late.model.evidence_of(batch) is None
    fit_evidence(late.model, late.splits[0], seed=1)
    assert late.model.evidence_of(batch) is None and not late.model.awaits_fit
    groups = late.trainer("run").optimizer.param_groups
    trained = {id(parameter) for group in groups for parameter in group["params"]}
    assert not trained & {id(parameter) for parameter in late.model.evidence.parameters()}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"freeze": ["evidence"]}, "evidence_fit=late fits the evidence, which freeze names"),
        ({"freeze": ["adaptor", "encoder", "positions", "layer_norm"]}, "nothing is left to train"),
    ],
)
def test_what_cannot_be_fitted_or_trained_is_said(tiny_settings, changes, message):
    with pytest.raises(ConfigError, match=message):
        built_run("UniSRec", "tiny", (), {**tiny_settings, **LATE, **changes}).trainer("run")


def test_a_run_killed_after_its_fit_ends_as_one_that_was_not(tiny_settings, monkeypatch):
    expected = run("MPORec", "tiny", (), {**tiny_settings, **LATE})

    with monkeypatch.context() as patch:
        patch.setattr(recorded_run, "evaluate_split", killed)
        with pytest.raises(KeyboardInterrupt):
            run("MPORec", "tiny", (), {**tiny_settings, **LATE})
    resumed = run("MPORec", "tiny", (), {**tiny_settings, **LATE}, resume="auto")
    assert resumed["evidence_loss"] == expected["evidence_loss"]
    assert all(resumed[part] == expected[part] for part in ("valid", "test", "best_epoch"))


def test_a_checkpoint_without_its_fit_is_used_with_a_warning(tiny_settings, monkeypatch, caplog):
    with monkeypatch.context() as patch:
        patch.setattr(late_evidence, "fit_evidence", killed)
        with pytest.raises(KeyboardInterrupt):
            run("MPORec", "tiny", (), {**tiny_settings, **LATE})
    (path,) = Path(tiny_settings["checkpoint_dir"]).glob("*/best.pth")
    evaluate_checkpoint(path)
    assert "has not fitted its evidence yet" in caplog.text


def test_a_seed_decides_the_fit(tiny_settings, monkeypatch):
    monkeypatch.setattr(late_evidence, "BATCH_SIZE", 8)

    def fitted(seed):
        late = built_run("MPORec", "tiny", (), {**tiny_settings, **LATE})
        fit_evidence(late.model, late.splits[0], seed)
        return late.model.evidence.repeats

    assert torch.equal(fitted(1), fitted(1)) and not torch.equal(fitted(1), fitted(2))


def test_more_rows_than_needed_are_left_out(late, monkeypatch):
    seen = []
    monkeypatch.setattr(late_evidence, "MOST_ROWS", 7)
    monkeypatch.setattr(late_evidence, "rows_per_batch", lambda size, items: 3)
    loss = late_evidence._loss
    monkeypatch.setattr(
        late_evidence, "_loss", lambda *given: (seen.extend(given[-1]["user_id"].tolist()), loss(*given))[1]
    )
    fit_evidence(late.model, late.splits[0], seed=1)
    assert len(seen) == 7 * late_evidence.EPOCHS and len(set(seen)) == 7


def test_a_run_trains_and_validates_without_it_and_ends_with_it(tiny_settings):
    plain = run("MPORec", "tiny", (), tiny_settings)
    record = run("MPORec", "tiny", (), {**tiny_settings, **LATE})
    # With the evidence out of reach, training goes on as without it, to the last digit.
    assert [epoch["train_loss"] for epoch in record["history"]] == [epoch["train_loss"] for epoch in plain["history"]]
    assert [epoch["valid"] for epoch in record["history"]] == [epoch["valid"] for epoch in plain["history"]]
    assert len(record["evidence_loss"]) == late_evidence.EPOCHS
    assert record["test"] != plain["test"] and record["best_epoch"] == plain["best_epoch"]
    path = Path(record["config"]["checkpoint_dir"]) / record["run_id"] / "best.pth"
    assert torch.load(path, weights_only=True)["state_dict"]["evidence.is_fitted"]
    assert evaluate_checkpoint(path) == {split: record[split] for split in ("valid", "test")}

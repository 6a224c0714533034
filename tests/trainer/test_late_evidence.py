"""Evidence that is fitted after training: what it is fitted to, and what it leaves alone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse
from support import built_run

from recbole_mpo.data.training_counts import training_pairs
from recbole_mpo.quick_start.evaluate import evaluate_checkpoint
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.trainer import late_evidence
from recbole_mpo.trainer.late_evidence import fit_evidence

LATE = {"evidence": ["covisit", "words", "two_hop"], "evidence_fit": "late"}


@pytest.fixture
def late(tiny_settings):
    return built_run("MPORec", "tiny", (), {**tiny_settings, **LATE})


def test_training_reads_tables_without_the_last_target_of_each_user(late):
    train, table = late.splits[0], late.model.evidence.kinds["covisit"]
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
    assert all(parameter.requires_grad for parameter in model.parameters())


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

"""A strength for a size: the weakest that is small enough."""

import pytest

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.release.compress import target_size
from recbole_mpo.release.compress.method import parse_variants
from recbole_mpo.release.compress.methods import METHODS


def chosen(monkeypatch, chain, target, size_of):
    """The strength, and all that were tried, of sizes that a function of the strength gives."""
    tried = []
    sizes = {"whole": 1024}

    def apply(steps, folder):
        strength = next(step.strength for step in steps if step.method.bounds)
        tried.append(strength)
        sizes[folder] = size_of(strength)

    def artefact_bytes(folder):
        return dict.fromkeys(("checkpoint", "items"), sizes[folder])

    monkeypatch.setattr(target_size, "artefact_bytes", artefact_bytes)
    (steps,) = parse_variants(chain, METHODS, may_lack_strength=True)
    return target_size.choose_strength(steps, target, apply, "whole"), tried


@pytest.mark.parametrize("chain", ["svd", "svd+int8", "prune"])
def test_a_share_is_found_by_halving(monkeypatch, chain):
    steps, tried = chosen(monkeypatch, chain, 0.4, lambda strength: 1024 * (1 - strength))
    assert 0.6 <= steps[0].strength < 0.603 and len(tried) <= 13
    assert [step.method.name for step in steps] == chain.split("+")


@pytest.mark.parametrize("goal", [1, 25, 64, 1024])
def test_a_whole_number_is_found_exactly(monkeypatch, goal):
    steps, _ = chosen(monkeypatch, "item-pq", goal / 1024, lambda strength: strength)
    assert steps[0].strength == goal


def test_a_chain_with_strengths_stays(monkeypatch):
    steps, tried = chosen(monkeypatch, "svd:0.3+int8", 0.4, lambda strength: 0)
    assert steps[0].strength == 0.3 and not tried


def test_what_cannot_be_reached_is_said(monkeypatch):
    with pytest.raises(ConfigError, match="method svd cannot reach target_ratio=0.1 at any strength"):
        chosen(monkeypatch, "svd", 0.1, lambda strength: 500)

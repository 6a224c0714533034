"""How chains of methods are written, and which are refused."""

import pytest

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.release.compress.method import name_of_chain, parse_variants
from recbole_mpo.release.compress.methods import METHODS


def parsed(text, **options):
    return [name_of_chain(steps) for steps in parse_variants(text, METHODS, **options)]


def test_chains_are_parted_by_commas_and_blanks():
    assert parsed("prune:0.5,prune:.9  svd:0.50+int8") == ["prune:0.5", "prune:0.9", "svd:0.5+int8"]
    assert parsed("int8 int8") == ["int8"]
    assert parsed("mpo:64+fp16+item-pca:0.5+item-pq:25") == ["mpo:64+fp16+item-pca:0.5+item-pq:25"]
    assert parsed("experts:0.5+ffn:0.5+heads:0.5+feature-pca:0.5+svd:0.5+int8+item-int8")


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "needs at least one method"),
        (" , ", "needs at least one method"),
        ("prun:0.5", r"unknown method 'prun' \(did you mean 'prune'"),
        ("prune:1.5", "must be a number from 0.01 to 0.99, not '1.5'"),
        ("prune:x", "must be a number from 0.01 to 0.99, not 'x'"),
        ("prune:nan", "must be a number"),
        ("mpo:2.5", "must be a whole number from 1 to 4096, not '2.5'"),
        ("int8:4", "method int8 has no strength; write int8, not int8:4"),
        ("prune", "prune needs a strength such as prune:0.5: write it, or give a target_ratio"),
        ("svd:0.5+", "unknown method ''"),
        ("int8+prune:0.5", r"prune \(matrices\) must come before int8 .*; write prune\+int8"),
        ("item-pq:4+int8", r"int8 .* must come before item-pq"),
        ("svd:0.5+ffn:0.5", "ffn .* must come before svd"),
        ("svd:0.5+prune:0.5", "both change the same thing"),
        ("int8+fp16", "both change the same thing"),
        ("item-int8+item-pq:4", "both change the same thing"),
        ("ffn:0.5+ffn:0.5", "both change the same thing"),
    ],
)
def test_what_cannot_be_is_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        parsed(text)


def test_a_target_size_chooses_one_strength():
    assert parsed("svd+int8 prune", may_lack_strength=True) == ["svd+int8", "prune"]
    with pytest.raises(ConfigError, match="svd and item-pq needs a strength .*: a target_ratio chooses one"):
        parsed("svd+item-pq", may_lack_strength=True)

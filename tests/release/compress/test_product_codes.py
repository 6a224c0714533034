"""Product quantisation: bytes per item, honest ratios, and the same codes for the same seed."""

import pytest
import torch
from release.compress.tiny_models import ITEMS, tiny_model

from recbole_mpo.release.compress.context import Context
from recbole_mpo.release.compress.product_codes import item_pq, product_codes


def test_a_table_with_few_different_pieces_is_exact():
    draw = torch.Generator().manual_seed(0)
    choices = torch.randn(10, 6, generator=draw)
    table = torch.cat([choices[torch.randint(0, 10, (400,), generator=draw)] for _ in range(3)], dim=1)
    form = product_codes(table, 3, seed=1)
    assert form.parts["codes"].shape == (400, 3) and form.parts["codes"].dtype == torch.uint8
    assert form.parts["ends"].tolist() == [6, 12, 18]
    assert torch.allclose(form.decode()[1:], table[1:], atol=1e-5)


def test_the_published_ratio():
    """25 bytes for 300 numbers of 4 bytes: 48 times, codebook apart."""
    form = product_codes(torch.randn(300, 300, generator=torch.Generator().manual_seed(0)), 25, seed=0)
    assert form.parts["codes"].shape[1] == 25 and set(form.parts["ends"].diff().tolist()) == {12}
    assert 300 * 300 * 4 / form.parts["codes"].numel() == 48
    assert form.parts["centres"].shape == (256, 300)


def test_ratios_count_the_codebook():
    model, context = tiny_model(), Context()
    item_pq(model, 3, context)
    note = context.notes["item-pq"]
    assert note["bytes_per_item"] == 3 and note["codes_bytes"] == 3 * ITEMS
    assert note["codebook_bytes"] == (ITEMS - 1) * 20 * 4
    assert note["ratio_of_codes"] == pytest.approx(80 / 3)
    assert note["ratio"] == pytest.approx(80 * ITEMS / (note["codes_bytes"] + note["codebook_bytes"]))
    assert note["ratio"] < 2
    assert note["ratio_of_a_million_items"] == pytest.approx(80e6 / (3e6 + 256 * 80))


def test_pieces_of_unequal_length_and_the_seed():
    table = torch.randn(300, 20, generator=torch.Generator().manual_seed(0))
    first, second = product_codes(table, 3, seed=4), product_codes(table, 3, seed=4)
    assert first.parts["ends"].tolist() == [7, 14, 20]
    assert torch.equal(first.decode(), second.decode())
    assert product_codes(table, 99, seed=4).parts["codes"].shape[1] == 20

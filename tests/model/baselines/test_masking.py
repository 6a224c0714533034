"""Random masks and prefixes: their rates, and what is never masked or cut."""

import pytest
import torch

from recbole_mpo.model.baselines.masking import draw_masks, draw_prefixes


def ragged(lengths, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    items = torch.randint(1, 31, (len(lengths), width), generator=generator)
    return items * (torch.arange(width) < torch.tensor(lengths)[:, None])


class TestMasks:
    def test_rates_and_what_is_never_masked(self):
        torch.manual_seed(0)
        items = ragged([20] * 3000 + [1] * 50, 25)
        masked = draw_masks(items, 0.3, 0.0)
        assert not masked[items == 0].any() and masked.any(dim=1).all()
        assert masked[:3000, :20].float().mean().item() == pytest.approx(0.3, abs=0.01)

    def test_the_last_item_alone_in_a_share_of_the_rows(self):
        torch.manual_seed(0)
        items = ragged([1, 2, 7] * 1000, 9)
        masked = draw_masks(items, 0.0, 1.0)
        assert masked.sum(dim=1).eq(1).all()
        assert (masked.float().argmax(dim=1) == (items > 0).sum(dim=1) - 1).all()
        mixed = draw_masks(ragged([7] * 4000, 9), 0.9, 0.5)
        assert (mixed.sum(dim=1) == 1).float().mean().item() == pytest.approx(0.5, abs=0.03)

    @pytest.mark.parametrize("ratio", [0.0, 1e-9])
    def test_every_row_has_a_label_however_small_the_ratio(self, ratio):
        assert draw_masks(ragged([1, 2, 3, 9], 9), ratio, 0.0).sum(dim=1).tolist() == [1, 1, 1, 1]


class TestPrefixes:
    def test_every_length_from_two_on_in_a_share_of_the_rows(self):
        torch.manual_seed(0)
        items = ragged([6] * 6000, 8)
        cut = draw_prefixes(items, 0.5)
        lengths = (cut != 0).sum(dim=1)
        # Half of the rows stay whole, and so does a fifth of the others.
        shares = torch.bincount(lengths, minlength=7) / len(items)
        torch.testing.assert_close(shares, torch.tensor([0, 0, 0.1, 0.1, 0.1, 0.1, 0.6]), atol=0.02, rtol=0)
        assert torch.equal(cut, items * (torch.arange(8) < lengths[:, None]))

    def test_short_rows_and_a_ratio_of_zero_stay_as_they_are(self):
        items = ragged([1, 2, 7], 9)
        assert torch.equal(draw_prefixes(items, 0), items)
        assert torch.equal(draw_prefixes(items, 1)[:2], items[:2])


@pytest.mark.parametrize("ratio", [0.0, 0.3, 1.0])
def test_draws_follow_the_seed_alone(ratio):
    items = ragged([1, 4, 9, 6], 9)

    def drawn():
        torch.manual_seed(3)
        return draw_masks(items, ratio, 0.5), draw_prefixes(items, ratio)

    for first, second in zip(drawn(), drawn(), strict=True):
        assert torch.equal(first, second)


def test_everything_is_masked_at_a_ratio_of_one_and_no_padding():
    items = ragged([1, 4, 9], 9)
    assert torch.equal(draw_masks(items, 1.1, 0.0), items != 0)


def test_a_row_of_padding_has_no_mask():
    assert not draw_masks(torch.zeros(2, 4, dtype=torch.long), 0.9, 0.0).any()

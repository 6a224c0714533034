"""How tensors are stored: exact where it is said, and sparse only where that is smaller."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recbole_mpo.release.compress.stored_forms import SPARSE_MARK, Form, half, int4, int8_rows, pack, unpack


@given(st.integers(1, 7), st.integers(1, 400), st.floats(0, 1), st.sampled_from([torch.float32, torch.int8]))
def test_packed_tensors_come_back(rows, columns, share, kind):
    draw = torch.Generator().manual_seed(rows * columns)
    dense = torch.randint(-9, 9, (rows, columns), generator=draw)
    tensor = (dense * (torch.rand(rows, columns, generator=draw) < share)).to(kind)
    given_tensors = {"a.weight": tensor, "bias": torch.zeros(3)}
    packed = pack(given_tensors)
    back = unpack(packed)
    assert back.keys() == given_tensors.keys()
    assert torch.equal(back["a.weight"], tensor) and back["a.weight"].dtype == kind
    assert size(packed) <= size(given_tensors)


@pytest.mark.parametrize("share, is_sparse", [(0.25, False), (0.45, True), (0.9, True)])
def test_a_matrix_is_sparse_from_about_a_third_of_zeros(share, is_sparse):
    tensor = torch.randn(300, 768, generator=torch.Generator().manual_seed(0))
    tensor[torch.rand(300, 768, generator=torch.Generator().manual_seed(1)) < share] = 0
    packed = pack({"w": tensor})
    assert any(SPARSE_MARK in name for name in packed) == is_sparse
    if is_sparse:
        # 4 bytes for the value and 2 for the column.
        assert size(packed) == pytest.approx(6 * float((tensor != 0).sum()), rel=0.02)


def test_columns_take_the_fewest_bytes():
    kinds = [pack({"w": torch.eye(2, width)})[f"w{SPARSE_MARK}columns"].dtype for width in (256, 257, 40_000)]
    assert kinds == [torch.uint8, torch.int16, torch.int32]


def test_numbers_of_four_bits_come_back_two_in_a_byte():
    for rows, columns in ((3, 5), (4, 8), (1, 1)):
        codes = torch.randint(-8, 8, (rows, columns), dtype=torch.int8)
        form = int4(codes, torch.ones(rows, 1))
        assert form.parts["pairs"].numel() == -(-rows * columns // 2) and form.parts["pairs"].dtype == torch.uint8
        assert torch.equal(form.decode(), codes.float())
    grouped = int4(torch.ones(2, 4, dtype=torch.int8), torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert grouped.decode().tolist() == [[1, 1, 2, 2], [3, 3, 4, 4]]


def test_int8_has_a_scale_per_row_and_keeps_zeros():
    tensor = torch.tensor([[0.0, 0.0], [1.27, -0.64], [0.0, 100.0]])
    form = int8_rows(tensor)
    assert form.parts["codes"].tolist() == [[0, 0], [127, -64], [0, 127]]
    assert torch.allclose(form.decode(), tensor, atol=1e-6)


def test_half_rounds_to_eleven_bits():
    tensor = torch.randn(50)
    assert torch.allclose(half(tensor).decode(), tensor, rtol=2**-11)
    assert half(tensor).decode().dtype == torch.float32


def test_an_unknown_form_is_an_error():
    with pytest.raises(KeyError):
        Form("spread", {}).decode()


def size(tensors):
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())

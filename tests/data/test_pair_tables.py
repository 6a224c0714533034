"""Tables of pairs against dense matrices: largest entries, walks of two steps, inner products in parts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse

from recbole_mpo.data import pair_tables
from recbole_mpo.data.pair_tables import Limits, largest_entries, product_rows, similar_vectors, two_steps


def counts_of(size=12, seed=0, share=0.4) -> np.ndarray:
    """Symmetric counts; item 0 and the last item have no neighbour."""
    draw = np.random.default_rng(seed)
    counts = np.triu(draw.integers(1, 5, (size, size)) * (draw.random((size, size)) < share))
    counts[0] = counts[-1] = counts[:, 0] = counts[:, -1] = 0
    return (counts + counts.T).astype(float)


def largest_by_loop(dense, most) -> np.ndarray:
    """The ``most`` largest entries of each row that are not 0; of equal ones, those of the first columns."""
    kept = np.zeros_like(dense)
    for row, values in enumerate(dense):
        order = sorted(np.flatnonzero(values), key=lambda column: (-values[column], column))[:most]
        kept[row, order] = values[order]
    return kept


@given(arrays(np.int64, (5, 9), elements=st.integers(0, 3)), st.integers(1, 10))
def test_the_largest_entries_are_those_of_a_loop(table, most):
    found = largest_entries(sparse.csr_matrix(table.astype(float)), most)
    assert np.array_equal(found.toarray(), largest_by_loop(table.astype(float), most))
    assert found.format == "csr" and found.shape == table.shape and (np.diff(found.indptr) <= most).all()


def test_the_order_of_the_columns_in_memory_does_not_matter():
    matrix = sparse.csr_matrix((np.array([1.0, 1.0, 2.0]), np.array([4, 1, 3]), np.array([0, 3])), shape=(1, 5))
    assert largest_entries(matrix, 2).toarray().tolist() == [[0, 1, 0, 2, 0]]
    assert matrix.indices.tolist() == [4, 1, 3], "the argument stays as it was"


def walks(counts) -> np.ndarray:
    """Probabilities of two steps, step by step."""
    size = len(counts)
    step = np.array([row / row.sum() if row.sum() else row for row in counts])
    return np.array([[sum(step[i, k] * step[k, j] for k in range(size)) for j in range(size)] for i in range(size)])


@pytest.mark.parametrize("most", [None, 1, 3, 100])
def test_two_steps_are_products_of_probabilities(most):
    counts = counts_of()
    expected = walks(counts)
    found = two_steps(sparse.csr_matrix(counts), most).toarray()
    # An entry's place among nearly equal ones depends on rounding, its value does not.
    np.testing.assert_allclose(np.sort(found), np.sort(largest_by_loop(expected, most or 12)), atol=1e-12)
    np.testing.assert_allclose(found[found > 0], expected[found > 0], atol=1e-12)
    if most in (None, 100):
        np.testing.assert_allclose(found.sum(axis=1), counts.any(axis=1), atol=1e-12)


def test_a_walk_goes_on_from_the_largest_neighbours_alone(monkeypatch):
    """0 has 3 neighbours, of which the walk takes the two largest; the others' only neighbour is 0."""
    monkeypatch.setattr(pair_tables, "MOST_NEIGHBOURS", 2)
    counts = np.zeros((4, 4))
    counts[0, 1:] = counts[1:, 0] = [1, 2, 5]
    found = two_steps(sparse.csr_matrix(counts), 9).toarray()
    expected = np.zeros((4, 4))
    expected[0, 0] = (2 + 5) / 8
    expected[1:, 2], expected[1:, 3] = 2 / 8, 5 / 8
    np.testing.assert_allclose(found, expected)
    assert two_steps(sparse.csr_matrix(counts)).toarray()[0, 0] == pytest.approx(1), "all neighbours without a limit"


@pytest.mark.parametrize("entries", [1, 7, 30, 1 << 24])
@pytest.mark.parametrize("itself", [None, 0, 3])
def test_products_in_parts_are_the_whole(monkeypatch, entries, itself):
    monkeypatch.setattr(pair_tables, "MOST_ENTRIES", entries)
    left, right = counts_of(seed=1), counts_of(seed=2)
    expected = left @ right
    if itself is not None:
        np.fill_diagonal(expected[:, itself:], 0)
    found = product_rows(sparse.csr_matrix(left), sparse.csr_matrix(right), 4, itself)
    assert np.array_equal(found.toarray(), largest_by_loop(expected, 4))


@given(st.integers(1, 60), st.integers(0, 5))
def test_parts_are_all_rows_in_order_and_small(entries, seed):
    left, right = (sparse.csr_matrix(counts_of(seed=number)) for number in (seed, seed + 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pair_tables, "MOST_ENTRIES", entries)
        parts = list(pair_tables._parts(left, right))
    assert [row for part in parts for row in range(part.start, part.stop)] == list(range(12))
    assert all(part.stop - part.start == 1 or (left[part] @ right).nnz <= entries for part in parts)


def test_similar_vectors_are_inner_products_without_the_vector_itself():
    """Equal vectors of two items are as similar as can be; each is not beside itself."""
    vectors = np.array([[0, 0, 0], [1, 0, 0], [1, 0, 0], [0.6, 0.8, 0], [0, 0, 1]])
    found = similar_vectors(sparse.csr_matrix(vectors), 5)
    expected = [[0] * 5, [0, 0, 1, 0.6, 0], [0, 1, 0, 0.6, 0], [0, 0.6, 0.6, 0, 0], [0] * 5]
    assert found.toarray().tolist() == expected and found.nnz == 6
    # The place that the vector itself had is free for another.
    assert similar_vectors(sparse.csr_matrix(vectors), 1).toarray()[1].tolist() == [0, 0, 1, 0, 0]


def test_no_terms_give_an_empty_table():
    found = similar_vectors(sparse.csr_matrix((4, 0)), 3)
    assert found.shape == (4, 4) and found.nnz == 0


@given(arrays(np.int64, (6, 9), elements=st.integers(0, 3)), st.integers(1, 10))
def test_limits_find_the_same_entries_again(table, most):
    matrix = sparse.csr_matrix(table.astype(float))
    kept = largest_entries(matrix, most)
    limits = Limits.of(kept, most)
    assert np.array_equal(limits.entries(matrix.copy(), 0).toarray(), kept.toarray())
    assert np.array_equal(limits.entries(matrix[2:5], 2).toarray(), kept.toarray()[2:5])


def test_products_stay_within_limits(monkeypatch):
    monkeypatch.setattr(pair_tables, "MOST_ENTRIES", 7)
    left, right = (sparse.csr_matrix(counts_of(seed=number)) for number in (1, 2))
    few = product_rows(left, right, 3)
    assert np.array_equal(product_rows(left, right, 9, limits=Limits.of(few, 3)).toarray(), few.toarray())
    fewer = product_rows(left, right, 2, limits=Limits.of(few, 3))
    assert np.array_equal(fewer.toarray(), largest_by_loop((left @ right).toarray(), 2))

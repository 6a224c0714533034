"""How much of their words items share: what is fitted stays, whatever is edited or added later."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from recbole_mpo.common.errors import FeatureError
from recbole_mpo.data import shared_words
from recbole_mpo.data.shared_words import FittedWords, read_or_share_words, share_words, with_others

TEXTS = ["", "red lamp small", "red lamp", "blue cup", "blue cup small", "größe 5", "red lamp", "blue cup größe 5"]


def dense(texts, most=99, fitted=None) -> np.ndarray:
    return share_words(texts, most, fitted).table.toarray()


def fit(texts=TEXTS, most=99) -> FittedWords:
    return share_words(texts, most).fitted


class TestTable:
    def test_is_symmetric_and_no_text_is_beside_itself(self):
        table = share_words(TEXTS, 99).table
        assert table.dtype == np.float32 and table.shape == (8, 8) and table.format == "csr"
        np.testing.assert_allclose(table.toarray(), table.toarray().T)
        assert not table.diagonal().any() and table[2, 6] == pytest.approx(1) and table[1, 5] == 0

    def test_frequent_words_are_left_out_of_a_large_catalogue(self, monkeypatch):
        texts = ["number one red", "number two red", "number three", "number four"]
        assert share_words(texts, 9).table.nnz == 12
        monkeypatch.setattr(shared_words, "MOST_PRODUCTS", 10)
        for fitted in (None, fit(texts)):
            assert dense(texts, 9, fitted)[0].nonzero()[0].tolist() == [1]

    @pytest.mark.parametrize("most", [1, 2, 99])
    def test_a_fit_gives_the_same_table_again(self, most):
        assert np.array_equal(dense(TEXTS, most, fit(most=most)), dense(TEXTS, most))

    @pytest.mark.parametrize("texts", [[""], ["", "", ""], ["", "one", "two"]])
    def test_texts_may_share_nothing(self, texts):
        shared = share_words(texts, 3)
        again = share_words(texts, 3, FittedWords.of(shared.fitted.arrays()))
        assert shared.table.nnz == again.table.nnz == 0 and again.table.shape == (len(texts),) * 2


class TestEdits:
    """The words of other texts count as before, to the last bit."""

    @given(
        st.lists(st.lists(st.sampled_from("abcde"), max_size=4).map(" ".join), min_size=4, max_size=12),
        st.dictionaries(st.integers(0, 3), st.lists(st.sampled_from("abcdef"), max_size=4).map(" ".join)),
        st.integers(1, 4),
    )
    def test_what_two_texts_share_stays_if_neither_was_edited(self, texts, edits, most):
        before = share_words(texts, most)
        edited = [edits.get(row, text) for row, text in enumerate(texts)]
        changed = before.fitted.edited(edited)
        assert changed.tolist() == [one != other for one, other in zip(texts, edited, strict=True)]
        after = dense(edited, most, before.fitted)
        stays = ~changed
        assert np.array_equal(after[np.ix_(stays, stays)], before.table.toarray()[np.ix_(stays, stays)])

    def test_the_words_of_an_edited_text_are_those_of_the_fit(self):
        """It has its nearest texts, and each other text has it beside what it had."""
        edited = [*TEXTS[:3], "red lamp cup", *TEXTS[4:]]
        table = dense(edited, 1, fit(most=1))
        shared = share_words(TEXTS, 9)
        cosines = with_others(shared.table, TEXTS, ["red lamp cup"], 9, shared.fitted).toarray()[8, :8]
        cosines[3] = 0
        assert cosines.argmax() == 2
        np.testing.assert_allclose(table[3], np.where(np.arange(8) == 2, cosines, 0), rtol=1e-6)
        np.testing.assert_allclose(table[:, 3], cosines, rtol=1e-6)
        assert (cosines > 0).sum() == 5 and (table[2] > 0).tolist() == [row in (3, 6) for row in range(8)]

    def test_words_of_the_edit_alone_are_unknown(self):
        edited = [*TEXTS[:3], "purple vase", *TEXTS[4:]]
        assert not dense(edited, 9, fit())[3].any() and not dense(edited, 9, fit())[:, 3].any()


class TestOthers:
    def test_are_projected(self):
        texts, others = ["", "red lamp", "red cup", "blue cup"], ["red red cup", "green"]
        shared = share_words(texts, 9)
        table = with_others(shared.table, texts, others, 9, shared.fitted).toarray()
        assert table.shape == (6, 6) and np.array_equal(table[:4, :4], shared.table.toarray())
        assert table[4, 2] == pytest.approx(table[2, 4]) and table[4, 2] > table[4, 1] > 0
        assert not table[5].any() and not table.diagonal().any()

    def test_change_no_row_of_the_candidates(self):
        texts = TEXTS[:5]
        shared = share_words(texts, 1)
        extended = with_others(shared.table, texts, ["red lamp", "red lamp small"], 1, shared.fitted).toarray()
        assert extended.shape == (7, 7)
        assert np.array_equal(extended[:5, :5], shared.table.toarray())
        # Beside them a candidate has its nearest other, and another its nearest of all.
        assert [np.flatnonzero(row).tolist() for row in extended[1:3, 5:]] == [[1], [0]]
        assert [np.flatnonzero(row).tolist() for row in extended[5:]] == [[2], [1]]


class TestFitted:
    def test_comes_back_from_its_arrays(self):
        fitted = fit(most=2)
        again = FittedWords.of(fitted.arrays())
        assert again.terms == fitted.terms and again.text_hash == fitted.text_hash
        assert {name: part.dtype for name, part in fitted.arrays().items()} == {
            name: np.dtype(kind) for name, (kind, _) in shared_words.FITTED.items()
        }
        assert (again.vectors(TEXTS) != fitted.vectors(TEXTS)).nnz == 0

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"terms": None}, "has no usable part terms"),
            ({"frequencies": np.ones(3)}, "has no usable part frequencies"),
            ({"lowest": np.zeros((8, 1))}, "has no usable part lowest"),
            ({"terms": np.frombuffer(b"\xff", np.uint8)}, "are not UTF-8"),
            ({"terms": np.frombuffer(b"red", np.uint8)}, "do not fit together"),
            ({"terms": np.frombuffer(b"red\nred", np.uint8), "frequencies": np.full(2, 2, np.int32)}, "do not fit"),
            ({"text_digests": np.zeros((7, 16), np.uint8)}, "do not fit together"),
            ({"text_digests": np.zeros((8, 15), np.uint8)}, "do not fit together"),
            ({"text_sha256": np.zeros(31, np.uint8)}, "do not fit together"),
            ({"last": np.zeros(2, np.int32)}, "do not fit together"),
            ({"lowest": np.full(8, np.nan)}, "impossible numbers"),
            ({"terms": np.frombuffer(b"red", np.uint8), "frequencies": np.zeros(1, np.int32)}, "impossible numbers"),
            ({"terms": np.frombuffer(b"red", np.uint8), "frequencies": np.full(1, 9, np.int32)}, "impossible numbers"),
        ],
    )
    def test_what_no_run_fits_is_refused(self, changes, message):
        arrays = {name: part for name, part in {**fit().arrays(), **changes}.items() if part is not None}
        with pytest.raises(FeatureError, match=message):
            FittedWords.of(arrays)


@pytest.fixture
def counted(monkeypatch):
    """The arguments of each time that a table is counted."""
    calls = []
    count = shared_words.share_words
    monkeypatch.setattr(shared_words, "share_words", lambda *given: (calls.append(given), count(*given))[1])
    return calls


class TestFile:
    def test_a_second_run_reads_it_and_so_do_those_with_its_fit(self, tmp_path, counted, caplog):
        caplog.set_level("INFO")
        first = read_or_share_words(tmp_path / "tiny", TEXTS, 2)
        assert f"counted, and kept in {tmp_path / 'tiny' / 'words-2.safetensors'}" in caplog.text
        for fitted in (None, first.fitted, FittedWords.of(first.fitted.arrays())):
            again = read_or_share_words(tmp_path / "tiny", TEXTS, 2, fitted)
            assert (again.table != first.table).nnz == 0 and again.table.has_sorted_indices
            assert all(np.array_equal(part, again.fitted.arrays()[n]) for n, part in first.fitted.arrays().items())
        assert len(counted) == 1 and caplog.text.count("the words that items share are read from") == 3

    @pytest.mark.parametrize("change", ["texts", "entries", "VERSION", "MOST_PRODUCTS", "fit"])
    def test_all_that_decides_it_is_compared(self, tmp_path, counted, monkeypatch, change):
        read_or_share_words(tmp_path, TEXTS, 2)
        if change.isupper():
            monkeypatch.setattr(shared_words, change, 7)
        texts = TEXTS if change != "texts" else [*TEXTS[:3], "blue", *TEXTS[4:]]
        fitted = fit([*TEXTS[:3], "blue", *TEXTS[4:]], 2) if change == "fit" else None
        found = read_or_share_words(tmp_path, texts, 3 if change == "entries" else 2, fitted)
        assert len(counted) == 2
        expected = share_words(texts, 3 if change == "entries" else 2, fitted)
        assert (found.table != expected.table).nnz == 0

    def test_the_table_of_edited_texts_is_kept_too(self, tmp_path, counted):
        fitted, edited = fit(most=2), [*TEXTS[:3], "red", *TEXTS[4:]]
        one, two = (read_or_share_words(tmp_path, edited, 2, fitted) for _ in range(2))
        assert len(counted) == 1 and (one.table != two.table).nnz == 0
        # A new run on the edited texts has its own fit.
        assert read_or_share_words(tmp_path, edited, 2).fitted.text_hash != fitted.text_hash

    def test_no_flipped_bit_gives_another_table(self, tmp_path, counted):
        first = read_or_share_words(tmp_path, TEXTS, 2)
        (path,) = tmp_path.glob("*")
        raw = path.read_bytes()
        for place in range(0, len(raw), 29):
            path.write_bytes(raw[:place] + bytes([raw[place] ^ 1 << place % 8]) + raw[place + 1 :])
            assert (read_or_share_words(tmp_path, TEXTS, 2).table != first.table).nnz == 0

    @pytest.mark.parametrize(
        "changes",
        [
            {"columns": 8},
            {"starts": np.arange(8, -1, -1, dtype=np.int64)},
            {name: part[:1] for name, part in fit().arrays().items() if name in ("text_digests", "lowest", "last")},
            {"values": np.nan},
            {"values": -1},
            {"terms": np.frombuffer(b"\xff", np.uint8)},
        ],
    )
    def test_a_file_that_this_package_did_not_write_is_made_again(self, tmp_path, caplog, changes):
        first = read_or_share_words(tmp_path, TEXTS, 2)
        (path,) = tmp_path.glob("*")
        with safe_open(path, "numpy") as file:
            header = file.metadata()
        arrays = load_file(path)
        # A number stands for all of them.
        arrays |= {n: np.full_like(arrays[n], part) if np.ndim(part) == 0 else part for n, part in changes.items()}
        save_file(arrays, path, header | {"arrays_sha256": shared_words.hash_arrays(arrays)})
        assert (read_or_share_words(tmp_path, TEXTS, 2).table != first.table).nnz == 0
        assert "does not hold a table of words" in caplog.text
        caplog.clear()
        read_or_share_words(tmp_path, TEXTS, 2)
        assert not caplog.text

    def test_without_texts_nothing_is_kept(self, tmp_path):
        assert read_or_share_words(tmp_path, [""] * 8, 2, fit()).table.nnz == 0 and not [*tmp_path.iterdir()]

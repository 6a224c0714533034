"""The feature table: rows by token, missing texts, files made elsewhere, centring and scaling."""

import logging

import numpy as np
import pytest
from safetensors.numpy import save_file
from support import LetterEncoder

from recbole_mpo.common.errors import ConfigError, FeatureError
from recbole_mpo.text import item_features
from recbole_mpo.text.item_features import load_item_features

SENTENCES = ("red lamp", "blue wooden chair", "small glass cup", "steel table", "cotton tape", "green paint brush")
TEXTS = dict(zip("abcdef", SENTENCES, strict=True))
# Interactions and texts list the items in different orders.
USERS = {"u": "fcadb", "v": "bdfea", "w": "acebd"}


def write_shop(data_path, texts=None, users=None, item_names=None):
    """``shop``: interactions in the order of ``users``; ``texts`` None writes no text file."""
    folder = data_path / "shop"
    folder.mkdir(parents=True, exist_ok=True)
    named = item_names or {}
    lines = ["user_id:token\titem_id:token\ttimestamp:float"]
    for user, items in (users or USERS).items():
        lines += [f"{user}\t{named.get(item, item)}\t{time}" for time, item in enumerate(items)]
    (folder / "shop.inter").write_text("\n".join(lines) + "\n", encoding="utf-8")
    if texts is not None:
        lines = ["item_id:token\ttext:token_seq", *(f"{item}\t{text}" for item, text in texts.items())]
        (folder / "shop.text").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def features_of(tmp_path):
    """The features of ``shop`` under these settings, and its items; unscaled, to be compared with their file."""

    def load(**settings):
        config = {
            **{"data_path": str(tmp_path / "shop"), "dataset": "shop", "cache_dir": str(tmp_path / "cache")},
            **{"text_encoder": "tfidf-svd", "text_pooling": "mean", "feature_file": None, "feature_size": None},
            **{"feature_center": True, "feature_scale": False, "device": "cpu", "show_progress": False},
            **settings,
        }
        rows = (tmp_path / "shop" / "shop.inter").read_text().splitlines()[1:]
        items = np.array(["[PAD]", *dict.fromkeys(row.split("\t")[1] for row in rows)])
        return load_item_features(config, items), items.tolist()

    return load


def vectors(features_and_items) -> dict[str, list[float]]:
    """Feature vector by item token."""
    features, items = features_and_items
    return dict(zip(items, features.table.tolist(), strict=True))


def matrix(rows=6, columns=4, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float32)


def save(path, features):
    """A feature file in the format that its name asks for; other names are raw float32."""
    if path.suffix == ".npy":
        np.save(path, features)
    elif path.suffix == ".safetensors":
        save_file({"features": features}, path)
    else:
        features.tofile(path)
    return str(path)


# Alignment


def test_every_item_gets_the_features_of_its_own_text(tmp_path, features_of):
    """Row r of the file is the r-th line of the text file; internal ids follow the interactions."""
    write_shop(tmp_path, TEXTS)
    features = matrix()
    loaded, items = features_of(feature_file=save(tmp_path / "x.npy", features), feature_center=False)
    assert items == ["[PAD]", "f", "c", "a", "d", "b", "e"]
    expected = {"[PAD]": [0.0] * 4, **{item: features[row].tolist() for row, item in enumerate(TEXTS)}}
    assert vectors((loaded, items)) == expected
    assert loaded.table.shape == (7, 4)


@pytest.mark.parametrize("encoder", ["tfidf-svd", "file"])
def test_permuting_the_interactions_moves_no_vector_to_another_item(tmp_path, features_of, encoder):
    settings = {} if encoder == "tfidf-svd" else {"feature_file": save(tmp_path / "x.npy", matrix())}
    write_shop(tmp_path, TEXTS)
    before = features_of(**settings)
    write_shop(tmp_path, TEXTS, dict(reversed(USERS.items())))
    after = features_of(**settings)
    assert before[1] != after[1]
    assert vectors(before) == vectors(after)
    assert len({tuple(vector) for vector in vectors(before).values()}) == 7, "or the comparison says nothing"


def test_items_with_text_alone_are_kept_aside(tmp_path, features_of):
    write_shop(tmp_path, {"x": "never bought", **TEXTS, "y": "nor this one"})
    features = matrix(8)
    loaded, items = features_of(feature_file=save(tmp_path / "x.npy", features), feature_center=False)
    assert len(items) == 7
    assert vectors((loaded, items))["a"] == features[1].tolist()
    assert loaded.report.text_only == 2
    assert loaded.item_text.tokens == ["x", *TEXTS, "y"]
    assert loaded.text_only.tolist() == [0, 7]
    assert loaded.text_only_features.tolist() == features[[0, 7]].tolist()


# Missing text


def test_items_without_text_are_counted_warned_about_and_zero(tmp_path, features_of, caplog):
    write_shop(tmp_path, {**{item: TEXTS[item] for item in "abce"}, "d": " -- ."})
    with caplog.at_level(logging.WARNING):
        loaded, items = features_of()
    by_token = vectors((loaded, items))
    (warning,) = [entry.getMessage() for entry in caplog.records if "no usable text" in entry.getMessage()]
    assert "2 of 6 items" in warning
    assert "1 not in shop.text" in warning and "1 without letters or digits" in warning and "text+id" in warning
    assert {token for token, vector in by_token.items() if not any(vector)} == {"[PAD]", "d", "f"}
    report = loaded.report
    assert (report.items, report.with_text, report.missing_text, report.absent_from_text_file) == (6, 4, 1, 1)


def test_no_warning_where_all_items_have_text(tmp_path, features_of, caplog):
    write_shop(tmp_path, TEXTS)
    with caplog.at_level(logging.WARNING):
        report = features_of()[0].report
    assert "usable text" not in caplog.text
    assert (report.items, report.with_text) == (6, 6)


def test_features_that_match_no_item_at_all_are_an_error(tmp_path, features_of):
    """Another dataset's text file, or tokens that are no row numbers: training would run on zeros."""
    write_shop(tmp_path, {item.upper(): text for item, text in TEXTS.items()})
    with pytest.raises(FeatureError, match=r"none of the 6 items is listed in .*shop\.text: .*'f'.*'A'"):
        features_of()


# Feature files


@pytest.mark.parametrize("name", ["x.npy", "x.safetensors", "x.feat1CLS"])
@pytest.mark.parametrize("feature_size", [None, 4])
def test_a_feature_file_with_a_text_file_follows_its_lines(tmp_path, features_of, name, feature_size):
    write_shop(tmp_path, TEXTS)
    features = matrix()
    file = save(tmp_path / name, features)
    loaded, items = features_of(feature_file=file, feature_size=feature_size, feature_center=False)
    by_token = vectors((loaded, items))
    assert {item: by_token[item] for item in TEXTS} == dict(zip(TEXTS, features.tolist(), strict=True))
    assert loaded.source == name


@pytest.mark.parametrize("name", ["x.npy", "x.safetensors", "x.feat1CLS"])
def test_without_a_text_file_row_r_belongs_to_the_item_whose_token_is_r(tmp_path, features_of, caplog, name):
    numbers = {item: str(row) for row, item in enumerate("ebafcd")}
    write_shop(tmp_path, item_names=numbers)
    features = matrix()
    with caplog.at_level(logging.WARNING):
        by_token = vectors(features_of(feature_file=save(tmp_path / name, features), feature_center=False))
    assert by_token == {"[PAD]": [0.0] * 4, **{str(row): vector for row, vector in enumerate(features.tolist())}}
    assert "usable text" not in caplog.text


def test_without_a_text_file_tokens_that_are_no_row_numbers_are_an_error(tmp_path, features_of):
    write_shop(tmp_path)
    file = save(tmp_path / "x.npy", matrix())
    with pytest.raises(FeatureError, match=r"none of the 6 items is listed in .*x\.npy: .*'f'.*'0'"):
        features_of(feature_file=file)


def test_a_relative_feature_file_is_found_beside_the_data(tmp_path, features_of, monkeypatch):
    write_shop(tmp_path, TEXTS)
    save(tmp_path / "shop" / "x.npy", matrix())
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    beside, _ = features_of(feature_file="x.npy")
    assert beside.table.shape == (7, 4)
    # The current folder comes first, as the path was given.
    save(tmp_path / "elsewhere" / "x.npy", matrix(columns=5))
    assert features_of(feature_file="x.npy")[0].table.shape == (7, 5)


def test_an_absent_feature_file_names_both_places(tmp_path, features_of):
    write_shop(tmp_path, TEXTS)
    with pytest.raises(FeatureError, match=r"feature_file x\.npy does not exist; neither does .*shop.x\.npy"):
        features_of(feature_file="x.npy")


@pytest.mark.parametrize("name", ["x.npy", "x.safetensors"])
@pytest.mark.parametrize("rows", [5, 7])
def test_a_wrong_number_of_rows_gives_both_numbers(tmp_path, features_of, name, rows):
    write_shop(tmp_path, TEXTS)
    file = save(tmp_path / name, matrix(rows))
    with pytest.raises(FeatureError, match=rf"{name}: {rows} rows for 6 items; row r must be the r-th line"):
        features_of(feature_file=file)


def test_a_raw_file_that_holds_no_whole_rows_is_an_error(tmp_path, features_of):
    write_shop(tmp_path, TEXTS)
    file = save(tmp_path / "x.feat1CLS", matrix(5))
    with pytest.raises(FeatureError, match=r"x\.feat1CLS: 80 bytes are not a float32 matrix with 6 rows"):
        features_of(feature_file=file)
    with pytest.raises(FeatureError, match=r"x\.feat1CLS: 5 rows for 6 items"):
        features_of(feature_file=file, feature_size=4)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite_name_row_and_item(tmp_path, features_of, bad):
    write_shop(tmp_path, TEXTS)
    features = matrix()
    features[2, 1] = features[4, 0] = bad
    file = save(tmp_path / "x.npy", features)
    with pytest.raises(FeatureError, match=r"x\.npy: 2 rows hold NaN or inf, the first is row 2 \(item 'c'\)"):
        features_of(feature_file=file)


def test_raw_feature_files_are_in_the_order_of_the_numbers(tmp_path):
    """UniSRec's release: raw ids in .text, numbers in the interactions, features in the order of the numbers."""
    (tmp_path / "Rel.text").write_text("item_id:token\ttext:token_seq\nB0A\tapple pie\nB0C\tcherry cake\n")
    (tmp_path / "Rel.item2index").write_text("B0C\t0\nB0A\t1\nB0B\t2\n")
    features = np.arange(12, dtype="<f4").reshape(3, 4) + 1
    features.tofile(tmp_path / "Rel.feat1CLS")
    settings = {"data_path": str(tmp_path), "dataset": "Rel", "feature_file": str(tmp_path / "Rel.feat1CLS")}
    settings |= {"feature_size": None, "feature_center": False, "feature_scale": False}
    table = load_item_features(settings, np.array(["[PAD]", "2", "0", "1"])).table
    assert np.array_equal(table[1:], features[[2, 0, 1]])


# Centring


@pytest.mark.parametrize("center", [True, False])
def test_the_padding_row_is_zero(tmp_path, features_of, center):
    write_shop(tmp_path, TEXTS)
    assert not features_of(feature_file=save(tmp_path / "x.npy", matrix() + 5), feature_center=center)[0].table[0].any()


def test_centring_takes_the_mean_from_items_with_text_and_from_no_other(tmp_path, features_of):
    write_shop(tmp_path, TEXTS)
    features = matrix() + 5
    features[2] = 0  # item c has no text
    file = save(tmp_path / "x.npy", features)
    table = features_of(feature_file=file)[0].table
    present = table.any(axis=1)
    assert present.sum() == 5
    np.testing.assert_allclose(table[present].mean(axis=0), 0, atol=1e-6)
    plain = features_of(feature_file=file, feature_center=False)[0].table
    assert (plain.any(axis=1) == present).all()
    mean = features[[0, 1, 3, 4, 5]].mean(axis=0)
    np.testing.assert_allclose(plain[present] - table[present], np.tile(mean, (5, 1)), rtol=1e-5)


def test_items_with_text_alone_are_centred_like_the_others(tmp_path, features_of):
    write_shop(tmp_path, {**TEXTS, "x": "never bought"})
    features = matrix(7) + 5
    loaded, _ = features_of(feature_file=save(tmp_path / "x.npy", features))
    assert loaded.text_only.tolist() == [6]
    np.testing.assert_allclose(loaded.text_only_features[0], (features - features.mean(0))[6], atol=1e-5)
    # Item f is the first to appear in the interactions.
    np.testing.assert_allclose(loaded.table[1], (features - features.mean(0))[5], atol=1e-5)


# Scaling


@pytest.mark.parametrize("center", [True, False])
def test_scaling_gives_mean_square_one_over_the_items_with_text(tmp_path, features_of, center):
    write_shop(tmp_path, TEXTS)
    features = 30 * matrix() + 5
    features[2] = 0  # item c has no text
    settings = {"feature_file": save(tmp_path / "x.npy", features), "feature_center": center}
    plain = features_of(**settings)[0].table
    scaled = features_of(**settings, feature_scale=True)[0].table
    present = plain.any(axis=1)
    assert present.sum() == 5
    assert np.square(scaled[present]).mean() == pytest.approx(1, rel=1e-5)
    assert not scaled[~present].any()
    factor = np.sqrt(np.square(plain[present]).mean())
    np.testing.assert_allclose(scaled * factor, plain, rtol=1e-5)
    assert scaled.dtype == np.float32


def test_scaled_features_do_not_depend_on_the_encoders_unit(tmp_path, features_of):
    write_shop(tmp_path, TEXTS)
    one, other = (
        features_of(feature_file=save(tmp_path / f"{unit}.npy", matrix() * np.float32(unit)), feature_scale=True)[0]
        for unit in (0.01, 64)
    )
    np.testing.assert_allclose(one.table, other.table, rtol=1e-5, atol=1e-6)


def test_features_that_are_all_alike_are_left_at_zero_by_centring_not_divided(tmp_path, features_of):
    write_shop(tmp_path, TEXTS)
    file = save(tmp_path / "x.npy", np.ones((6, 4), dtype=np.float32))
    assert not features_of(feature_file=file, feature_scale=True)[0].table.any()


# Hash


def test_the_hash_is_that_of_the_table_by_internal_id(tmp_path, features_of):
    write_shop(tmp_path, TEXTS)
    features = matrix()
    file = save(tmp_path / "x.npy", features)
    first = features_of(feature_file=file)[0].hash
    assert features_of(feature_file=save(tmp_path / "x.safetensors", features))[0].hash == first
    changed = features.copy()
    changed[3, 2] += 1e-3
    changes = [{"feature_center": False}, {"feature_scale": True}, {"feature_file": save(tmp_path / "y.npy", changed)}]
    changes += [{"feature_file": save(tmp_path / "z.npy", features[:, :3])}, {"feature_file": None}]
    others = [features_of(**{"feature_file": file, **change})[0].hash for change in changes]
    write_shop(tmp_path, TEXTS, dict(reversed(USERS.items())))
    others.append(features_of(feature_file=file)[0].hash)  # the same vectors under other ids
    assert len({first, *others}) == 7


def test_a_changed_text_changes_the_encoded_features(tmp_path, features_of):
    write_shop(tmp_path, TEXTS)
    first = features_of()[0].hash
    assert features_of()[0].hash == first
    write_shop(tmp_path, {**TEXTS, "c": "large glass cup"})
    assert features_of()[0].hash != first


@pytest.fixture
def two_encoders(monkeypatch):
    """Names of two encoders whose features are known: those of tfidf-svd, and counts of letters."""
    build = item_features.build_encoder

    def either(name, **settings):
        return LetterEncoder() if name == "letters" else build(name, **settings)

    monkeypatch.setattr(item_features, "build_encoder", either)
    return "letters, tfidf-svd"


def test_encoders_with_a_comma_between_them_stand_side_by_side(tmp_path, features_of, two_encoders):
    """Each block is what the encoder gives alone, and each is fitted once."""
    write_shop(tmp_path, TEXTS)
    both, _ = features_of(text_encoder=two_encoders, feature_scale=True)
    alone = [features_of(text_encoder=name, feature_scale=True)[0].table for name in ("letters", "tfidf-svd")]
    assert both.source == two_encoders and len(both.fitted.blocks) == 2
    np.testing.assert_array_equal(both.table, np.hstack(alone))


@pytest.mark.parametrize("names", ["tfidf-svd,", ",", "tfidf-svd,tfidf-svd"])
def test_empty_names_and_names_given_twice_are_refused(tmp_path, features_of, names):
    write_shop(tmp_path, TEXTS)
    with pytest.raises(ConfigError, match="has an empty name or one that occurs twice"):
        features_of(text_encoder=names)


def test_fits_of_another_number_of_encoders_are_refused(tmp_path, features_of, two_encoders):
    write_shop(tmp_path, TEXTS)
    both, items = features_of(text_encoder=two_encoders)
    config = {
        **{"data_path": str(tmp_path / "shop"), "dataset": "shop", "cache_dir": str(tmp_path / "cache")},
        **{"text_encoder": "tfidf-svd", "text_pooling": "mean", "feature_file": None, "feature_size": None},
        **{"feature_center": True, "feature_scale": False, "device": "cpu", "show_progress": False},
    }
    with pytest.raises(FeatureError, match="features of 2 encoders were fitted, but text_encoder names 1"):
        load_item_features(config, items, both.fitted)

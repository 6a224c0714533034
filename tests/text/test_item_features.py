"""The feature table: rows by token, missing texts, files made elsewhere, centring and scaling."""

import logging

import numpy as np
import pytest
from safetensors.numpy import save_file

from recbole_mpo.common.errors import FeatureError
from recbole_mpo.quick_start.experiment import Experiment

TEXTS = {
    "a": "red lamp",
    "b": "blue wooden chair",
    "c": "small glass cup",
    "d": "steel table",
    "e": "cotton tape",
    "f": "green paint brush",
}
# Interactions and texts list the items in different orders.
USERS = {"u": "fcadb", "v": "bdfea", "w": "acebd"}


def write_shop(data_path, texts=None, users=None, item_names=None):
    """``shop``: interactions in the order of ``users``; ``texts`` None writes no text file."""
    folder = data_path / "shop"
    folder.mkdir(parents=True, exist_ok=True)
    named = item_names or {}
    rows = [
        f"{user}\t{named.get(item, item)}\t{time}"
        for user, items in (users or USERS).items()
        for time, item in enumerate(items)
    ]
    (folder / "shop.inter").write_text(
        "\n".join(["user_id:token\titem_id:token\ttimestamp:float", *rows]) + "\n", encoding="utf-8"
    )
    if texts is not None:
        lines = ["item_id:token\ttext:token_seq", *(f"{item}\t{text}" for item, text in texts.items())]
        (folder / "shop.text").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def dataset_of(tmp_path):
    """The data set ``shop`` under these settings; features unscaled, to be compared with their file."""

    def build(**settings):
        overrides = {
            "data_path": str(tmp_path),
            "cache_dir": str(tmp_path / "cache"),
            "text_encoder": "tfidf-svd",
            "feature_scale": False,
            "use_gpu": False,
            "show_progress": False,
            **settings,
        }
        return Experiment.of("MPORec", "shop", (), overrides).dataset

    return build


def vectors(dataset) -> dict[str, list[float]]:
    """Feature vector by item token, PAD left out."""
    table = dataset.features.table
    return {str(token): table[number].tolist() for number, token in enumerate(dataset.field2id_token["item_id"])}


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


def test_every_item_gets_the_features_of_its_own_text(tmp_path, dataset_of):
    """Row r of the file is the r-th line of the text file; internal ids follow the interactions."""
    write_shop(tmp_path, TEXTS)
    features = matrix()
    dataset = dataset_of(feature_file=save(tmp_path / "x.npy", features), feature_center=False)
    assert dataset.field2id_token["item_id"].tolist() == ["[PAD]", "f", "c", "a", "d", "b", "e"]
    expected = {"[PAD]": [0.0] * 4, **{item: features[row].tolist() for row, item in enumerate(TEXTS)}}
    assert vectors(dataset) == expected
    assert dataset.item_features().shape == (dataset.item_num, 4)


@pytest.mark.parametrize("encoder", ["tfidf-svd", "file"])
def test_permuting_the_interactions_moves_no_vector_to_another_item(tmp_path, dataset_of, encoder):
    settings = {} if encoder == "tfidf-svd" else {"feature_file": save(tmp_path / "x.npy", matrix())}
    write_shop(tmp_path, TEXTS)
    before = dataset_of(**settings)
    write_shop(tmp_path, TEXTS, dict(reversed(USERS.items())))
    after = dataset_of(**settings)
    assert before.field2id_token["item_id"].tolist() != after.field2id_token["item_id"].tolist()
    assert vectors(before) == vectors(after)
    assert len({tuple(vector) for vector in vectors(before).values()}) == 7, "or the comparison says nothing"


def test_items_with_text_alone_are_kept_aside(tmp_path, dataset_of):
    write_shop(tmp_path, {"x": "never bought", **TEXTS, "y": "nor this one"})
    features = matrix(8)
    dataset = dataset_of(feature_file=save(tmp_path / "x.npy", features), feature_center=False)
    assert dataset.item_num == 7
    assert vectors(dataset)["a"] == features[1].tolist()
    assert dataset.features.report.text_only == 2
    assert dataset.features.item_text.tokens == ["x", *TEXTS, "y"]
    assert dataset.features.text_only.tolist() == [0, 7]
    assert dataset.features.text_only_features.tolist() == features[[0, 7]].tolist()


# Missing text


def test_items_without_text_are_counted_warned_about_and_zero(tmp_path, dataset_of, caplog):
    write_shop(tmp_path, {**{item: TEXTS[item] for item in "abce"}, "d": " -- ."})
    with caplog.at_level(logging.WARNING):
        dataset = dataset_of()
        by_token = vectors(dataset)
    (warning,) = [entry.getMessage() for entry in caplog.records if "no usable text" in entry.getMessage()]
    assert "2 of 6 items" in warning
    assert "1 not in shop.text" in warning and "1 with nothing to read" in warning and "text+id" in warning
    assert {token for token, vector in by_token.items() if not any(vector)} == {"[PAD]", "d", "f"}
    report = dataset.features.report
    assert (report.items, report.with_text, report.missing_text, report.absent_from_text_file) == (6, 4, 1, 1)


def test_no_warning_where_all_items_have_text(tmp_path, dataset_of, caplog):
    write_shop(tmp_path, TEXTS)
    with caplog.at_level(logging.WARNING):
        report = dataset_of().features.report
    assert "usable text" not in caplog.text
    assert (report.items, report.with_text) == (6, 6)


def test_features_that_match_no_item_at_all_are_an_error(tmp_path, dataset_of):
    """Another data set's text file, or tokens that are no row numbers: training would run on zeros."""
    write_shop(tmp_path, {item.upper(): text for item, text in TEXTS.items()})
    with pytest.raises(FeatureError, match=r"none of the 6 items is listed in .*shop\.text: .*'f'.*'A'"):
        dataset_of().features  # noqa: B018


def test_all_splits_share_one_feature_table_and_one_warning(tmp_path, dataset_of, caplog):
    write_shop(tmp_path, {item: TEXTS[item] for item in "abcd"})
    with caplog.at_level(logging.WARNING):
        dataset = dataset_of()
        splits = dataset.build()
        tables = [split.features.table for split in (splits[0], dataset, *splits[1:])]
    assert all(table is tables[0] for table in tables)
    assert caplog.text.count("no usable text") == 1


# Feature files


@pytest.mark.parametrize("name", ["x.npy", "x.safetensors", "x.feat1CLS"])
@pytest.mark.parametrize("feature_size", [None, 4])
def test_a_feature_file_with_a_text_file_follows_its_lines(tmp_path, dataset_of, name, feature_size):
    write_shop(tmp_path, TEXTS)
    features = matrix()
    file = save(tmp_path / name, features)
    dataset = dataset_of(feature_file=file, feature_size=feature_size, feature_center=False)
    assert {item: vectors(dataset)[item] for item in TEXTS} == dict(zip(TEXTS, features.tolist(), strict=True))
    assert dataset.features.source == name


@pytest.mark.parametrize("name", ["x.npy", "x.safetensors", "x.feat1CLS"])
def test_without_a_text_file_row_r_belongs_to_the_item_whose_token_is_r(tmp_path, dataset_of, caplog, name):
    numbers = {item: str(row) for row, item in enumerate("ebafcd")}
    write_shop(tmp_path, item_names=numbers)
    features = matrix()
    dataset = dataset_of(feature_file=save(tmp_path / name, features), feature_center=False)
    with caplog.at_level(logging.WARNING):
        by_token = vectors(dataset)
    assert by_token == {"[PAD]": [0.0] * 4, **{str(row): vector for row, vector in enumerate(features.tolist())}}
    assert "usable text" not in caplog.text


def test_without_a_text_file_tokens_that_are_no_row_numbers_are_an_error(tmp_path, dataset_of):
    write_shop(tmp_path)
    file = save(tmp_path / "x.npy", matrix())
    with pytest.raises(FeatureError, match=r"none of the 6 items is listed in .*x\.npy: .*'f'.*'0'"):
        dataset_of(feature_file=file).features  # noqa: B018


def test_a_relative_feature_file_is_found_beside_the_data(tmp_path, dataset_of, monkeypatch):
    write_shop(tmp_path, TEXTS)
    save(tmp_path / "shop" / "x.npy", matrix())
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    beside = dataset_of(feature_file="x.npy").features
    assert beside.table.shape == (7, 4)
    # The current folder comes first, as the path was given.
    save(tmp_path / "elsewhere" / "x.npy", matrix(columns=5))
    assert dataset_of(feature_file="x.npy").features.table.shape == (7, 5)


def test_an_absent_feature_file_names_both_places(tmp_path, dataset_of):
    write_shop(tmp_path, TEXTS)
    with pytest.raises(FeatureError, match=r"feature_file x\.npy does not exist.*nor as .*shop.x\.npy"):
        dataset_of(feature_file="x.npy").features  # noqa: B018


@pytest.mark.parametrize("name", ["x.npy", "x.safetensors"])
@pytest.mark.parametrize("rows", [5, 7])
def test_a_wrong_number_of_rows_gives_both_numbers(tmp_path, dataset_of, name, rows):
    write_shop(tmp_path, TEXTS)
    file = save(tmp_path / name, matrix(rows))
    with pytest.raises(FeatureError, match=rf"{name}: {rows} rows for 6 items; row r must be the r-th line"):
        dataset_of(feature_file=file).features  # noqa: B018


def test_a_raw_file_that_holds_no_whole_rows_is_an_error(tmp_path, dataset_of):
    write_shop(tmp_path, TEXTS)
    file = save(tmp_path / "x.feat1CLS", matrix(5))
    with pytest.raises(FeatureError, match=r"x\.feat1CLS: 80 bytes are no float32 matrix with 6 rows"):
        dataset_of(feature_file=file).features  # noqa: B018
    with pytest.raises(FeatureError, match=r"x\.feat1CLS: 5 rows for 6 items"):
        dataset_of(feature_file=file, feature_size=4).features  # noqa: B018


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite_name_row_and_item(tmp_path, dataset_of, bad):
    write_shop(tmp_path, TEXTS)
    features = matrix()
    features[2, 1] = features[4, 0] = bad
    file = save(tmp_path / "x.npy", features)
    with pytest.raises(FeatureError, match=r"x\.npy: 2 rows hold NaN or inf, the first is row 2 \(item 'c'\)"):
        dataset_of(feature_file=file).features  # noqa: B018


def test_scientifics_reconstructed_bert_features_are_read(shared_data, tmp_path):
    """float16 768 columns, 4,385 rows in the order of the text file, which is that of the tokens."""
    file = shared_data / "Scientific" / "Scientific.feat1CLS.pq.npy"
    overrides = {
        "data_path": str(shared_data),
        "feature_file": file.name,
        "feature_center": False,
        "feature_scale": False,
        "use_gpu": False,
    }
    dataset = Experiment.of("MPORec", "Scientific", (), overrides).dataset
    features = dataset.features
    assert features.table.shape == (4_386, 768)
    assert features.table.dtype == np.float32
    assert features.report.with_text == features.report.items == 4_385
    rows = dataset.field2id_token["item_id"][1:].astype(int)
    assert (rows != np.arange(4_385)).mean() > 0.9, "or the order below says nothing"
    assert (features.table[1:] == np.load(file)[rows].astype(np.float32)).all()
    assert not features.table[0].any()


# Centring


@pytest.mark.parametrize("center", [True, False])
def test_the_padding_row_is_zero(tmp_path, dataset_of, center):
    write_shop(tmp_path, TEXTS)
    file = save(tmp_path / "x.npy", matrix() + 5)
    assert not dataset_of(feature_file=file, feature_center=center).features.table[0].any()


def test_centring_takes_the_mean_from_items_with_text_and_from_no_other(tmp_path, dataset_of):
    write_shop(tmp_path, TEXTS)
    features = matrix() + 5
    features[2] = 0  # item c has no text
    file = save(tmp_path / "x.npy", features)
    table = dataset_of(feature_file=file).features.table
    present = table.any(axis=1)
    assert present.sum() == 5
    np.testing.assert_allclose(table[present].mean(axis=0), 0, atol=1e-6)
    plain = dataset_of(feature_file=file, feature_center=False).features.table
    assert (plain.any(axis=1) == present).all()
    mean = features[[0, 1, 3, 4, 5]].mean(axis=0)
    np.testing.assert_allclose(plain[present] - table[present], np.tile(mean, (5, 1)), rtol=1e-5)


def test_items_with_text_alone_are_centred_like_the_others(tmp_path, dataset_of):
    write_shop(tmp_path, {**TEXTS, "x": "never bought"})
    features = matrix(7) + 5
    loaded = dataset_of(feature_file=save(tmp_path / "x.npy", features)).features
    assert loaded.text_only.tolist() == [6]
    np.testing.assert_allclose(loaded.text_only_features[0], (features - features.mean(0))[6], atol=1e-5)
    # Item f is the first to appear in the interactions.
    np.testing.assert_allclose(loaded.table[1], (features - features.mean(0))[5], atol=1e-5)


# Scaling


@pytest.mark.parametrize("center", [True, False])
def test_scaling_gives_mean_square_one_over_the_items_with_text(tmp_path, dataset_of, center):
    write_shop(tmp_path, TEXTS)
    features = 30 * matrix() + 5
    features[2] = 0  # item c has no text
    settings = {"feature_file": save(tmp_path / "x.npy", features), "feature_center": center}
    plain = dataset_of(**settings).features.table
    scaled = dataset_of(**settings, feature_scale=True).features.table
    present = plain.any(axis=1)
    assert present.sum() == 5
    assert np.square(scaled[present]).mean() == pytest.approx(1, rel=1e-5)
    assert not scaled[~present].any()
    factor = np.sqrt(np.square(plain[present]).mean())
    np.testing.assert_allclose(scaled * factor, plain, rtol=1e-5)
    assert scaled.dtype == np.float32


def test_scaled_features_do_not_depend_on_the_encoders_unit(tmp_path, dataset_of):
    write_shop(tmp_path, TEXTS)
    one, other = (
        dataset_of(feature_file=save(tmp_path / f"{unit}.npy", matrix() * np.float32(unit)), feature_scale=True)
        for unit in (0.01, 64)
    )
    np.testing.assert_allclose(one.features.table, other.features.table, rtol=1e-5, atol=1e-6)


def test_features_that_are_all_alike_are_left_at_zero_by_centring_not_divided(tmp_path, dataset_of):
    write_shop(tmp_path, TEXTS)
    file = save(tmp_path / "x.npy", np.ones((6, 4), dtype=np.float32))
    assert not dataset_of(feature_file=file, feature_scale=True).features.table.any()


# Hash


def test_the_hash_is_that_of_the_table_by_internal_id(tmp_path, dataset_of):
    write_shop(tmp_path, TEXTS)
    features = matrix()
    file = save(tmp_path / "x.npy", features)
    first = dataset_of(feature_file=file).feature_hash
    assert dataset_of(feature_file=save(tmp_path / "x.safetensors", features)).feature_hash == first
    changed = features.copy()
    changed[3, 2] += 1e-3
    others = [
        dataset_of(feature_file=file, feature_center=False).feature_hash,
        dataset_of(feature_file=file, feature_scale=True).feature_hash,
        dataset_of(feature_file=save(tmp_path / "y.npy", changed)).feature_hash,
        dataset_of(feature_file=save(tmp_path / "z.npy", features[:, :3])).feature_hash,
        dataset_of().feature_hash,
    ]
    write_shop(tmp_path, TEXTS, dict(reversed(USERS.items())))
    others.append(dataset_of(feature_file=file).feature_hash)  # the same vectors under other ids
    assert len({first, *others}) == 7


def test_a_changed_text_changes_the_encoded_features(tmp_path, dataset_of):
    write_shop(tmp_path, TEXTS)
    first = dataset_of().feature_hash
    assert dataset_of().feature_hash == first
    write_shop(tmp_path, {**TEXTS, "c": "large glass cup"})
    assert dataset_of().feature_hash != first

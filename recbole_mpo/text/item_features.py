"""From a dataset's item text to the feature table that a model uses.

Shapes: N items in RecBole's internal order (row 0 is PAD), T lines of the text file, K lines of items without
interactions, F feature.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recbole_mpo.common.errors import ConfigError, FeatureError
from recbole_mpo.text.alignment import AlignmentReport, align_features
from recbole_mpo.text.encoders import FittedTextEncoder, TextEncoder, build_encoder
from recbole_mpo.text.encoding import Encoded, encode_items
from recbole_mpo.text.feature_files import feature_hash, read_feature_file
from recbole_mpo.text.fitted_text import FittedText
from recbole_mpo.text.item_text import ItemText, read_dataset_text
from recbole_mpo.text.standardising import present_rows

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ItemFeatures:
    """Features of a dataset's items, and of items that have text but no interactions.

    Attributes:
        table: [N, F] features by internal id; the PAD row is zero.
        hash: hash of the table.
        report: how many items have text.
        source: name of the encoder or file.
        item_text: tokens and texts of the text file [T].
        text_only: [K] the lines of ``item_text`` with items that have no interactions.
        text_only_features: [K, F] the features of these items, centred and scaled like the table.
        fitted: what was fitted to the item texts, for later texts.
    """

    table: np.ndarray
    hash: str
    report: AlignmentReport
    source: str
    item_text: ItemText
    text_only: np.ndarray
    text_only_features: np.ndarray
    fitted: FittedText


def text_path(config) -> Path:
    """Return the path of the text file of a run's dataset."""
    return Path(config["data_path"]) / f"{config['dataset']}.text"


def titles_of(config) -> dict[str, str]:
    """Return the texts of a run's dataset by token; nothing without a text file.

    Raises:
        DataError: the file cannot be read.
    """
    path = text_path(config)
    return read_dataset_text(path).by_token() if path.is_file() else {}


def load_item_features(config, item_tokens, fitted: FittedText | None = None) -> ItemFeatures:
    """Encode or read the features that the settings name, and align them with ``item_tokens`` [N].

    Args:
        config: settings of the run.
        item_tokens: tokens of the items by internal id, PAD first.
        fitted: what the features are to be made with; by default it is fitted to the dataset's item texts.

    Raises:
        FeatureError: the matrix does not match the items, or no item has a row, or ``fitted`` is of other features.
    """
    item_text, source, encoded = _raw_features(config, len(item_tokens) - 1, fitted)
    fitted = fitted or FittedText.fit(encoded, config["feature_center"], config["feature_scale"])
    features = fitted.apply(encoded)
    table, report = align_features(features, item_text.tokens, item_tokens, item_text.texts)
    check_coverage(report, item_text.source, item_text.tokens[0], item_tokens)
    candidates = set(item_tokens)
    has_no_interactions = (token not in candidates for token in item_text.tokens)
    is_text_only = np.fromiter(has_no_interactions, dtype=bool, count=len(item_text))
    text_only = np.flatnonzero(is_text_only & present_rows(features))
    return ItemFeatures(table, feature_hash(table), report, source, item_text, text_only, features[text_only], fitted)


def encoders_of(config) -> list[TextEncoder | FittedTextEncoder]:
    """Return the text encoders that the settings name, most often one."""
    settings = {"pooling": config["text_pooling"], "device": str(config["device"])}
    return [build_encoder(name, **settings) for name in encoder_names(config["text_encoder"])]


def needs_fit(config) -> bool:
    """Return whether features of several datasets can be compared only if an encoder is fitted to the texts of all."""
    return not config["feature_file"] and any(encoder.needs_fit for encoder in encoders_of(config))


def encoder_names(text: str) -> list[str]:
    """Return the names in a list with commas.

    Raises:
        ConfigError: a name is empty, or occurs twice.
    """
    names = [name.strip() for name in text.split(",")]
    if "" in names or len(set(names)) < len(names):
        raise ConfigError(f"text_encoder {text!r} has an empty name or one that occurs twice; give names as in a,b")
    return names


def _raw_features(config, item_count: int, fitted: FittedText | None) -> tuple[ItemText, str, list[Encoded]]:
    """Return the item text, the name of the features' source, and each encoder's features [T, F] of its lines."""
    path = text_path(config)
    if config["feature_file"]:
        file = feature_path(config)
        # Without a text file, row r belongs to the item whose token is r.
        numbered = ItemText([str(row) for row in range(item_count)], [""] * item_count, file)
        item_text = read_dataset_text(path) if path.is_file() else numbered
        features = read_feature_file(file, len(item_text), config["feature_size"], item_text.tokens)
        return item_text, file.name, [Encoded(features, {})]
    item_text = read_dataset_text(path)
    encoded = encode_texts(item_text, config, config["dataset"], fitted)
    return item_text, ", ".join(encoder.name for encoder in encoders_of(config)), encoded


def encode_texts(item_text: ItemText, config, name: str, fitted: FittedText | None = None) -> list[Encoded]:
    """Return the features of item texts by each encoder that the settings name, neither centred nor scaled.

    Args:
        item_text: tokens and texts of T items.
        config: settings of the run.
        name: name of the folder in the cache.
        fitted: earlier fits of the encoders, for those that are fitted; by default they are fitted to these texts.

    Raises:
        DataError: no item has text, or the cache cannot be written.
        FeatureError: an encoder returns unusable vectors, or ``fitted`` is of other encoders.
    """
    encoders = encoders_of(config)
    fits = [block.encoder or None for block in fitted.blocks] if fitted else [None] * len(encoders)
    if len(fits) != len(encoders):
        raise FeatureError(
            f"features of {len(fits)} encoders were fitted, but text_encoder names {len(encoders)}; use the "
            "text_encoder of the run that they come from"
        )
    place = config["cache_dir"], name, bool(config["show_progress"])
    return [encode_items(item_text, encoder, *place, fit) for encoder, fit in zip(encoders, fits, strict=True)]


def feature_path(config) -> Path:
    """Return the path of ``feature_file``, as given or relative to the dataset's folder.

    Raises:
        FeatureError: the file does not exist.
    """
    given = Path(str(config["feature_file"]))
    beside_data = Path(config["data_path"]) / given
    if not given.is_file() and not beside_data.is_file():
        raise FeatureError(f"feature_file {given} does not exist; neither does {beside_data}")
    return given if given.is_file() else beside_data


def check_coverage(report: AlignmentReport, source: Path, first_token: str, item_tokens):
    """Warn of items without text.

    Args:
        report: how many there are.
        source: the file that lists the items of the features.
        first_token: token of the first row.
        item_tokens: tokens of the dataset's items [N], PAD first.

    Raises:
        FeatureError: no item is listed, so that all vectors would be zero.
    """
    if report.absent_from_text_file == report.items:
        raise FeatureError(
            f"none of the {report.items} items is listed in {source}: the first item is "
            f"{str(item_tokens[1])!r} in the interactions and {first_token!r} in that file. Row r belongs to "
            "line r of the .text file, or without such a file to the item whose token is r"
        )
    without = report.missing_text + report.absent_from_text_file
    if without:
        logger.warning(
            "%d of %d items have no usable text (%d not in %s, %d without letters or digits): their text vector is "
            "zero; give them text or use item_input=text+id",
            without,
            report.items,
            report.absent_from_text_file,
            source.name,
            report.missing_text,
        )

"""From a data set's item text to the feature table a model takes.

Shapes: N items in RecBole's internal order (row 0 is PAD), F feature.
"""

from dataclasses import dataclass
from logging import getLogger
from pathlib import Path

import numpy as np

from recbole_mpo.common.errors import FeatureError
from recbole_mpo.text.alignment import AlignmentReport, align_features, center_features, present_rows, scale_features
from recbole_mpo.text.encoders import TextEncoder, build_encoder
from recbole_mpo.text.encoding import encode_items
from recbole_mpo.text.feature_files import feature_hash, read_feature_file
from recbole_mpo.text.item_text import ItemText, read_dataset_text


@dataclass(frozen=True)
class ItemFeatures:
    """Features of a data set's items, and of those that only have text.

    Attributes:
        table: [N, F] by internal id, PAD row zero.
        hash: of the table.
        report: how many items have text.
        source: encoder or file the features come from.
        item_text: tokens and texts of the text file.
        text_only: the lines of ``item_text`` [K] of the items that have text and no interactions.
        text_only_features: theirs [K, F], centred and scaled as the table is.
    """

    table: np.ndarray
    hash: str
    report: AlignmentReport
    source: str
    item_text: ItemText
    text_only: np.ndarray
    text_only_features: np.ndarray


def text_path(config) -> Path:
    """Where the item text of a run's data set stands."""
    return Path(config["data_path"]) / f"{config['dataset']}.text"


def load_item_features(config, item_tokens) -> ItemFeatures:
    """Encodes or reads the features that ``config`` asks for and aligns them with ``item_tokens`` [N].

    Raises:
        FeatureError: the matrix does not fit, or not one of the items has a row.
    """
    item_text, source, features = _raw_features(config, len(item_tokens) - 1)
    present = center_and_scale(features, config)
    table, report = align_features(features, item_text.tokens, item_tokens, item_text.texts)
    _refuse_strangers(report, item_text, item_tokens)
    _warn(report, item_text.source)
    known = set(item_tokens)
    unknown = np.fromiter((token not in known for token in item_text.tokens), dtype=bool, count=len(item_text))
    text_only = np.flatnonzero(unknown & present)
    return ItemFeatures(
        table, feature_hash(table), report, source, item_text, text_only, features[text_only]
    )


def center_and_scale(features_NF: np.ndarray, config) -> np.ndarray:
    """Centres and scales features in place as the settings say; returns which rows have any, [N]."""
    present = present_rows(features_NF)
    if config["feature_center"]:
        center_features(features_NF, present)
    if config["feature_scale"]:
        scale_features(features_NF, present)
    return present


def encoder_of(config) -> TextEncoder:
    """The text encoder that the settings name."""
    return build_encoder(config["text_encoder"], pooling=config["text_pooling"], device=str(config["device"]))


def _raw_features(config, item_count: int) -> tuple[ItemText, str, np.ndarray]:
    path = text_path(config)
    if config["feature_file"]:
        file = _feature_file(config)
        # Without a text file row r belongs to the item whose token is r.
        numbered = ItemText([str(row) for row in range(item_count)], [""] * item_count, file)
        item_text = read_dataset_text(path) if path.is_file() else numbered
        raw = read_feature_file(file, len(item_text), config["feature_size"], item_text.tokens)
        return item_text, file.name, raw
    item_text = read_dataset_text(path)
    encoder = encoder_of(config)
    raw = encode_items(
        item_text, encoder, config["cache_dir"], config["dataset"], bool(config["show_progress"])
    )
    return item_text, encoder.name, raw


def _feature_file(config) -> Path:
    """The path as given, or below the data set's folder."""
    given = Path(str(config["feature_file"]))
    beside_data = Path(config["data_path"]) / given
    if not given.is_file() and not beside_data.is_file():
        raise FeatureError(f"feature_file {given} does not exist, neither as given nor as {beside_data}")
    return given if given.is_file() else beside_data


def _refuse_strangers(report: AlignmentReport, item_text: ItemText, item_tokens):
    """Another data set's text, or rows without names, would leave every vector zero."""
    if report.absent_from_text_file == report.items:
        raise FeatureError(
            f"none of the {report.items} items is listed in {item_text.source}: the interactions call the first "
            f"one {str(item_tokens[1])!r}, that file {item_text.tokens[0]!r}. Row r belongs to line r of .text, "
            "or where there is none to the item whose token is r"
        )


def _warn(report: AlignmentReport, source: Path):
    without = report.missing_text + report.absent_from_text_file
    if without:
        getLogger().warning(
            "%d of %d items have no usable text (%d not in %s, %d with nothing to read): their text vector is "
            "zero; give them text or use item_input=text+id",
            without,
            report.items,
            report.absent_from_text_file,
            source.name,
            report.missing_text,
        )

"""What models and checkpoints ask a dataset about its items' text features.

Shapes: N items (row 0 is PAD), F feature.
"""

from collections.abc import Callable

import torch

from recbole_mpo.data.fitted_tensors import FittedTensors, as_tensors, of_tensors
from recbole_mpo.text.feature_files import feature_sketch
from recbole_mpo.text.fitted_text import FittedText
from recbole_mpo.text.item_features import ItemFeatures, load_item_features, text_path
from recbole_mpo.text.item_text import texts_of


class FeaturedMixin:
    """Text features of the items of one dataset, encoded or read on first use; to be mixed into a dataset class.

    The dataset has ``config``, ``dataset_name``, ``iid_field`` and ``field2id_token``, and makes the two dicts.
    """

    _loaded: dict[str, ItemFeatures]
    _fitted: dict[str, FittedText]
    load_features: Callable[..., ItemFeatures] = staticmethod(load_item_features)
    """What gives the features of items, from the settings, the tokens [N] and what was fitted earlier."""

    @property
    def features(self) -> ItemFeatures:
        """Return the text features by internal item id; they are encoded or read on first use."""
        if "features" not in self._loaded:
            tokens = self.field2id_token[self.iid_field]
            features = self.load_features(self.config, tokens, self.fitted_to(self.dataset_name))
            self.keep_fitted(self.dataset_name, features.fitted)
            self._loaded["features"] = features
        return self._loaded["features"]

    def item_features(self) -> torch.Tensor:
        """Return the feature table [N, F]."""
        return torch.from_numpy(self.features.table)

    def item_texts(self) -> list[str]:
        """Return the texts [N] of the items, "" for PAD and for items without text."""
        return texts_of(text_path(self.config), self.field2id_token[self.iid_field])

    @property
    def feature_hash(self) -> str:
        """Return the hash of the feature table, which checkpoints store."""
        return self.features.hash

    @property
    def feature_sketch(self) -> torch.Tensor:
        """Return two numbers per item [N, 2], which checkpoints store to tell rounding from other features."""
        return torch.from_numpy(feature_sketch(self.features.table))

    def fitted_to(self, name: str) -> FittedText | None:
        """Return what was fitted to the item texts of a dataset; None if nothing was yet."""
        return self._fitted.get(name)

    def keep_fitted(self, name: str, fitted: FittedText):
        """Keep what was fitted to the item texts of a dataset, this one or the source of a transfer."""
        self._fitted[name] = fitted

    @property
    def fitted_text(self) -> FittedTensors:
        """Return what was fitted to item texts by name of the dataset, which checkpoints store."""
        return as_tensors(self._fitted)

    def use_fitted_text(self, stored: FittedTensors):
        """Make features with what was fitted in an earlier run, the ``fitted_text`` of its checkpoint.

        Raises:
            FeatureError: it is not what a run fits.
        """
        self._fitted.update(of_tensors(stored))

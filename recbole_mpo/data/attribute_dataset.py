"""Attributes of a dataset's items, taken from their text, and RecBole's dataset with these attributes.

Shapes: N items by internal id (row 0 is PAD), F attributes, S the largest number of attributes of an item.
"""

import numpy as np
import torch
from recbole.data.dataset import SequentialDataset
from recbole.data.interaction import Interaction
from recbole.utils.enum_type import FeatureSource, FeatureType
from scipy import sparse

from recbole_mpo.common.errors import DataError
from recbole_mpo.data.reading import ReadingMixin
from recbole_mpo.data.sequences import gather_padded
from recbole_mpo.text.index_files import PAD
from recbole_mpo.text.item_features import text_path
from recbole_mpo.text.item_text import texts_of
from recbole_mpo.text.sentences import LEAST_ITEMS, item_attributes

# RecBole's default name of the field; with any other name, attributes come from an .item file.
TEXT_ATTRIBUTES = "class"


def load_item_attributes(config, item_tokens) -> tuple[list[str], sparse.csr_matrix]:
    """Return the attributes' names, and which item has which, bool [N, F]; PAD and items without text have none.

    Raises:
        DataError: there is no text file, or it gives no attribute.
    """
    path = text_path(config)
    names, table = item_attributes(texts_of(path, item_tokens))
    if not names:
        raise DataError(
            f"{path} gives no attributes, which {config['model']} needs: no category, brand or word occurs in the "
            f"texts of at least {LEAST_ITEMS} items and at most half of all items"
        )
    return names, table


class AttributeDataset(ReadingMixin, SequentialDataset):
    """RecBole's sequential dataset with item attributes, for models that look them up in ``item_feat``.

    The attributes come from the item text, so that the candidates are the same as for all models: an ``.item`` file
    would add items without interactions. If ``load_col`` names an ``.item`` file with the field, RecBole reads it.
    """

    def __init__(self, config):
        super().__init__(config)
        field = config["item_attribute"]
        if self.item_feat is not None and field in self.item_feat:
            return
        if field != TEXT_ATTRIBUTES:
            raise DataError(
                f"item_attribute is {field!r}, but no .item file with this column was loaded: name the columns in "
                f"load_col ({{inter: [...], item: [{self.iid_field}, {field}]}}), or set item_attribute to "
                f"{TEXT_ATTRIBUTES!r} for attributes from the item text"
            )
        self._add_item_feature(field, *load_item_attributes(config, self.field2id_token[self.iid_field]))

    def _add_item_feature(self, field: str, names: list[str], table: sparse.csr_matrix):
        """Add attributes as if they were read from a token_seq column: ids [N, S] from 1 up, padded with 0."""
        table.sort_indices()
        ids = gather_padded(table.indices.astype(np.int64) + 1, table.indptr[:-1], np.diff(table.indptr))
        self.item_feat = Interaction({self.iid_field: torch.arange(self.item_num), field: torch.from_numpy(ids)})
        self.set_field_property(field, FeatureType.TOKEN_SEQ, FeatureSource.ITEM, ids.shape[1])
        self.field2id_token[field] = np.array([PAD, *names])
        self.field2token_id[field] = {name: number for number, name in enumerate(self.field2id_token[field].tolist())}

"""Item text to features.

In come ``<Name>.text`` and the settings of an encoder, or a matrix made elsewhere. Out goes the feature table [N, F] in
the order of internal item ids, and what the texts themselves say: sentences, attributes, names. The room may import
``common`` alone.

Its door is ``item_features``. That module, ``encoding`` and ``encoders`` bring scikit-learn, which
takes a second to load; so they are imported by their own names, and here stand the texts alone.
"""

from recbole_mpo.text.item_text import ItemText, is_missing, read_dataset_text, read_item_text, text_file, texts_of

__all__ = ["ItemText", "is_missing", "read_dataset_text", "read_item_text", "text_file", "texts_of"]

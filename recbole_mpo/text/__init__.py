"""From item text to features.

``<Name>.text`` and the settings of an encoder come in, or a matrix made elsewhere. The feature table [N, F] in the
order of internal item ids goes out, and attributes and names read from the texts. The room may import only ``common``.

The entry point is ``item_features``. That module, ``encoding`` and ``encoders`` load scikit-learn, which takes a
second. So they are imported from their own modules, and only item texts are exported here.
"""

from recbole_mpo.text.item_text import ItemText, is_missing, read_dataset_text, read_item_text, text_file, texts_of

__all__ = ["ItemText", "is_missing", "read_dataset_text", "read_item_text", "text_file", "texts_of"]

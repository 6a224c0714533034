"""Product quantisation of item vectors: each is cut into pieces, and a piece is stored as the number of its centre.

Jégou, Douze and Schmid, "Product quantization for nearest neighbor search", PAMI 33, 2011.

Legend: N items (row 0 is PAD), D hidden, S pieces, K centres per piece.
"""

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import Tensor, nn

from recbole_mpo.release.compress.context import Context
from recbole_mpo.release.compress.item_tables import store_items, use_form
from recbole_mpo.release.compress.method import CACHED_ITEMS, ITEM_BITS, Method
from recbole_mpo.release.compress.stored_forms import Form

# Centres per piece: as many as a byte can number.
CENTRES = 256
MILLION = 1_000_000
_FLOAT_BYTES = 4


def product_codes(table_ND: Tensor, pieces: int, seed: int) -> Form:
    """Return the codes of a table's rows and the centres of each piece, by k-means of the rows but PAD.

    Args:
        table_ND: the rows.
        pieces: S, at most D; the pieces differ by at most one in length.
        seed: of the clustering.
    """
    rows_ND = table_ND.numpy()
    pieces = min(pieces, rows_ND.shape[1])
    ends_S = np.cumsum([len(part) for part in np.array_split(np.arange(rows_ND.shape[1]), pieces)])
    centres_KD = np.zeros((min(CENTRES, len(rows_ND) - 1), rows_ND.shape[1]), dtype=np.float32)
    codes_NS = np.zeros((len(rows_ND), pieces), dtype=np.uint8)
    for number, (begin, end) in enumerate(zip([0, *ends_S[:-1]], ends_S, strict=True)):
        piece_Nd = np.ascontiguousarray(rows_ND[:, begin:end])
        clusters = KMeans(len(centres_KD), n_init=1, random_state=seed).fit(piece_Nd[1:])
        centres_KD[:, begin:end] = clusters.cluster_centers_
        codes_NS[:, number] = clusters.predict(piece_Nd)
    parts = {"codes": codes_NS, "centres": centres_KD, "ends": ends_S.astype(np.int32)}
    return Form("product", {name: torch.from_numpy(part) for name, part in parts.items()})


def item_pq(model: nn.Module, pieces: int, context: Context) -> nn.Module:
    """Store item vectors as codes of one byte per piece, and a codebook; return the model.

    Args:
        model: the model, changed in place.
        pieces: bytes per item.
        context: gets the bytes of codes and codebook, and the ratio for these items and for a million of them.
    """
    table_ND = store_items(model).table
    form = product_codes(table_ND, pieces, context.seed)
    items, width = table_ND.shape
    codes = form.parts["codes"].numel()
    book = form.parts["centres"].numel() * _FLOAT_BYTES
    # The codebook is the same for any number of items.
    whole_book = CENTRES * width * _FLOAT_BYTES
    context.notes["item-pq"] = {
        "bytes_per_item": form.parts["codes"].shape[1],
        "codes_bytes": codes,
        "codebook_bytes": book,
        "ratio_of_codes": items * width * _FLOAT_BYTES / codes,
        "ratio": items * width * _FLOAT_BYTES / (codes + book),
        "ratio_of_a_million_items": width * _FLOAT_BYTES / (codes / items + whole_book / MILLION),
    }
    return use_form(model, form, context)


ITEM_PQ = Method(
    "item-pq",
    ITEM_BITS,
    item_pq,
    strength="bytes per item",
    stored="a byte per piece of an item vector, and a codebook of 256 centres",
    bounds=(1, 1024),
    is_whole=True,
    artefact=CACHED_ITEMS,
    falls=True,
)

"""Small text models without data files, for the methods of compression."""

import torch

from recbole_mpo.data.catalogue import Catalogue
from recbole_mpo.quick_start.configure import make_config
from recbole_mpo.text.index_files import PAD

ITEMS, FEATURES = 60, 24
SIZES = {"hidden_size": 20, "inner_size": 16, "n_exps": 4, "n_heads": 2}


def tiny_model(seed: int = 0, **settings):
    """Return a UniSRec with drawn weights and features, in evaluation mode; item 5 has no text."""
    overrides = {"text_encoder": "tfidf-svd", "use_gpu": False, "show_progress": False, **SIZES, **settings}
    spec, config = make_config("UniSRec", "tiny", overrides=overrides)
    tokens = [PAD, *(f"i{number}" for number in range(1, ITEMS))]
    torch.manual_seed(seed)
    model = spec.build(config, Catalogue(tokens, FEATURES, "hash"))
    if not model.uses_text:
        return model.eval()
    features = torch.randn(ITEMS, FEATURES) @ torch.diag(torch.linspace(2, 0.1, FEATURES))
    features[[0, 5]] = 0
    model.item_table.features = features
    model.item_table.is_empty = ~features.any(dim=1)
    for parameter in model.parameters():
        parameter.data.add_(0.3 * torch.randn_like(parameter))
    return model.eval()


def scores_of(model, rows: int = 12):
    """Return the scores of some histories for all items but PAD."""
    draw = torch.Generator().manual_seed(1)
    item_seq = torch.randint(1, ITEMS, (rows, 7), generator=draw)
    lengths = torch.randint(1, 8, (rows,), generator=draw)
    item_seq = item_seq * (torch.arange(7) < lengths.unsqueeze(1))
    with torch.no_grad():
        vectors = model.encode_items()
        return model.score(model.encode_sequences(vectors, item_seq, lengths), vectors)[:, 1:]

"""UniSRec, fine-tuning form (Hou et al., KDD 2022), with the published code's parameter names."""

from recbole_mpo.model.base import TextSequentialRecommender


class UniSRec(TextSequentialRecommender):
    """Text features, mixture-of-experts adaptor, causal Transformer, cosine softmax: all weights dense."""

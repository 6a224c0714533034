"""Text-based sequential recommendation with matrix-product-operator layers, on RecBole."""

__version__ = "0.1.0"

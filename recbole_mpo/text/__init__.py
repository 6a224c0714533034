"""Item text to feature matrix: reading texts, encoding and caching them, aligning rows with items."""

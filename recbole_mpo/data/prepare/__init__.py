"""Raw sources to atomic files, one module per source."""

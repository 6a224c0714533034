"""Smaller models: sparse, of low rank, with truncated MPO bonds, without parts, or in fewer bits.

A checkpoint comes in. Folders of compressed models, which rank as they did when they were written, and a report of
their sizes, speeds and quality go out. It imports what its room may: everything up to quick_start, but not study.
"""

from recbole_mpo.release.compress.compress_options import Options
from recbole_mpo.release.compress.compressed_files import load_compressed, write_compressed
from recbole_mpo.release.compress.compressing import compress_checkpoint
from recbole_mpo.release.compress.methods import METHODS

__all__ = ["METHODS", "Options", "compress_checkpoint", "load_compressed", "write_compressed"]

"""An encoder that other processes can import: it takes its time, and notes who encoded what."""

import hashlib
import os
import time
from pathlib import Path

import numpy as np


class SlowEncoder:
    """Vectors of 6 from a text's hash, in whose last bits is how many texts were encoded together.

    Args:
        notes: folder for a file per call, named by the process; None to note nothing.
        seconds: how long a call takes.
        fails: whether every call fails with numbers that are not finite.
    """

    name, needs_fit = "slow", False

    def __init__(self, notes=None, seconds=0.0, fails=False):
        self.notes, self.seconds, self.fails = notes and Path(notes), seconds, fails

    def fingerprint(self):
        return {"encoder": "slow"}

    def encode(self, texts):
        time.sleep(self.seconds)
        if self.notes:
            (self.notes.parent / f"threads-{os.getpid()}").write_text(os.environ.get("OMP_NUM_THREADS", ""))
            with open(self.notes / str(os.getpid()), "a", encoding="utf-8") as file:
                file.write("".join(f"{text}\n" for text in texts))
        vectors = np.stack([self._vector(text) for text in texts]) + np.float32(1e-6 * len(texts))
        return np.full_like(vectors, np.nan) if self.fails else vectors

    @staticmethod
    def _vector(text):
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
        return np.random.default_rng(seed).standard_normal(6).astype(np.float32)

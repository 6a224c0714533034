"""Items that come after the training: their texts become vectors and rows of words, with what the run fitted.

Shapes: C candidates (row 0 is PAD), M new texts, R terms, D hidden, F feature.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from recbole_mpo.common.errors import DataError, FeatureError
from recbole_mpo.common.values import shown
from recbole_mpo.data.pair_tables import product_rows
from recbole_mpo.data.shared_words import FittedWords, with_more_vectors
from recbole_mpo.layers.mpo.convert import merged
from recbole_mpo.layers.pair_evidence import ItemEvidence, PairTables
from recbole_mpo.release.candidate_scores import text_vectors
from recbole_mpo.text import item_features
from recbole_mpo.text.encoding import Encoded
from recbole_mpo.text.fitted_text import FittedText
from recbole_mpo.text.item_text import is_missing


@dataclass(frozen=True)
class NewText:
    """An item of a history that is not a candidate: its text says what it is.

    Attributes:
        text: text of the item, as the dataset's ``.text`` file would have it.
    """

    text: str


class NewTextEncoder:
    """Encodes texts with the encoders of a run, and with what was fitted to the texts that the run began with.

    Nothing is loaded before the first text. Threads may share it: one encodes at a time.

    Args:
        model: the run's model.
        config: settings of the run.
        fitted: what the run fitted to item texts; None if its features do not come from an encoder.
        fingerprints: what must be true of the encoders, as ``fingerprint`` gives it; None to check nothing.
        encoders: encoders to use instead of those that the settings name.
    """

    def __init__(self, model, config, fitted: FittedText | None, fingerprints=None, encoders: Sequence | None = None):
        self.model, self.config, self.fitted = model, config, fitted
        self.fingerprints, self._given = fingerprints, encoders
        self._lock = threading.Lock()

    @cached_property
    def _encoders(self) -> Sequence:
        encoders = self._given or item_features.encoders_of(self.config)
        known_ones = self.fingerprints or [None] * len(encoders)
        if len(known_ones) != len(encoders):
            raise FeatureError(f"the model was trained with {len(known_ones)} encoders, but there are {len(encoders)}")
        for encoder, known in zip(encoders, known_ones, strict=True):
            # What is fitted is stored with the model, and needs no other file.
            if known is not None and not encoder.needs_fit and known != encoder.fingerprint():
                raise FeatureError(
                    f"text encoder {encoder.name} is not the one that the model was trained with: its files differ; "
                    "give the same checkpoint"
                )
        return encoders

    @torch.no_grad()
    def vectors(self, texts: Sequence[str]) -> Tensor:
        """Return the vectors [M, D] of texts, the rows of ``encode_items`` that items with these texts would have.

        Raises:
            DataError: a text has no letter or digit.
            DependencyError: a package of the encoder is missing; the message names the extra.
            FeatureError: there is no encoder, or another than that of the run.
        """
        empty = [text for text in texts if is_missing(text)]
        if empty:
            raise DataError(f"the text {shown(empty[0])} has no letter or digit, so there is nothing to encode")
        with self._lock, merged(self.model):
            features = torch.from_numpy(self._features(list(dict.fromkeys(texts)))).to(self.model.device)
            vectors = text_vectors(self.model, features)
        # Equal texts get equal vectors, so that they tie.
        row_of = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        return vectors.index_select(0, torch.tensor([row_of[text] for text in texts], device=vectors.device))

    def _features(self, texts: list[str]) -> np.ndarray:
        if self.fitted is None:
            raise FeatureError(
                "this model reads features of a file, not of an encoder, so new texts cannot be encoded; train with "
                "text_encoder instead of feature_file"
            )
        encoded = []
        if len(self._encoders) != len(self.fitted.blocks):
            raise FeatureError(f"{len(self.fitted.blocks)} encoders were fitted, but there are {len(self._encoders)}")
        for encoder, block in zip(self._encoders, self.fitted.blocks, strict=True):
            rows = encoder.encode(texts, block.encoder) if encoder.needs_fit else encoder.encode(texts)
            encoded.append(Encoded(np.array(rows, dtype=np.float32), {}))
        features = self.fitted.apply(encoded)
        if features.shape != (len(texts), self.model.feature_size) or not np.isfinite(features).all():
            raise FeatureError(
                f"the text encoder gives {features.shape[1]} numbers per text, the model reads "
                f"{self.model.feature_size}, all finite; use the encoder of its run"
            )
        return features


@dataclass(frozen=True)
class KnownWords:
    """The words of all candidates, by which new texts find those that share some.

    Attributes:
        fitted: what the run fitted to the words of texts.
        texts: [C] texts of the candidates; "" for PAD.
        most: number of entries per new text.
    """

    fitted: FittedWords
    texts: list[str]
    most: int

    @cached_property
    def vectors(self) -> sparse.csr_matrix:
        """Vectors [C, R] of the candidates' words."""
        return self.fitted.vectors(self.texts)

    @cached_property
    def _by_term(self) -> sparse.csr_matrix:
        return self.vectors.T.tocsr()

    def reading(self, evidence: ItemEvidence, texts: Sequence[str]) -> ItemEvidence:
        """Return evidence that knows the words of M texts as items C and above, which are not scored themselves."""
        rows = product_rows(self.fitted.vectors(texts), self._by_term, self.most).astype(np.float32)
        words, new = evidence.kinds["words"], PairTables.of([rows])
        starts = torch.cat([words.starts[0], words.starts[0, -1] + new.starts[0, 1:].to(words.starts)])
        columns = torch.cat([words.columns, new.columns.to(words.columns)])
        values = torch.cat([words.values, new.values.to(words.values)])
        return evidence.reading({"words": PairTables(starts.unsqueeze(0), columns, values)})

    def with_more(self, evidence: ItemEvidence, texts: Sequence[str]) -> tuple["KnownWords", ItemEvidence]:
        """Return the words of more candidates, and evidence that knows and scores them."""
        words, count = evidence.kinds["words"], len(self.texts)
        parts = (part.cpu().numpy() for part in (words.values, words.columns, words.starts[0]))
        table, more = sparse.csr_matrix(tuple(parts), shape=(count, count)), self.fitted.vectors(texts)
        tables = PairTables.of([with_more_vectors(table, self.vectors, more, self.most).astype(np.float32)])
        both = KnownWords(self.fitted, [*self.texts, *texts], self.most)
        both.__dict__["vectors"] = sparse.vstack([self.vectors, more], format="csr")
        on_device = (tables.starts.to(words.starts), tables.columns.to(words.columns), tables.values.to(words.values))
        return both, evidence.reading({"words": PairTables(*on_device)})


def words_of(model, evidence: ItemEvidence | None, texts: list[str], most: int) -> KnownWords | None:
    """Return the words of candidates; None if the evidence has none.

    Args:
        model: the model, which says what was fitted to words.
        evidence: its evidence.
        texts: [C] texts of the candidates.
        most: number of entries per text.
    """
    if evidence is None or "words" not in evidence.kinds:
        return None
    arrays = {name: part.numpy() for name, part in model.fitted_words.items()}
    return KnownWords(FittedWords.of(arrays), texts, most)


def check_new(items: Mapping[str, str], known: Mapping[str, int]):
    """Refuse new items whose tokens are unusable or known.

    Raises:
        DataError: a token is known, empty, or no text; the message names it.
    """
    repeated = [token for token in items if token in known]
    if repeated:
        raise DataError(f"{', '.join(map(shown, repeated[:5]))}{', …' if len(repeated) > 5 else ''}: known already")
    wrong = [token for token in items if not isinstance(token, str) or not token or token == "[PAD]"]
    if wrong:
        raise DataError(f"{shown(wrong[0])} cannot be the token of an item")
    empty = [token for token, text in items.items() if not isinstance(text, str) or is_missing(text)]
    if empty:
        raise DataError(f"the text of item {shown(empty[0])} has no letter or digit; give it a text")


def no_new_texts(model) -> DataError:
    """Return the error that says why a model takes no new texts."""
    if model.stores_items:
        return DataError(
            "a compressed model has item vectors, and not what computes those of new texts: use a folder of export"
        )
    return DataError(
        f"{type(model).__name__} scores items by ids, which new texts have not: only models with "
        "item_input=text, or text+id with id_side=output, take them"
    )

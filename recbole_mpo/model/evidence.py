"""Evidence for a model, from the training part of its dataset.

Shapes: N items (0 is PAD), B rows, L length.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from scipy import sparse

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.common.values import as_list
from recbole_mpo.data.pair_tables import largest_entries, two_steps
from recbole_mpo.data.shared_words import FittedWords, SharedWords, read_or_share_words, with_others
from recbole_mpo.data.training_counts import counts_hash, training_pairs
from recbole_mpo.layers.pair_evidence import ItemEvidence, PairEvidence, PairTables

# Weight of each kind and, where it saturates, its factor f in log(1 + f s): those of CountText, where learning starts.
START = {"covisit": (1.0, 1.0), "words": (2.0, None), "two_hop": (0.5, 50.0)}
LABELS = {"covisit": "co-visits", "words": "words", "two_hop": "two hops"}


@dataclass(frozen=True)
class Evidence:
    """Evidence for a model.

    Attributes:
        module: the layer that adds to logits.
        hash: hash of what its tables were made from; None if the features' hash says it all.
        words: what the words of texts were fitted to; None without words.
        edited: items whose text is not the one that words were fitted to.
    """

    module: ItemEvidence
    hash: str | None
    words: FittedWords | None = None
    edited: Sequence[int] = ()

    def join(self, model):
        """Give a model the layer, and what its checkpoints say of the tables."""
        model.evidence, model.counts_hash = self.module, self.hash
        if self.words is not None:
            model.fitted_words = {name: torch.tensor(array) for name, array in self.words.arrays().items()}
            model.edited_items = self.edited


def evidence_labels(config) -> list[str]:
    """Return what the name of a run in tables says of its evidence."""
    kinds = as_list(config["evidence"])
    shown = ["evidence"] if len(kinds) == len(LABELS) else [LABELS[kind] for kind in kinds]
    return [*shown[:-1], f"{shown[-1]}, late"] if kinds and config["evidence_fit"] == "late" else shown


def make_evidence(config, dataset) -> Evidence | None:
    """Return the evidence that the setting ``evidence`` names, made from the training part of a dataset.

    Raises:
        ConfigError: a kind occurs twice; rows are RecBole's padded ones, which do not say where a history goes on; a
            recent weight is zero; or what is fitted late is frozen.
        FeatureError: what an earlier run fitted to words is unusable.
    """
    names, is_late = as_list(config["evidence"]), config["evidence_fit"] == "late"
    if not names:
        return None
    if config["train_mode"] != "packed":
        raise ConfigError("evidence is counted in whole histories: leave train_mode=packed")
    if is_late and "evidence" in as_list(config["freeze"]):
        raise ConfigError("evidence_fit=late fits the evidence, which freeze names; leave one of them out")
    return evidence_of(names, config, dataset, None if is_late else config["evidence_folds"])


def evidence_of(names: list[str], config, dataset, folds: int | None) -> Evidence:
    """Return evidence from training histories.

    Args:
        names: the kinds.
        config: settings of the run.
        dataset: training part, with flat histories.
        folds: parts of the users, each of which sees the counts of the others in training; None if it is fitted late,
            on the last target of each user.

    Raises:
        ConfigError: a kind occurs twice, or a recent weight is zero.
        FeatureError: what an earlier run fitted to words is unusable.
    """
    _check(names, config)
    tables, hashes, words, edited, training = {}, [], None, (), None
    counted = [name for name in names if name != "words"]
    if counted:
        window, most = config["evidence_window"], config["evidence_entries"]
        counts = training_pairs(dataset, window).neighbours(dataset.num(dataset.iid_field))
        hashes.append(counts_hash(counts))
        tables = {name: [table] for name, table in _tables_of(counts, counted, most)}
        training = partial(_training_tables, counted, dataset, window, most, folds)
    if "words" in names:
        texts = dataset.item_texts()
        shared = _shared_words(texts, config, dataset.fitted_words)
        words, tables["words"] = shared.fitted, [shared.table]
        edited = np.flatnonzero(words.edited(texts)).tolist()
        # The hash of features made from the same texts says when these have changed.
        if "text" not in (config["item_input"] or "id") or config["feature_file"]:
            hashes.append(words.text_hash)
    module = ItemEvidence(
        {name: _of(name, tables[name], config) for name in names},
        len(config["recent_weights"]),
        strength=config["evidence_strength"],
        trains_jointly=folds is not None,
        training=training,
    )
    return Evidence(module, " ".join(hashes) or None, words, edited)


def _shared_words(texts: list[str], config, stored: dict[str, torch.Tensor] | None) -> SharedWords:
    """Return what the words of texts share, with what an earlier run stored of its fit."""
    fitted = None if stored is None else FittedWords.of({name: part.numpy() for name, part in stored.items()})
    if fitted is not None and len(fitted.digests) != len(texts):
        fitted = None  # a checkpoint of other items, which is refused when its weights are loaded
    return read_or_share_words(Path(config["cache_dir"]) / config["dataset"], texts, config["evidence_entries"], fitted)


def _check(names: list[str], config):
    """Refuse settings that evidence cannot work with."""
    if len(set(names)) < len(names):
        raise ConfigError(f"evidence names a kind twice: {', '.join(names)}")
    if min(config["recent_weights"]) <= 0:
        raise ConfigError("with evidence each of recent_weights must be above 0, as it is learned and stays positive")


def _training_tables(names: list[str], dataset, window: int, most: int, folds: int | None) -> dict[str, PairTables]:
    """Return the tables that training rows read, so that none finds itself."""
    tables: dict[str, list[sparse.csr_matrix]] = {name: [] for name in names}
    for counts in _training_counts(dataset, window, folds):
        for name, table in _tables_of(counts, names, most):
            tables[name].append(table)
    return {name: PairTables.of(matrices) for name, matrices in tables.items()}


def _training_counts(dataset, window: int, folds: int | None) -> Iterator[sparse.csr_matrix]:
    """Yield the counts of neighbours that training rows see.

    Rows of a fold of users see the counts of the other folds. Without folds, only the last target of each user is
    predicted, and nothing that happened then is seen.
    """
    item_num = dataset.num(dataset.iid_field)
    if folds is None:
        yield training_pairs(dataset, window, without_last=True).neighbours(item_num)
        return
    pairs = training_pairs(dataset, window)
    counts = pairs.neighbours(item_num)
    for fold in range(folds):
        # Exact: counts are sums of powers of two.
        others = counts - pairs[pairs.users % folds == fold].neighbours(item_num)
        others.eliminate_zeros()
        yield others


def _tables_of(counts: sparse.csr_matrix, names: list[str], most: int) -> Iterator[tuple[str, sparse.csr_matrix]]:
    """Yield the table of each kind of evidence that comes from counts."""
    make = {"covisit": largest_entries, "two_hop": two_steps}
    for name in names:
        yield name, make[name](counts, most)


def _of(name: str, matrices: list[sparse.csr_matrix], config) -> PairEvidence:
    weight, factor = START[name]
    return PairEvidence(PairTables.of(matrices), weight, config["recent_weights"], factor)


def know_words_of(others: list[str], model, dataset, config):
    """Extend a model's evidence of words to items that only have text; the table of the candidates stays as it is.

    Args:
        others: their texts; their rows come after those of the dataset's items.
        model: the model; nothing is done if it has no evidence of words.
        dataset: the dataset of its run.
        config: settings of its run.
    """
    if not others or model.evidence is None or "words" not in model.evidence.kinds:
        return
    words = model.evidence.kinds["words"]
    parts = (part.cpu().numpy() for part in (words.values, words.columns, words.starts[0]))
    texts, fitted = dataset.item_texts(), {name: part.numpy() for name, part in model.fitted_words.items()}
    table = sparse.csr_matrix(tuple(parts), shape=(len(texts), len(texts)))
    extended = with_others(table, texts, others, config["evidence_entries"], FittedWords.of(fitted))
    words.use(PairTables.of([extended]))
    words.to(config["device"])

"""Evidence for a model, from the training part of its dataset.

Shapes: N items (0 is PAD), B rows, L length.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import sparse

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.common.values import as_list
from recbole_mpo.data.pair_tables import largest_entries, similar_vectors, two_steps
from recbole_mpo.data.training_counts import Pairs, counts_hash, training_pairs
from recbole_mpo.layers.pair_evidence import ItemEvidence, PairEvidence, PairTables
from recbole_mpo.text.words import WordVectors, rare_terms

# Weight of each kind and, where it saturates, its factor f in log(1 + f s): those of CountText, where learning starts.
START = {"covisit": (1.0, 1.0), "words": (2.0, None), "two_hop": (0.5, 50.0)}
# Multiplications of word vectors, about two minutes; a large catalogue leaves its most frequent words out.
MOST_PRODUCTS = 1_000_000_000


@dataclass(frozen=True)
class Evidence:
    """Evidence for a model.

    Attributes:
        module: the layer that adds to logits.
        hash: hash of what its tables were made from.
    """

    module: ItemEvidence
    hash: str


def make_evidence(config, dataset) -> Evidence | None:
    """Return the evidence that the setting ``evidence`` names, made from the training part of a dataset.

    Raises:
        ConfigError: a kind occurs twice, or rows are RecBole's padded ones, which do not say where a history goes on.
    """
    names = as_list(config["evidence"])
    if not names:
        return None
    if config["train_mode"] != "packed":
        raise ConfigError("evidence is counted in whole histories: leave train_mode=packed")
    if len(set(names)) < len(names):
        raise ConfigError(f"evidence names a kind twice: {', '.join(names)}")
    item_num, most = dataset.num(dataset.iid_field), config["evidence_entries"]
    pairs = training_pairs(dataset, config["evidence_window"])
    neighbours = [one.neighbours(item_num) for one in (pairs, *_seen_in_training(pairs, config, dataset))]
    kinds, texts = {}, dataset.item_texts() if "words" in names else None
    if "covisit" in names:
        kinds["covisit"] = [largest_entries(counts, most) for counts in neighbours]
    if "words" in names:
        kinds["words"] = [shared_words(texts, most)]
    if "two_hop" in names:
        kinds["two_hop"] = [two_steps(counts, most) for counts in neighbours]
    module = ItemEvidence(
        {name: _of(name, kinds[name], config) for name in names},
        len(config["recent_weights"]),
        strength=config["evidence_strength"],
        is_fitted=config["evidence_fit"] == "joint",
    )
    # The hash of features made from the same texts says when these have changed.
    is_known_by_features = "text" in config["item_input"] and not config["feature_file"]
    return Evidence(module, evidence_hash(pairs, item_num, None if is_known_by_features else texts))


def _seen_in_training(pairs: Pairs, config, dataset) -> list[Pairs]:
    """Return the pairs that training rows may see, so that none finds itself in a table.

    Fitted jointly, rows of a fold of users see the other folds. Fitted late, only the last target of each user is
    predicted, and nothing that happened then is seen.
    """
    if config["evidence_fit"] == "late":
        return [training_pairs(dataset, config["evidence_window"], without_last=True)]
    folds = config["evidence_folds"]
    return [pairs[pairs.users % folds != fold] for fold in range(folds)]


def _of(name: str, matrices: list[sparse.csr_matrix], config) -> PairEvidence:
    weight, factor = START[name]
    return PairEvidence(PairTables.of(matrices), weight, config["recent_weights"], factor)


def shared_words(texts: list[str], most: int, others: Sequence[str] = ()) -> sparse.csr_matrix:
    """Return the largest cosines of the words of texts, [N, N]; a text with itself counts 0.

    Args:
        texts: texts of the candidates, which alone decide vocabulary and frequencies.
        most: number of cosines to keep per text.
        others: texts of items without interactions; with them, N counts these too.
    """
    return similar_vectors(rare_terms(WordVectors(texts).of([*texts, *others]), MOST_PRODUCTS), most)


def know_words_of(others: list[str], evidence: ItemEvidence | None, dataset, config):
    """Extend the evidence of words to items that only have text.

    Args:
        others: their texts; their rows come after those of the dataset's items.
        evidence: the evidence of a model; nothing is done if there is none, or none of words.
        dataset: the dataset of its run.
        config: settings of its run.
    """
    if others and evidence is not None and "words" in evidence.kinds:
        words = evidence.kinds["words"]
        words.use(PairTables.of([shared_words(dataset.item_texts(), config["evidence_entries"], others)]))
        words.to(config["device"])


def evidence_hash(pairs: Pairs, item_num: int, texts: list[str] | None) -> str:
    """Return a hash of counts and texts, from which the tables follow."""
    counts = counts_hash(pairs.neighbours(item_num))
    return counts if texts is None else hashlib.sha256("\n".join([counts, *texts]).encode()).hexdigest()

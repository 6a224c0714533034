"""Evidence for a model, from the training part of its dataset.

Shapes: N items (0 is PAD), B rows, L length.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scipy import sparse

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.common.values import as_list
from recbole_mpo.data.catalogue import hash_items
from recbole_mpo.data.pair_tables import largest_entries, product_rows, similar_vectors, two_steps
from recbole_mpo.data.training_counts import counts_hash, training_pairs
from recbole_mpo.layers.pair_evidence import ItemEvidence, PairEvidence, PairTables
from recbole_mpo.text.words import WordVectors, rare_terms

# Weight of each kind and, where it saturates, its factor f in log(1 + f s): those of CountText, where learning starts.
START = {"covisit": (1.0, 1.0), "words": (2.0, None), "two_hop": (0.5, 50.0)}
LABELS = {"covisit": "co-visits", "words": "words", "two_hop": "two hops"}
# Multiplications of word vectors, about two minutes; a large catalogue leaves its most frequent words out.
MOST_PRODUCTS = 1_000_000_000


@dataclass(frozen=True)
class Evidence:
    """Evidence for a model.

    Attributes:
        module: the layer that adds to logits.
        hash: hash of what its tables were made from; None if the features' hash says it all.
    """

    module: ItemEvidence
    hash: str | None


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
    """
    names, is_late = as_list(config["evidence"]), config["evidence_fit"] == "late"
    if not names:
        return None
    _check(names, is_late, config)
    item_num, most = dataset.num(dataset.iid_field), config["evidence_entries"]
    kinds, hashes, texts = {name: [] for name in names}, [], None
    if "words" in names:
        texts = dataset.item_texts()
        kinds["words"].append(shared_words(texts, most))
    if {"covisit", "two_hop"} & {*names}:
        for counts in _tables_of_counts(config, dataset, item_num):
            if not hashes:
                hashes.append(counts_hash(counts))
            if "covisit" in names:
                kinds["covisit"].append(largest_entries(counts, most))
            if "two_hop" in names:
                kinds["two_hop"].append(two_steps(counts, most))
    module = ItemEvidence(
        {name: _of(name, kinds[name], config) for name in names},
        len(config["recent_weights"]),
        strength=config["evidence_strength"],
        trains_jointly=not is_late,
    )
    # The hash of features made from the same texts says when these have changed.
    if texts is not None and ("text" not in config["item_input"] or config["feature_file"]):
        hashes.append(hash_items(texts))
    return Evidence(module, " ".join(hashes) or None)


def _check(names: list[str], is_late: bool, config):
    """Refuse settings that evidence cannot work with."""
    if config["train_mode"] != "packed":
        raise ConfigError("evidence is counted in whole histories: leave train_mode=packed")
    if len(set(names)) < len(names):
        raise ConfigError(f"evidence names a kind twice: {', '.join(names)}")
    if min(config["recent_weights"]) <= 0:
        raise ConfigError("with evidence each of recent_weights must be above 0, as it is learned and stays positive")
    if is_late and "evidence" in as_list(config["freeze"]):
        raise ConfigError("evidence_fit=late fits the evidence, which freeze names; leave one of them out")


def _tables_of_counts(config, dataset, item_num: int) -> Iterator[sparse.csr_matrix]:
    """Yield counts of neighbours: for evaluation, and those that training rows see, so that none finds itself.

    Fitted jointly, rows of a fold of users see the counts of the other folds. Fitted late, only the last target of each
    user is predicted, and nothing that happened then is seen.
    """
    pairs = training_pairs(dataset, config["evidence_window"])
    counts = pairs.neighbours(item_num)
    yield counts
    if config["evidence_fit"] == "late":
        yield training_pairs(dataset, config["evidence_window"], without_last=True).neighbours(item_num)
        return
    for fold in range(config["evidence_folds"]):
        # Exact: counts are sums of powers of two.
        others = counts - pairs[pairs.users % config["evidence_folds"] == fold].neighbours(item_num)
        others.eliminate_zeros()
        yield others


def _of(name: str, matrices: list[sparse.csr_matrix], config) -> PairEvidence:
    weight, factor = START[name]
    return PairEvidence(PairTables.of(matrices), weight, config["recent_weights"], factor)


def shared_words(texts: list[str], most: int, others: Sequence[str] = ()) -> sparse.csr_matrix:
    """Return the largest cosines of the words of texts, [N, N]; a text with itself counts 0.

    Args:
        texts: texts of the candidates, which alone decide the vocabulary, frequencies, and what they share.
        most: number of cosines to keep per text.
        others: texts of items without interactions. N counts these too, and a candidate keeps so many cosines to them
            beside those to candidates.
    """
    words = WordVectors(texts)
    own = words.of(texts)
    terms = rare_terms(own, MOST_PRODUCTS)
    own, more = own[:, terms], words.of(others)[:, terms] if others else None
    among_own = similar_vectors(own, most)
    if more is None:
        return among_own
    of_others = product_rows(more, sparse.vstack([own, more]).T.tocsr(), most, itself=len(texts))
    of_own = sparse.hstack([among_own, product_rows(own, more.T.tocsr(), most)])
    return sparse.vstack([of_own, of_others], format="csr")


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

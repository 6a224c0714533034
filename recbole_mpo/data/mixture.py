"""Several prepared datasets as the training data of one model, without writing a joined dataset.

All items are numbered one after another, domain after domain, and so are the histories. Most users are trained on with
all their interactions; a few of each domain are held out, and their last item is predicted for validation.

Shapes: N items of all domains (row 0 is PAD), I interactions, R rows, F feature.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from recbole.data.interaction import Interaction

from recbole_mpo.common.errors import DataError
from recbole_mpo.data.catalogue import hash_items
from recbole_mpo.data.domain_ids import joined_id
from recbole_mpo.data.fitted_tensors import FittedTensors, as_tensors, of_tensors
from recbole_mpo.data.histories import Histories
from recbole_mpo.data.sequences import Rows, gather_padded, rows_of_groups
from recbole_mpo.text.alignment import AlignmentReport
from recbole_mpo.text.feature_files import feature_hash, feature_sketch
from recbole_mpo.text.fitted_text import FittedText
from recbole_mpo.text.index_files import PAD

# Which users are held out does not depend on the seed of a run, so that runs can be compared.
HELD_OUT_SEED = 0


@dataclass(frozen=True)
class HeldOut:
    """The validation rows of one domain; items are ranked among those of the domain.

    Attributes:
        name: name of the domain.
        begin: number of its first item.
        item_num: number of its items, with PAD.
        histories: [R, L] items by number in the domain, left-aligned and padded with 0.
        lengths: [R] lengths of the histories.
        targets: [R] the item to predict, by number in the domain.
    """

    name: str
    begin: int
    item_num: int
    histories: torch.Tensor
    lengths: torch.Tensor
    targets: torch.Tensor

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def items(self) -> torch.Tensor:
        """Return the numbers of the domain's items in the mixture, PAD first."""
        return torch.cat((torch.zeros(1, dtype=torch.int64), torch.arange(self.begin, self.begin + self.item_num - 1)))


class HeldOutUsers:
    """The validation rows of all domains; it is used where other runs have RecBole's evaluation loader.

    Args:
        domains: the rows of each domain.
    """

    def __init__(self, domains: Sequence[HeldOut]):
        self.domains = list(domains)
        # RecBole's loaders have their rows under this name, and its length says whether there are any.
        self._dataset = self

    def __len__(self) -> int:
        return sum(map(len, self.domains))

    def __iter__(self):
        return iter(self.domains)


@dataclass(frozen=True)
class MixedFeatures:
    """The text features of all domains.

    Attributes:
        table: features [N, F] of the items of all domains, one after another, under one PAD row.
        fitted: what was fitted to the item texts, by domain.
        source: name of the encoder.
        reports: how many items of each domain have text.
    """

    table: np.ndarray
    fitted: dict[str, FittedText]
    source: str
    reports: list[AlignmentReport]

    def summary(self) -> dict:
        """Return source, size and coverage for the record; the hash is that of the mixture."""
        counts = [vars(report) for report in self.reports]
        totals = {name: sum(one[name] or 0 for one in counts) for name in counts[0]}
        return {"source": self.source, "dimension": int(self.table.shape[1]), **totals}


class Mixture:
    """The training part of several domains, with the attributes of a dataset that models and loaders read.

    Args:
        names: names of the domains.
        histories: interactions of each domain.
        load_features: function that returns the text features, called on first use; its argument is what was fitted to
            item texts earlier, by domain, or nothing.
        max_length: how many of the newest items of a history a model sees.
        held_out: how many users of each domain are held out, at most a tenth of them, but one if there are two.
        iid_field, uid_field: names of the fields.

    Raises:
        DataError: no domain is given, or no user has two interactions.
    """

    def __init__(
        self,
        names: Sequence[str],
        histories: Sequence[Histories],
        load_features: Callable[[dict[str, FittedText]], MixedFeatures],
        max_length: int,
        held_out: int,
        iid_field: str = "item_id",
        uid_field: str = "user_id",
    ):
        if not names:
            raise DataError("a mixture needs at least one domain")
        self.names, self.iid_field, self.uid_field = list(names), iid_field, uid_field
        self._load_features, self._fitted = load_features, {}
        counts = [len(one.item_tokens) for one in histories]
        begins = 1 + np.cumsum(counts) - counts
        self.field2id_token = {
            iid_field: _tokens([one.item_tokens for one in histories]),
            uid_field: _tokens([one.user_tokens for one in histories]),
        }
        self.flat_items = np.concatenate(
            [one.items + begin for one, begin in zip(histories, begins, strict=True)]
        ).astype(np.int64)
        self._rows, domains = self._split(histories, begins, max_length, held_out)
        self.held_out = HeldOutUsers(domains)
        targets = torch.from_numpy(self.flat_items[self._rows.ends])
        self.inter_feat = Interaction({iid_field: targets, uid_field: torch.from_numpy(self._rows.users)})

    def _split(self, histories, begins, max_length: int, held_out: int) -> tuple[Rows, list[HeldOut]]:
        """Return the rows of training, and the validation rows of each domain."""
        trained, validated = [], []
        first_user, first_place = 1, 0
        for name, one, begin in zip(self.names, histories, begins.tolist(), strict=True):
            ends, lengths = rows_of_groups(one.users, max_length)
            chosen = _chosen_users(one, held_out)
            is_held_out = np.isin(one.users[ends], chosen)
            place = ends[~is_held_out] + first_place
            trained.append((one.users[ends][~is_held_out] + first_user, place, lengths[~is_held_out]))
            rows = _last_rows(one.users[ends], is_held_out)
            validated.append(_held_out(name, begin, one, ends[rows], lengths[rows]))
            first_user += len(one.user_tokens)
            first_place += len(one.items)
        rows = Rows(*(np.concatenate(parts) for parts in zip(*trained, strict=True)))
        if not len(rows):
            raise DataError(f"no user of {', '.join(self.names)} has two interactions, so there is nothing to train on")
        return rows, validated

    @property
    def item_num(self) -> int:
        """Return N, the number of items with PAD."""
        return len(self.field2id_token[self.iid_field])

    def num(self, field: str) -> int:
        """Return how many values a field has, PAD included."""
        return len(self.field2id_token[field])

    @property
    def item_hash(self) -> str:
        """Return the hash of the items and their numbering."""
        return hash_items(self.field2id_token[self.iid_field])

    @cached_property
    def features(self) -> MixedFeatures:
        """The text features of all domains; they are encoded or read on first use."""
        return self._load_features(self._fitted)

    def target_counts(self) -> torch.Tensor:
        """Count how often each item is a target of training, int64 [N]."""
        return torch.bincount(self.inter_feat[self.iid_field], minlength=self.item_num)

    def item_features(self) -> torch.Tensor:
        """Return the feature table [N, F]."""
        return torch.from_numpy(self.features.table)

    @cached_property
    def feature_hash(self) -> str:
        """The hash of the feature table, which checkpoints store."""
        return feature_hash(self.features.table)

    @property
    def feature_sketch(self) -> torch.Tensor:
        """Return two numbers per item [N, 2], which checkpoints store to tell rounding from other features."""
        return torch.from_numpy(feature_sketch(self.features.table))

    @property
    def fitted_text(self) -> FittedTensors:
        """Return what was fitted to item texts by name of the domain, which checkpoints store."""
        return as_tensors(self.features.fitted)

    def use_fitted_text(self, stored: FittedTensors):
        """Make features with what was fitted in an earlier run, the ``fitted_text`` of its checkpoint.

        Raises:
            FeatureError: it is not what a run fits.
        """
        self._fitted.update(of_tensors(stored))

    def rows(self) -> Rows:
        """Return the training rows as views into ``flat_items``."""
        return self._rows

    def __len__(self) -> int:
        return len(self._rows)


def _tokens(tokens: Sequence[np.ndarray]) -> np.ndarray:
    """Return PAD and the tokens of all domains, each with the number of its domain."""
    return np.array([PAD, *(joined_id(number, token) for number, one in enumerate(tokens) for token in one)])


def _chosen_users(histories: Histories, count: int) -> np.ndarray:
    """Return the users to hold out, of those with at least two interactions."""
    users = np.flatnonzero(histories.lengths >= 2)
    # Where there are few, one of them.
    most = len(users) // 10 or int(len(users) > 1)
    return np.random.default_rng(HELD_OUT_SEED).permutation(users)[: min(count, most)]


def _last_rows(users_R: np.ndarray, is_held_out_R: np.ndarray) -> np.ndarray:
    """Return the number of the last row of each user that is held out."""
    is_last = np.append(users_R[1:] != users_R[:-1], True)
    return np.flatnonzero(is_last & is_held_out_R)


def _held_out(name: str, begin: int, histories: Histories, ends: np.ndarray, lengths: np.ndarray) -> HeldOut:
    items = histories.items + 1
    padded = gather_padded(items, ends - lengths, lengths).astype(np.int64)
    arrays = (padded, lengths.astype(np.int64), items[ends].astype(np.int64))
    return HeldOut(name, begin, len(histories.item_tokens) + 1, *map(torch.from_numpy, arrays))

"""A sharded dataset as models and loaders take it: its items, its splits, and its training part, which is itself.

RecBole's table of interactions is never built, and tokens of users are not held: a user is a number.

Shapes: N items by internal id (row 0 is PAD), U users of a part.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from recbole_mpo.common.errors import DataError
from recbole_mpo.data.catalogue import hash_items
from recbole_mpo.data.featured import FeaturedMixin
from recbole_mpo.data.sequences import Rows, Windows
from recbole_mpo.data.shard_arrays import open_arrays
from recbole_mpo.data.shard_facts import ShardFacts, read_or_count
from recbole_mpo.data.shard_manifest import Manifest
from recbole_mpo.data.shard_split import evaluated_rows, training_rows, training_windows
from recbole_mpo.data.user_shares import rows_of_share, users_of_other_end
from recbole_mpo.text.mapped_features import load_or_map

logger = logging.getLogger(__name__)


class ShardedDataset(FeaturedMixin):
    """All parts of a sharded dataset, split by leave-one-out.

    Args:
        config: settings of the run.
        manifest: what the dataset consists of.

    Raises:
        DataError: a file is missing, damaged or of another dataset, or the cache cannot be written to.
        DependencyError: pyarrow is not installed.
    """

    fitted_words = None
    load_features = staticmethod(load_or_map)

    def __init__(self, config, manifest: Manifest):
        self.config, self.manifest = config, manifest
        self.dataset_name = config["dataset"]
        self.iid_field, self.uid_field = config["ITEM_ID_FIELD"], config["USER_ID_FIELD"]
        self.max_length: int = config["MAX_ITEM_LIST_LENGTH"]
        self._loaded, self._fitted = {}, {}
        self.folder = Path(config["cache_dir"]) / config["dataset"] / "shards"
        self.field2id_token = {self.iid_field: manifest.item_tokens()}
        self.parts = [open_arrays(part, manifest, self.folder) for part in manifest.parts]
        self._check_users()
        self._warn_about_single_interactions()
        shares = {key: config[key] or 1 for key in ("train_users", "eval_users")}
        self.trained, self.evaluated_users = self._chosen(**shares)
        self.facts: ShardFacts = read_or_count(self, shares)

    def _check_users(self):
        """Refuse a user in two parts, who would be evaluated twice."""
        is_seen = np.zeros(self.manifest.users + 1, dtype=bool)
        for part, arrays in zip(self.manifest.parts, self.parts, strict=True):
            again = arrays.users[is_seen[arrays.users]]
            if len(again):
                raise DataError(f"{part.path}: user {again[0] - 1:,} is in another part too: prepare the dataset again")
            is_seen[arrays.users] = True

    def _warn_about_single_interactions(self):
        single = sum(int((arrays.sizes == 1).sum()) for arrays in self.parts)
        if single:
            logger.warning(
                "%d of %d users have only one interaction, so there is nothing to predict it from; they are left out",
                single,
                self.manifest.users,
            )

    def _chosen(self, train_users: float, eval_users: float) -> tuple[list, list]:
        """Return for each part whether each user is trained on, and whether it is evaluated; None stands for all."""
        everyone = [None] * len(self.parts)
        if train_users == eval_users == 1:
            return everyone, everyone
        has_rows = np.zeros(self.manifest.users + 1, dtype=bool)
        for arrays in self.parts:
            has_rows[arrays.users] = training_rows(arrays.sizes) > 0
        users = np.flatnonzero(has_rows)
        trained = everyone if train_users == 1 else self._among(users[rows_of_share(users, train_users)])
        if eval_users == 1:
            return trained, everyone
        evaluated = users_of_other_end(users, eval_users)
        if not len(evaluated):
            raise DataError(f"eval_users={eval_users} of {self.dataset_name} is less than one user")
        return trained, self._among(evaluated)

    def _among(self, users: np.ndarray) -> list[np.ndarray]:
        """Return whether each user of each part is one of these."""
        is_chosen = np.zeros(self.manifest.users + 1, dtype=bool)
        is_chosen[users] = True
        return [is_chosen[arrays.users] for arrays in self.parts]

    @property
    def item_num(self) -> int:
        """Return N, the number of items with PAD."""
        return 1 + self.manifest.items

    def num(self, field: str) -> int:
        """Return how many values a field has, PAD included."""
        return self.item_num if field == self.iid_field else 1 + self.manifest.users

    @property
    def item_hash(self) -> str:
        """Return the hash of the items and their numbering, which checkpoints store."""
        return hash_items(self.field2id_token[self.iid_field])

    def windows(self, part: int) -> Windows:
        """Return the training windows of a part, over its items."""
        return training_windows(self.parts[part], self.max_length, self.trained[part])

    def evaluated(self, part: int, split: str) -> Rows:
        """Return the rows of ``valid`` or ``test`` of a part, as views into its items."""
        return evaluated_rows(self.parts[part], split, self.max_length, self.evaluated_users[part])

    def target_counts(self) -> torch.Tensor:
        """Count how often each item is a target of training, int64 [N]."""
        return torch.from_numpy(self.facts.target_counts.astype(np.int64))

    def target_popularity(self) -> np.ndarray:
        """Count each possible target in the training histories, int32 [N]."""
        return self.facts.popularity

    def __len__(self) -> int:
        return sum(self.training_targets())

    def training_targets(self) -> Sequence[int]:
        """Return the number of training targets of each part."""
        totals = []
        for arrays, is_chosen in zip(self.parts, self.trained, strict=True):
            counts = training_rows(arrays.sizes)
            totals.append(int(counts.sum() if is_chosen is None else counts[is_chosen].sum()))
        return totals

"""Batches of the evaluated rows of a sharded dataset, as RecBole's loader of full ranking yields them.

Shapes: B rows of a batch.
"""

from collections.abc import Iterator

import numpy as np
import torch
from recbole.data.interaction import Interaction

from recbole_mpo.data.sequences import gather_padded


class EvaluatedRows:
    """The rows of ``valid`` or ``test`` of all parts; they are made when a part's turn comes, and then let go.

    Args:
        dataset: the sharded dataset.
        split: ``valid`` or ``test``.
    """

    known_items = None
    """All items are candidates (``eval_history: kept``)."""

    def __init__(self, dataset, split: str):
        self.dataset, self.split = dataset, split
        self.counts = [len(dataset.evaluated(part, split)) for part in range(len(dataset.parts))]

    def __len__(self) -> int:
        return sum(self.counts)

    def batches(self, batch_size: int) -> Iterator[Interaction]:
        """Yield rows of a part at a time, short histories first, with RecBole's fields."""
        of, settings = self.dataset, self.dataset.config
        for number, arrays in enumerate(of.parts):
            rows = of.evaluated(number, self.split)
            for begin in range(0, len(rows), batch_size):
                some = rows[slice(begin, begin + batch_size)]
                columns = {
                    of.uid_field: some.users,
                    of.iid_field: arrays.items[some.ends],
                    settings["ITEM_LIST_LENGTH_FIELD"]: some.lengths,
                    of.iid_field + settings["LIST_SUFFIX"]: gather_padded(
                        arrays.items, some.ends - some.lengths, some.lengths
                    ),
                }
                yield Interaction({name: torch.from_numpy(np.asarray(one, np.int64)) for name, one in columns.items()})


class EvaluationLoader:
    """Batches of evaluated rows, each with the rest of what RecBole's loader of full ranking yields.

    Args:
        rows: the rows.
        batch_size: number of rows of a batch.
    """

    def __init__(self, rows: EvaluatedRows, batch_size: int):
        # What reads RecBole's loaders knows the rows by this name.
        self._dataset, self.batch_size = rows, batch_size

    def __len__(self) -> int:
        return sum(-(-count // self.batch_size) for count in self._dataset.counts)

    def __iter__(self):
        for rows in self._dataset.batches(self.batch_size):
            yield rows, None, torch.arange(len(rows)), rows[self._dataset.dataset.iid_field]

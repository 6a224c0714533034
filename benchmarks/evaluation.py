"""Users ranked per second: this package's evaluation against the published form.

    python benchmarks/evaluation.py [--dataset=Scientific] [--repeats=3] [--batches=2] [--output=FILE]

The published form encodes a batch of rows padded to 50 with the experts at every position, and all items once more
for each batch (published.py); both rank the target among all items. First their ranks are compared on one batch, and
a batch of the published form is run that is not counted.
"""

import sys
import tempfile

from recbole_mpo.common.process import prepare_process

prepare_process()

import numpy as np  # noqa: E402 - the process is prepared before PyTorch is loaded
import torch  # noqa: E402
from common import Built, main, median, seconds  # noqa: E402
from published import PublishedForm  # noqa: E402

from recbole_mpo.trainer.ranking import ranks_of_targets  # noqa: E402

ROWS = 2048


@torch.no_grad()
def published_ranks(form: PublishedForm, rows) -> torch.Tensor:
    """Ranks of one padded batch's targets."""
    model = form.model
    return ranks_of_targets(form.full_sort_predict(rows), rows[model.POS_ITEM_ID])


def compare(form: PublishedForm, ours: dict, rows) -> float:
    """Share of a batch's users whose rank is the same in both forms; rounding may turn near ties."""
    rank_of = dict(zip(ours["user"].tolist(), ours["rank"].tolist(), strict=True))
    theirs = published_ranks(form, rows).tolist()
    return float(np.mean([rank_of[u] == rank for u, rank in zip(rows["user_id"].tolist(), theirs, strict=True)]))


def measure(dataset: str = "Scientific", repeats: int = 3, batches: int = 2, **settings) -> dict:
    """Users per second of both, and their ratio."""
    built = Built("UniSRec", dataset, settings)
    padded = Built("UniSRec", dataset, {**settings, "train_mode": "pairwise"}).data.splits[2]
    form = PublishedForm(built.model, built.config)
    with tempfile.TemporaryDirectory() as folder:
        trainer = built.trainer(folder)
        ours = trainer.target_ranks(built.data.loaders[2])
        same = compare(form.eval(), ours, padded[np.arange(256)])
        if same < 0.98:
            raise SystemExit(f"only {same:.1%} of the ranks agree")
        fast = [seconds(lambda: trainer.target_ranks(built.data.loaders[2])) for _ in range(repeats)]
    starts = range(0, min(len(padded), batches * ROWS), ROWS)
    chunks = [padded[np.arange(start, min(start + ROWS, len(padded)))] for start in starts]
    published_ranks(form, chunks[0])
    slow = [seconds(lambda rows=rows: published_ranks(form, rows)) / len(rows) for rows in chunks]
    users = len(ours["rank"])
    return {
        "dataset": dataset,
        "same_ranks": same,
        "eval_vs_published": median(slow) / (median(fast) / users),
        "users_per_second": {"ours": users / median(fast), "published": 1 / median(slow)},
        "samples": {"ours_seconds": fast, "users": users, "published_seconds_per_user": slow},
    }


if __name__ == "__main__":
    sys.exit(main(measure, sys.argv[1:]))

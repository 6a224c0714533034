"""The variants of one report: what is made of the model, in which folder, and what is finished there."""

import json
from pathlib import Path
from typing import NamedTuple

from recbole_mpo.release.compress.compress_options import Options
from recbole_mpo.release.compress.method import Step, name_of_chain
from recbole_mpo.release.folder_files import MANIFEST

UNCOMPRESSED, AS_TRAINED = "uncompressed", "as trained"
RECORD, RANKS, CLAIM = "record.json", "ranks.npz", ".claim"


class Variant(NamedTuple):
    """One row of a report.

    Attributes:
        name: the chain of methods with the ratio that chooses a strength; ``uncompressed`` or ``as trained`` without.
        steps: the chain.
        epochs: epochs of further training.
        ratio: share of the bytes by which a strength is chosen that the chain leaves out; None if it has all.
    """

    name: str
    steps: tuple[Step, ...] = ()
    epochs: int = 0
    ratio: float | None = None

    @property
    def folder(self) -> str:
        """The name of the variant's folder."""
        plain = self.name.replace(":", "-").replace(" ", "-")
        return f"{plain}-trained-{self.epochs}" if self.epochs else plain

    @property
    def is_measured_first(self) -> bool:
        """Whether other variants need its files."""
        return not self.steps and not self.epochs


def plan_variants(chains: list[list[Step]], options: Options, has_mpo: bool) -> list[Variant]:
    """Return the variants of a report in its order: the uncompressed model first, and trained further.

    Args:
        chains: the chains of methods.
        options: epochs of further training, and ratios for the chains that leave a strength out.
        has_mpo: whether the model as trained has cores, and a row of its own.
    """
    epochs = list(dict.fromkeys(options.finetune_epochs))
    plan = [Variant(AS_TRAINED)] if has_mpo else []
    plan += [Variant(UNCOMPRESSED), *(Variant(UNCOMPRESSED, epochs=count) for count in epochs if count)]
    for steps in chains:
        is_trained = any(step.method.is_trained for step in steps)
        is_open = any(step.method.bounds and step.strength is None for step in steps)
        for ratio in dict.fromkeys(options.target_ratio) if is_open else (None,):
            name = name_of_chain(steps) + (f" to {ratio:g}" if is_open else "")
            plan += [Variant(name, tuple(steps), count, ratio) for count in (epochs if is_trained else (0,))]
    return plan


def finished_row(folder: Path, identity: str) -> dict | None:
    """Return the row of a variant that was finished with the same options; None if there is none.

    Folders of earlier versions, which have no manifest, are not read any more and thus not finished.
    """
    if not (folder / MANIFEST).is_file():
        return None
    try:
        row = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return row if row.get("identity") == identity else None

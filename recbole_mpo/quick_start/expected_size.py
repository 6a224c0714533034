"""How large a planned run is, before anything but its interactions is read: parameters, rows and operations."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from recbole_mpo.data.atomic_files import Fields
from recbole_mpo.data.catalogue import Catalogue
from recbole_mpo.data.histories import read_dataset_histories
from recbole_mpo.model.parameters import count_parameters
from recbole_mpo.quick_start.planned_run import PlannedRun
from recbole_mpo.quick_start.scale import ITEM_GROUPS
from recbole_mpo.text.index_files import PAD

# Columns of MiniLM's features, where no setting says how many there are.
FEATURES = 384
# Interactions of each user that leave-one-out keeps from training: the first, and the targets of valid and test.
NOT_TRAINED = 3


@dataclass(frozen=True)
class ExpectedSize:
    """Size of a run; all but the parameters is about right, not exact.

    Attributes:
        non_embedding: parameters without the tables of items.
        is_assumed: whether the parameters are about right too, since the columns of the item features are not known
            before the texts are read: few texts have fewer.
        trainable: parameters that are trained at first.
        train_rows: training targets of an epoch.
        flops: operations of training and validation, in all epochs.
    """

    non_embedding: int
    trainable: int
    train_rows: int
    flops: float
    is_assumed: bool = False


def built_model(run: PlannedRun):
    """Return the model of a run with one item, untrained: whether its settings allow one at all, and its sizes.

    Raises:
        RecboleMPOError: they do not; the message names the setting.
    """
    config = run.experiment.config
    columns = config["feature_size"] or FEATURES
    catalogue = Catalogue([PAD, "1"], columns, "none", config["ITEM_ID_FIELD"])
    return run.experiment.spec.build(config, catalogue)


def expected_size(run: PlannedRun) -> ExpectedSize:
    """Return the size of a run of a text model, with the largest number of epochs.

    Raises:
        DataError: the dataset cannot be read.
    """
    config = run.experiment.config
    items, rows, users = _counts(str(config.data_root), run.dataset, Fields.of(config))
    counts = count_parameters(built_model(run))
    rows = round(rows * (config["train_users"] or 1))
    groups = {name: count["total"] for name, count in counts["by_group"].items() if name not in ITEM_GROUPS}
    adaptor = sum(count for name, count in groups.items() if name.startswith("adaptor"))
    size, batch = sum(groups.values()), config["train_batch_size"]
    encoded = min(items, config["sampled_items"] + 2 * batch) if config["loss"] == "sampled" else items
    # Features need no gradient, so that the adaptor's backward pass costs as much as its forward pass.
    training = 4 * adaptor * encoded * -(-rows // batch) + 6 * (size - adaptor + encoded * config["hidden_size"]) * rows
    ranked = users * (config["eval_users"] or 1)
    ranking = 2 * adaptor * items + 2 * ranked * (items * config["hidden_size"] + (size - adaptor) * rows / users)
    return ExpectedSize(size, counts["trainable"], rows, config["epochs"] * (training + ranking), _is_assumed(config))


def _is_assumed(config) -> bool:
    return not config["feature_size"] and config["text_encoder"] != "minilm"


@cache
def _counts(data_path: str, name: str, fields: Fields) -> tuple[int, int, int]:
    """Return the numbers of items, of training targets and of evaluated users of a dataset."""
    histories = read_dataset_histories(Path(data_path), name, fields)
    trained = np.maximum(histories.lengths - NOT_TRAINED, 0)
    return len(histories.item_tokens), int(trained.sum()), int((histories.lengths >= NOT_TRAINED).sum())

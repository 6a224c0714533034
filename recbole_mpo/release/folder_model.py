"""The model of a model folder, built without a dataset."""

import math
from pathlib import Path

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from recbole_mpo.common.errors import CheckpointError, RecboleMPOError
from recbole_mpo.common.values import shown
from recbole_mpo.data.catalogue import Catalogue
from recbole_mpo.layers.pair_evidence import ItemEvidence, PairTables
from recbole_mpo.model.sequential import TextSequentialRecommender
from recbole_mpo.quick_start.configure import make_config
from recbole_mpo.quick_start.registry import OWN_MODELS
from recbole_mpo.release.folder_files import WEIGHTS
from recbole_mpo.release.model_folder import FolderContent
from recbole_mpo.trainer import checkpoint

# Settings that say how many modules a model has; no model has more of them than weights.
COUNTS = ("n_layers", "n_exps")
# Functions by which modules take memory, and a number of entries that is never refused.
MAKERS, SMALL = (torch.empty, torch.zeros, torch.ones), 1 << 20


def has_folder(model) -> bool:
    """Return whether a model can be built from a folder: it needs its items, settings and weights alone."""
    return isinstance(model, TextSequentialRecommender)


def evidence_tables(evidence: ItemEvidence | None) -> dict[str, PairTables]:
    """Return the tables that evaluation reads, by kind of evidence."""
    return {} if evidence is None else {name: _evaluation_table(kind) for name, kind in evidence.kinds.items()}


def _evaluation_table(kind) -> PairTables:
    # Those of training follow it.
    count = int(kind.starts[0, -1])
    return PairTables(kind.starts[:1], kind.columns[:count], kind.values[:count])


def build_model(content: FolderContent, folder: Path) -> tuple:
    """Return the model of a folder in evaluation mode on its device, and its settings.

    Args:
        content: what the folder holds.
        folder: the folder, for messages.

    Raises:
        CheckpointError: model, settings, weights and tables do not fit together.
    """
    spec = OWN_MODELS.get(content.origin.model)
    if spec is None or not issubclass(spec.model_class, TextSequentialRecommender):
        raise CheckpointError(f"model folder {folder} has the model {shown(content.origin.model)}, which has no folder")
    try:
        settings = content.origin.settings
        stored = {key: value for key, value in settings.items() if key not in ("model", "dataset")}
        _, config = make_config(spec.name, settings.get("dataset"), stored={**stored, "pretrained": None})
        _check_sizes(config, content, folder)
        fields = {"iid_field": config["ITEM_ID_FIELD"], "uid_field": config["USER_ID_FIELD"]}
        size = content.feature_size or None
        catalogue = Catalogue(content.tokens[: content.item_num], size, None, **fields)
        largest = max(tensor.numel() for tensor in (content.item_vectors, *content.weights.values()))
        with torch.random.fork_rng(devices=[]), _Budget(max(largest, SMALL), folder):
            model = spec.build(config, catalogue)
    except CheckpointError:
        raise
    except RecboleMPOError as problem:
        raise CheckpointError(f"model folder {folder}: {problem}") from problem
    checkpoint.load_weights(model, dict(content.weights), folder / WEIGHTS)
    _use_tables(model, content, folder)
    with torch.no_grad():
        width = model.eval().encode_items(torch.tensor([0])).shape[1]
    if content.item_vectors.shape[1] != width:
        raise CheckpointError(
            f"model folder {folder} has item vectors of {content.item_vectors.shape[1]} numbers, its model has {width}"
        )
    return model.to(config["device"]), config


def _check_sizes(config, content: FolderContent, folder: Path):
    """Refuse settings that would build modules for hours, and a width of features that no weight has."""
    if content.feature_size and not any(_has_side(weight, content.feature_size) for weight in content.weights.values()):
        raise CheckpointError(
            f"model folder {folder} has feature_size {content.feature_size}, which no weight has; copy the folder again"
        )
    for key in COUNTS:
        if key in config and isinstance(config[key], int) and config[key] > len(content.weights):
            raise CheckpointError(
                f"model folder {folder} has {key} {config[key]}, and {len(content.weights)} weights: they do not fit "
                "together"
            )


def _has_side(weight: Tensor, size: int) -> bool:
    return size in weight.shape and weight.numel() > 0


class _Budget(TorchFunctionMode):
    """Refuses tensors that are larger than any in the folder, before memory is taken for them.

    Args:
        most: largest number of entries of a tensor.
        folder: the folder, for the message.
    """

    def __init__(self, most: int, folder: Path):
        super().__init__()
        self.most, self.folder = most, folder

    def __torch_function__(self, function, types, args=(), kwargs=None):
        """Call a function of torch, unless it makes a tensor that is too large."""
        if function in MAKERS and args:
            sizes = args[0] if isinstance(args[0], list | tuple) else [one for one in args if isinstance(one, int)]
            if math.prod(sizes) > self.most:
                raise CheckpointError(
                    f"model folder {self.folder} has settings of a larger model than its weights: a tensor of size "
                    f"{' x '.join(map(str, sizes))}; copy the folder again"
                )
        return function(*args, **(kwargs or {}))


def _use_tables(model, content: FolderContent, folder: Path):
    """Give the evidence of a model its tables, and the model what was fitted to words."""
    kinds = [] if model.evidence is None else [*model.evidence.kinds]
    if sorted(kinds) != sorted(content.tables):
        raise CheckpointError(
            f"model folder {folder} has tables of evidence for {', '.join(sorted(content.tables)) or 'nothing'}, its "
            f"settings name {', '.join(sorted(kinds)) or 'none'}; copy the folder again"
        )
    for name in kinds:
        model.evidence.kinds[name].use(content.tables[name])
    model.fitted_words = None if content.fitted_words is None else dict(content.fitted_words)
    model.edited_items = ()

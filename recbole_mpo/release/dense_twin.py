"""The dense model that computes what a model with MPO or LoRA layers computes."""

import torch
from torch import Tensor, nn

from recbole_mpo.data.catalogue import Catalogue
from recbole_mpo.layers.lora import LoRALinear
from recbole_mpo.layers.mpo.convert import dense_state_dict, mpo_layers
from recbole_mpo.model.unisrec import UniSRec
from recbole_mpo.quick_start.configure import make_config

# The model that a merged one is.
DENSE_MODEL = "UniSRec"
# Settings of the layers that are merged away.
LAYER_SETTINGS = ("mpo_", "lora_")


def low_rank_layers(model: nn.Module) -> dict[str, LoRALinear]:
    """Return the LoRA layers of a model by name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, LoRALinear)}


def is_dense(model: nn.Module) -> bool:
    """Return whether a model has neither MPO nor LoRA layers."""
    return not mpo_layers(model) and not low_rank_layers(model)


@torch.no_grad()
def dense_weights(model: nn.Module) -> dict[str, Tensor]:
    """Return the weights of a model by name, in which MPO cores and low-rank updates are part of the matrices."""
    layers = low_rank_layers(model)
    updates = tuple(f"{name}.lora_{matrix}" for name in layers for matrix in "AB")
    weights = {name: weight for name, weight in dense_state_dict(model).items() if name not in updates}
    return weights | {f"{name}.weight": layer.merged_weight() for name, layer in layers.items()}


def dense_settings(settings: dict) -> dict:
    """Return the settings of the dense model of a run's settings."""
    kept = {key: value for key, value in settings.items() if not key.startswith(LAYER_SETTINGS)}
    return {**kept, "model": DENSE_MODEL, "pretrained": None}


def dense_twin(model, config):
    """Return a dense model that scores as a model does, or the model itself if it is dense.

    The twin shares the features, the evidence and what is known of texts with the model.

    Args:
        model: a trained model.
        config: settings of its run.
    """
    if is_dense(model) or not isinstance(model, UniSRec):
        return model
    spec, dense_config = make_config(
        DENSE_MODEL, config["dataset"], stored=dense_settings({**config.plain(), "evidence": []})
    )
    fields = {"iid_field": config["ITEM_ID_FIELD"], "uid_field": config["USER_ID_FIELD"]}
    # What is drawn for the weights, which are replaced, changes nothing that is drawn afterwards.
    with torch.random.fork_rng(devices=[]):
        twin = spec.build(dense_config, Catalogue(model.item_tokens, model.feature_size or None, None, **fields))
    weights = dense_weights(model)
    twin.load_state_dict({name: weight for name, weight in weights.items() if not name.startswith("evidence.")})
    twin.item_table, twin.evidence = model.item_table, model.evidence
    twin.feature_hash, twin.feature_sketch = model.feature_hash, model.feature_sketch
    twin.fitted_text, twin.fitted_words = model.fitted_text, model.fitted_words
    twin.counts_hash = model.counts_hash
    return twin.to(config["device"])

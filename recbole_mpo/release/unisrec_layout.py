"""The checkpoint of UniSRec's published code: its names of weights, and settings as a plain dict.

Shapes: F feature, D hidden, L longest history, E experts, I inner size of the feed-forward layers, N items.

| name | shape |
|---|---|
| ``position_embedding.weight`` | L, D |
| ``trm_encoder.layer.<i>.multi_head_attention.{query,key,value,dense}.{weight,bias}`` | D, D and D |
| ``trm_encoder.layer.<i>.feed_forward.dense_1.{weight,bias}`` | I, D and I |
| ``trm_encoder.layer.<i>.feed_forward.dense_2.{weight,bias}`` | D, I and D |
| ``LayerNorm.{weight,bias}``, also in both parts of each layer | D |
| ``moe_adaptor.{w_gate,w_noise}`` | F, E |
| ``moe_adaptor.experts.<k>.bias``, ``moe_adaptor.experts.<k>.lin.weight`` | F and D, F |
| ``item_embedding.weight``, of a model with ids | N, D |
"""

import re
from pathlib import Path

from torch import Tensor

from recbole_mpo.common.errors import CheckpointError
from recbole_mpo.trainer.other_names import shorten

NAMES = re.compile(
    r"position_embedding\.weight|LayerNorm\.(weight|bias)|item_embedding\.weight"
    r"|trm_encoder\.layer\.\d+\.multi_head_attention\.(query|key|value|dense|LayerNorm)\.(weight|bias)"
    r"|trm_encoder\.layer\.\d+\.feed_forward\.(dense_1|dense_2|LayerNorm)\.(weight|bias)"
    r"|moe_adaptor\.(w_gate|w_noise|experts\.\d+\.(bias|lin\.weight))"
)
EXPERT, ITEM_IDS = "moe_adaptor.experts.0.lin.weight", "item_embedding.weight"
# Weights of the tasks of pre-training, which scores do not depend on.
TASKS = "objective."


def unisrec_layout(weights: dict[str, Tensor], config: dict, epoch: int, path: str | Path) -> dict:
    """Return the content of a checkpoint that UniSRec's published code reads.

    The weights are not changed: they are for the features that they were trained on, which are centred and scaled if
    ``feature_center`` and ``feature_scale`` say so, while the published code takes features as they are.

    Args:
        weights: dense weights by name.
        config: settings of the run, plain values.
        epoch: number of the epoch.
        path: file of the run's checkpoint, for messages.

    Returns:
        ``state_dict``, ``config`` with the published names of sizes, ``epoch``, and ``other_parameter``, which is None.

    Raises:
        CheckpointError: the model has other weights than UniSRec's, or no text adaptor.
    """
    weights = {name: weight for name, weight in weights.items() if not name.startswith(TASKS)}
    others = [name for name in weights if not NAMES.fullmatch(name)]
    if others:
        raise CheckpointError(
            f"checkpoint {path} has weights that UniSRec's layout has no place for: {', '.join(shorten(others)[:6])}"
        )
    if EXPERT not in weights:
        raise CheckpointError(f"checkpoint {path} has no text adaptor, which UniSRec's layout needs")
    hidden_size, feature_size = weights[EXPERT].shape
    published = {
        "plm_size": feature_size,
        "adaptor_layers": [feature_size, hidden_size],
        "train_stage": "transductive_ft" if ITEM_IDS in weights else "inductive_ft",
    }
    return {"config": {**config, **published}, "epoch": epoch, "state_dict": weights, "other_parameter": None}

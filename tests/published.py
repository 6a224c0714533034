"""Checkpoints as UniSRec's published code writes them: transcribed weights, a real Config of RecBole, pickled."""

import sys
import types
import zipfile
from pathlib import Path
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from recbole.config import Config
from recbole.model.abstract_recommender import SequentialRecommender
from recbole.model.layers import TransformerEncoder
from torch import nn

SIZES = {
    "hidden_size": 16, "inner_size": 16, "n_layers": 2, "n_heads": 2, "n_exps": 2, "plm_size": 12,
    "MAX_ITEM_LIST_LENGTH": 50, "hidden_act": "gelu", "layer_norm_eps": 1e-12,
}  # fmt: skip


def names_and_shapes(sizes: dict = SIZES) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of the weights after pre-training, written down from the published code."""
    hidden, inner, features, experts = (sizes[key] for key in ("hidden_size", "inner_size", "plm_size", "n_exps"))
    shapes = {"position_embedding.weight": (sizes["MAX_ITEM_LIST_LENGTH"], hidden)}
    for layer in range(sizes["n_layers"]):
        attention, forward = (
            f"trm_encoder.layer.{layer}.multi_head_attention",
            f"trm_encoder.layer.{layer}.feed_forward",
        )
        for part in ("query", "key", "value", "dense"):
            shapes |= {f"{attention}.{part}.weight": (hidden, hidden), f"{attention}.{part}.bias": (hidden,)}
        shapes |= {f"{forward}.dense_1.weight": (inner, hidden), f"{forward}.dense_1.bias": (inner,)}
        shapes |= {f"{forward}.dense_2.weight": (hidden, inner), f"{forward}.dense_2.bias": (hidden,)}
        for part in (attention, forward):
            shapes |= {f"{part}.LayerNorm.weight": (hidden,), f"{part}.LayerNorm.bias": (hidden,)}
    shapes |= {"LayerNorm.weight": (hidden,), "LayerNorm.bias": (hidden,)}
    shapes |= {f"moe_adaptor.{part}": (features, experts) for part in ("w_gate", "w_noise")}
    for expert in range(experts):
        name = f"moe_adaptor.experts.{expert}"
        shapes |= {f"{name}.bias": (features,), f"{name}.lin.weight": (hidden, features)}
    return shapes


class _Expert(nn.Module):
    def __init__(self, features, hidden):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(features))
        self.lin = nn.Linear(features, hidden, bias=False)

    def forward(self, x):
        return self.lin(x - self.bias)


class _Adaptor(nn.Module):
    def __init__(self, features, hidden, experts):
        super().__init__()
        self.experts = nn.ModuleList(_Expert(features, hidden) for _ in range(experts))
        self.w_gate = nn.Parameter(torch.zeros(features, experts))
        self.w_noise = nn.Parameter(torch.zeros(features, experts))

    def forward(self, x):
        outputs = torch.stack([expert(x) for expert in self.experts], dim=-1)
        return (outputs * (x @ self.w_gate).softmax(dim=-1).unsqueeze(-2)).sum(dim=-1)


class PublishedNetwork(nn.Module):
    """What UniSRec's published code computes in evaluation, on RecBole's own Transformer; weights are random."""

    def __init__(self, sizes: dict = SIZES, seed: int = 3):
        super().__init__()
        hidden = sizes["hidden_size"]
        self.position_embedding = nn.Embedding(sizes["MAX_ITEM_LIST_LENGTH"], hidden)
        keys = ("n_layers", "n_heads", "hidden_size", "inner_size", "hidden_act", "layer_norm_eps")
        self.trm_encoder = TransformerEncoder(**{key: sizes[key] for key in keys})
        self.LayerNorm = nn.LayerNorm(hidden, eps=sizes["layer_norm_eps"])
        self.moe_adaptor = _Adaptor(sizes["plm_size"], hidden, sizes["n_exps"])
        generator = torch.Generator().manual_seed(seed)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.3, generator=generator)

    @torch.no_grad()
    def cosines(self, features, item_seq, lengths):
        """Return the scores [B, N] before they are divided by the temperature."""
        items = self.moe_adaptor(features)
        length = item_seq.shape[1]
        states = self.LayerNorm(items[item_seq] + self.position_embedding(torch.arange(length)))
        may_see = (item_seq != 0)[:, None, None, :] & torch.ones(length, length).tril().bool()
        states = self.trm_encoder(states, torch.where(may_see, 0.0, -10000.0), output_all_encoded_layers=True)[-1]
        last = states[torch.arange(len(states)), lengths - 1]
        return F.normalize(last, dim=-1) @ F.normalize(items, dim=-1).t()


def published_config(sizes: dict = SIZES, module: str = "unisrec", **changes) -> Config:
    """Return RecBole's Config of a pre-training run; it refers to a class of the published code."""
    settings = {**sizes, "loss_type": "CE", "train_neg_sample_args": None, "use_gpu": False, "train_stage": "pretrain"}
    settings |= {"adaptor_layers": [sizes["plm_size"], sizes["hidden_size"]], "plm_suffix": "feat1CLS", **changes}
    model = types.new_class("UniSRec", (SequentialRecommender,), exec_body=lambda body: body.update(__module__=module))
    with (
        mock.patch.object(sys, "argv", ["pretrain.py"]),
        # It gives numpy names back by way of others that numpy 2 lacks.
        mock.patch.object(Config, "compatibility_settings", lambda self: None),
    ):
        return Config(model=model, dataset="FHCKM", config_dict=settings)


def write_published(path: Path, weights: dict | None = None, config=None, **changes) -> Path:
    """Write a checkpoint as the published code and RecBole's trainer do; return its path."""
    network = PublishedNetwork()
    optimizer = torch.optim.Adam(network.parameters())
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    weights = {name: weight.clone() for name, weight in network.state_dict().items()} if weights is None else weights
    optimizer.step()
    state = {
        "config": published_config() if config is None else config,
        "epoch": 299,
        "cur_step": 0,
        "best_valid_score": np.float64(0.0625),
        "state_dict": weights,
        "other_parameter": None,
        "optimizer": optimizer.state_dict(),
        **changes,
    }
    module = types.ModuleType("unisrec")
    module.UniSRec = getattr(state["config"], "model_class", None)
    with mock.patch.dict(sys.modules, {"unisrec": module}):
        torch.save(state, path)
    return path


def parts_of(path: Path) -> dict[str, bytes]:
    """Return the parts of an archive by the ending of their names, such as ``data.pkl`` and ``data/0``."""
    with zipfile.ZipFile(path) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def write_parts(path: Path, parts: dict[str, bytes], folder: str = "archive") -> Path:
    """Write an archive with these parts, with sound checksums; return its path."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(f"{folder}/{name}", content)
    return path

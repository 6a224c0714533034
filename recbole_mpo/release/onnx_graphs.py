"""ONNX graphs of a dense text model: histories to queries, queries to scores, text features to item vectors.

``torch.onnx.export`` with ``dynamo=True`` traces them with any numbers of rows, items and places. The table of item
vectors is an input with a default, so that one call may pass a longer table, with new items at its end.

Shapes: B histories, L length, C candidates, X a row of ``encode_items``, S a query, M new items, F feature.
"""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from recbole_mpo.common.errors import CheckpointError, DependencyError
from recbole_mpo.model.sequence_encoder import TransformerSequenceEncoder
from recbole_mpo.model.sequential import TextSequentialRecommender
from recbole_mpo.text.encoder_folders import is_installed

# onnxruntime reads it since 1.14; the exporter of torch writes this one without a conversion.
OPSET = 18
# Version of the file format that goes with it, for the graph that is not of torch.
IR_VERSION = 10
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
# A file of ONNX cannot be longer.
MOST_BYTES = 2**31 - 2**24
# What it says of each package that is absent, and of axes that have one name.
CHATTY = "torch.onnx._internal.exporter._registration"


def check_packages():
    """Check that what writes and runs graphs is installed.

    Raises:
        DependencyError: a package is missing.
    """
    missing = [name for name in PACKAGES if not is_installed(name)]
    if missing:
        raise DependencyError(f"ONNX needs {', '.join(missing)}: pip install recbole-mpo[export]")


def check_model(model, item_vectors: Tensor, source):
    """Check that graphs can compute what a model does.

    Args:
        model: a dense model.
        item_vectors: rows of ``encode_items`` of all candidates [C, X].
        source: file of the model, for messages.

    Raises:
        CheckpointError: the model is of another kind, has evidence, or too many items.
    """
    if not isinstance(model, TextSequentialRecommender) or not isinstance(model.sequence, TransformerSequenceEncoder):
        raise CheckpointError(
            f"{source} is of {type(model).__name__}, and ONNX graphs are for models with this package's causal "
            "Transformer, such as UniSRec, MPORec and LoRA"
        )
    if model.evidence is not None:
        raise CheckpointError(
            f"{source} has evidence ({', '.join(model.evidence.kinds)}), which ONNX graphs do not hold, so their "
            "scores would not be the model's: export it with --format=folder, or train without evidence"
        )
    if item_vectors.numel() * item_vectors.element_size() > MOST_BYTES:
        raise CheckpointError(
            f"{source} has {len(item_vectors)} items, whose vectors are more than 2 GB of an ONNX file"
        )


class SequenceGraph(nn.Module):
    """Histories to queries.

    Args:
        model: a dense model in evaluation mode.
    """

    def __init__(self, model: TextSequentialRecommender):
        super().__init__()
        self.model = model

    def forward(self, item_seq: Tensor, lengths: Tensor, item_vectors: Tensor) -> Tensor:
        """Return queries [B, S] of histories [B, L] with their lengths [B], for item vectors [C, X]."""
        # All places are computed: choosing the last ones first, as the model does, depends on the lengths' values. And
        # the model asks for len(item_seq), which a trace takes for a constant.
        positions_BL = torch.arange(item_seq.shape[1]).expand(item_seq.shape)
        states_BLD = self.model.sequence.states(item_vectors, item_seq, positions_BL)
        last_B1D = (lengths - 1).view(-1, 1, 1).expand(-1, 1, states_BLD.shape[2])
        return self.model.queries(states_BLD.gather(1, last_B1D).squeeze(1))


class ItemGraph(nn.Module):
    """Text features to item vectors.

    Args:
        model: a dense model in evaluation mode.
    """

    def __init__(self, model: TextSequentialRecommender):
        super().__init__()
        self.model = model

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the vectors [M, X] that histories read, and those [M, S] that are scored, of features [M, F]."""
        vectors_MX = self.model.encode_features(features)
        return vectors_MX, self.model.candidates(vectors_MX)


@torch.no_grad()
def graphs_of(model: TextSequentialRecommender, item_vectors: Tensor) -> dict[str, Any]:
    """Return the graphs of a model by name, as ``onnx.ModelProto``.

    Args:
        model: a dense model in evaluation mode, on the CPU.
        item_vectors: rows of ``encode_items`` of all candidates [C, X].
    """
    graphs = {
        "sequence_encoder": _sequence_encoder(model, item_vectors),
        "scoring": _scoring(model.candidates(item_vectors)),
    }
    if model.uses_text:
        features = torch.zeros(3, model.feature_size)
        outputs = ["item_vectors", "candidates"]
        graphs["item_encoder"] = _traced(ItemGraph(model), {"features": (features, {0: "new_items"})}, outputs)
    return graphs


def _sequence_encoder(model: TextSequentialRecommender, item_vectors: Tensor):
    places = {0: "batch", 1: "length"}
    inputs = {
        "item_seq": (torch.ones(3, 2, dtype=torch.int64), places),
        "lengths": (torch.tensor([1, 2, 1]), {0: "batch"}),
        "item_vectors": (item_vectors[:4].clone(), {0: "items"}),
    }
    graph = _traced(SequenceGraph(model), inputs, ["query"])
    _give_default(graph, "item_vectors", item_vectors)
    return graph


def _traced(module: nn.Module, inputs: Mapping[str, tuple[Tensor, dict]], outputs: list[str]):
    """Return the graph of a module; each input has an example, whose sizes must not be one, and names of axes."""
    # One object for each name: axes of another one may not turn out to be equal.
    sizes = {size: torch.export.Dim(size) for _, axes in inputs.values() for size in axes.values()}
    shapes = {name: {axis: sizes[size] for axis, size in axes.items()} for name, (_, axes) in inputs.items()}
    with _quiet():
        program = torch.onnx.export(
            module.eval(),
            tuple(example for example, _ in inputs.values()),
            dynamo=True,
            input_names=list(inputs),
            output_names=outputs,
            dynamic_shapes=shapes,
            opset_version=OPSET,
            verbose=False,
        )
    return program.model_proto


def _scoring(candidates: Tensor):
    """Return the graph of ``query @ candidates.T``, in which nothing is transposed at each call."""
    from onnx import TensorProto, helper

    size = candidates.shape[1]
    inputs = [
        helper.make_tensor_value_info("query", TensorProto.FLOAT, ["batch", size]),
        helper.make_tensor_value_info("candidates", TensorProto.FLOAT, ["items", size]),
    ]
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", "items"])
    node = helper.make_node("Gemm", ["query", "candidates"], ["scores"], transB=1)
    graph = helper.make_graph([node], "scoring", inputs, [scores])
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="recbole_mpo")
    _give_default(model, "candidates", candidates)
    return model


def _give_default(graph, name: str, value: Tensor):
    """Give an input of a graph a default; a caller may pass another one."""
    from onnx import numpy_helper

    graph.graph.initializer.append(numpy_helper.from_array(value.contiguous().numpy(), name))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the exporter says of packages that are absent, and of names of axes, from the user."""
    logger = logging.getLogger(CHATTY)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)

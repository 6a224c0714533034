"""A model as a folder of ONNX graphs, for programs without torch.

| file | content |
|---|---|
| ``sequence_encoder.onnx`` | ``item_seq`` [B, L], ``lengths`` [B] (and ``item_vectors`` [C, X]) to ``query`` [B, S] |
| ``scoring.onnx`` | ``query`` [B, S] (and ``candidates`` [C, S]) to ``scores`` [B, C] |
| ``item_encoder.onnx`` | with text: ``features`` [M, F] to ``item_vectors`` [M, X] and ``candidates`` [M, S] |
| ``items.jsonl`` | token and title of each candidate, PAD first, a line per row |
| ``text.safetensors`` | with text: what was fitted to item texts, such as mean and scale |
| ``onnx.json`` | model, opset, sizes, text encoders, and how far the graphs' numbers are from the model's |
| ``manifest.json`` | size and sha256 of each file |

Shapes: B histories, L length, C candidates, X a row of ``encode_items``, S a query, M new items, F feature.
"""

import json
from itertools import product
from pathlib import Path

import numpy as np
import torch

from recbole_mpo.common.errors import CheckpointError
from recbole_mpo.common.files import write_json, write_lines
from recbole_mpo.quick_start.experiment import Experiment
from recbole_mpo.release import folder_files
from recbole_mpo.release.model_folder import FolderContent, save_fitted
from recbole_mpo.release.onnx_graphs import OPSET, check_model, check_packages, graphs_of
from recbole_mpo.release.recommender_parts import content_of, parts_of_experiment

FORMAT_VERSION = 1
# Divides a difference where all is zero.
TINY = 1e-30
DESCRIPTION = folder_files.ONNX_DESCRIPTION
# Numbers of histories, and of new items, in the comparison with the model; and the largest difference that rounding
# makes, as a share of the largest number: measured are 1e-6 and less.
COMPARED, ROUNDING = (1, 256), 1e-5


def export_onnx(path: str | Path, output: str | Path, overrides: dict | None = None):
    """Write the model of a checkpoint as ONNX graphs, with MPO and LoRA layers merged, and compare them with it.

    Args:
        path: file of a checkpoint of a model with this package's Transformer, without evidence.
        output: the folder to write; an existing one is replaced only if it was exported too.
        overrides: settings that override those of the checkpoint.

    Raises:
        CheckpointError: the checkpoint cannot be used, or graphs cannot compute its scores; or the output is something
            that would be lost, or it cannot be written.
        ConfigError: the settings do not fit together.
        DataError: the dataset cannot be read, or the model cannot recommend.
        DependencyError: onnx, onnxscript or onnxruntime is missing.
    """
    check_packages()
    folder_files.check_replaceable(Path(output).resolve())
    settings = {"show_progress": False, **(overrides or {}), "use_gpu": False}
    experiment, trained, _ = Experiment.from_checkpoint(path, settings, allows_edits=True)
    model, candidates, _, origin = parts_of_experiment(experiment, trained, None)
    check_model(model, candidates.scores.item_vectors, f"checkpoint {path}")
    content = content_of(model, candidates, origin)
    graphs = graphs_of(model, content.item_vectors)
    with folder_files.new_folder(output) as folder:
        for name, graph in graphs.items():
            (folder / f"{name}.onnx").write_bytes(graph.SerializeToString())
        difference = largest_difference(model, content.item_vectors, folder)
        if not difference <= ROUNDING:
            raise CheckpointError(
                f"the ONNX graphs of {path} compute something else than the model: their numbers differ by "
                f"{difference:.1e} of the largest; nothing was written"
            )
        rows = ({"item": token, "title": content.titles.get(token, "")} for token in content.tokens)
        write_lines(folder / folder_files.ITEMS, map(json.dumps, rows))
        if content.fitted_text is not None:
            save_fitted(content.fitted_text, folder / folder_files.TEXT)
        write_json(folder / DESCRIPTION, _description(content, model, list(graphs), difference))


def _description(content: FolderContent, model, graphs: list[str], difference: float) -> dict:
    return {
        "format_version": FORMAT_VERSION,
        "model": content.origin.model,
        "opset": OPSET,
        "graphs": [f"{name}.onnx" for name in graphs],
        "candidates": len(content.tokens),
        "max_length": model.max_seq_length,
        "feature_size": content.feature_size,
        "encoders": content.origin.encoders,
        "difference": difference,
        "run": content.origin.run,
    }


@torch.no_grad()
def largest_difference(model, item_vectors: torch.Tensor, folder: Path) -> float:
    """Return by how much the numbers of the graphs in a folder differ from the model's, relative to the largest.

    Queries and scores are compared, and with text the vectors of new items.

    Args:
        model: the model, in evaluation mode.
        item_vectors: rows of ``encode_items`` of all candidates [C, X].
        folder: where the graphs are.
    """
    import onnxruntime

    def session(name: str):
        return onnxruntime.InferenceSession(folder / f"{name}.onnx")

    draw = np.random.default_rng(0)
    encoder, scoring = session("sequence_encoder"), session("scoring")
    differences = [0.0]
    for count, length in product(COMPARED, (1, model.max_seq_length)):
        item_seq = draw.integers(1, len(item_vectors), (count, length))
        lengths = draw.integers(1, length + 1, count)
        states = model.encode_sequences(item_vectors, torch.from_numpy(item_seq), torch.from_numpy(lengths))
        query = model.queries(states)
        scores = query @ model.candidates(item_vectors).t()
        found = encoder.run(None, {"item_seq": item_seq, "lengths": lengths})[0]
        differences += [_difference(found, query), _difference(scoring.run(None, {"query": found})[0], scores)]
    for count in COMPARED if model.uses_text else ():
        features = draw.standard_normal((count, model.feature_size), dtype=np.float32)
        vectors = model.encode_features(torch.from_numpy(features))
        found = session("item_encoder").run(None, {"features": features})
        differences += map(_difference, found, (vectors, model.candidates(vectors)))
    return max(differences)


def _difference(found: np.ndarray, expected: torch.Tensor) -> float:
    largest = np.abs(found - expected.numpy()).max() / max(expected.abs().max().item(), TINY)
    # A comparison with NaN is never true, so NaN must not be lost in a maximum.
    return float(largest) if np.isfinite(largest) else np.inf

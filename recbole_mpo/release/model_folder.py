"""A model as a folder of plain files: all that recommends, and nothing of the machine that trained it.

| file | content |
|---|---|
| ``config.json`` | format, name and settings of the model, sizes, encoders, what is known of its run |
| ``model.safetensors`` | dense weights by name |
| ``items.jsonl`` | token and title of each candidate, PAD first, a line per row |
| ``item_vectors.safetensors`` | ``item_vectors`` [C, D], the rows of ``encode_items`` of all candidates |
| ``evidence.safetensors`` | with evidence: ``<kind>.starts``, ``.columns``, ``.values``, and what was fitted to words |
| ``text.safetensors`` | with text: what was fitted to item texts, such as mean and scale |
| ``manifest.json`` | size and sha256 of each file |
| ``README.md`` | the model card |

Shapes: N items of the model (row 0 is PAD), C candidates, D hidden, F feature.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from recbole_mpo.common.errors import CheckpointError, FeatureError
from recbole_mpo.common.files import write_json, write_lines
from recbole_mpo.common.values import shown
from recbole_mpo.data.shared_words import FittedWords
from recbole_mpo.layers.pair_evidence import PairTables
from recbole_mpo.release import folder_files as files
from recbole_mpo.release.model_card import model_card
from recbole_mpo.release.origin import OF_MACHINE, Origin
from recbole_mpo.text.fitted_text import FittedText

VECTORS, FITTED_WORDS = "item_vectors", "fitted_words."
TABLE = ("starts", "columns", "values")
TABLE_KINDS = (torch.int64, torch.int32, torch.float32)


@dataclass(frozen=True)
class FolderContent:
    """What a model folder holds.

    Attributes:
        origin: name, settings, encoders and run.
        weights: dense weights by name.
        tokens: [C] tokens, PAD first.
        titles: texts by token.
        item_vectors: [C, D].
        item_num: N.
        feature_size: F; 0 without text.
        tables: tables of evidence by kind.
        fitted_words: what evidence of words was fitted to, by name; None without it.
        fitted_text: what was fitted to item texts; None if there is nothing.
    """

    origin: Origin
    weights: Mapping[str, Tensor]
    tokens: list[str]
    titles: dict[str, str]
    item_vectors: Tensor
    item_num: int
    feature_size: int
    tables: Mapping[str, PairTables]
    fitted_words: Mapping[str, Tensor] | None
    fitted_text: FittedText | None


def write_folder(content: FolderContent, path: str | Path):
    """Write a model folder; a failure leaves nothing new.

    Raises:
        CheckpointError: something that was not written here is in its place, or it cannot be written.
    """
    origin = content.origin
    config = {
        "format_version": files.FORMAT_VERSION,
        "model": origin.model,
        "items": content.item_num,
        "candidates": len(content.tokens),
        "feature_size": content.feature_size,
        "encoders": origin.encoders,
        "settings": origin.settings,
        "run": origin.run,
    }
    with files.new_folder(path) as folder:
        write_json(folder / files.CONFIG, config)
        _save(content.weights, folder / files.WEIGHTS)
        _save({VECTORS: content.item_vectors}, folder / files.VECTORS)
        rows = ({"item": token, "title": content.titles.get(token, "")} for token in content.tokens)
        write_lines(folder / files.ITEMS, map(json.dumps, rows))
        if content.tables:
            arrays = {f"{kind}.{part}": vars(one)[part] for kind, one in content.tables.items() for part in TABLE}
            arrays |= {f"{FITTED_WORDS}{name}": part for name, part in (content.fitted_words or {}).items()}
            _save(arrays, folder / files.EVIDENCE)
        if content.fitted_text is not None:
            fitted = {name: torch.from_numpy(array.copy()) for name, array in content.fitted_text.arrays().items()}
            _save(fitted, folder / files.TEXT)
        first = content.tokens[1], content.titles.get(content.tokens[1], "")
        size = sum(one.stat().st_size for one in folder.iterdir())
        write_lines(folder / files.CARD, [model_card(config, size, *first)])


def _save(tensors: Mapping[str, Tensor], path: Path):
    save_file({name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}, path)
    # safetensors makes its files private.
    path.chmod(path.parent.stat().st_mode & 0o666)


def read_folder(folder: Path) -> FolderContent:
    """Return what a model folder holds, after checking its format, hashes, shapes and numbers; nothing is executed.

    Raises:
        CheckpointError: a file is missing, differs from what was written, or holds what does not fit together.
    """
    names = files.checked_files(folder)
    config = files.read_json(folder / files.CONFIG)
    files.check_version(config, folder)
    kinds = {"model": str, "settings": dict, "run": dict, "items": int, "candidates": int, "feature_size": int}
    wrong = [key for key, kind in kinds.items() if type(config.get(key)) is not kind]
    encoders = config.get("encoders")
    are_encoders = encoders is None or (isinstance(encoders, list) and all(isinstance(one, dict) for one in encoders))
    if wrong or not are_encoders:
        raise CheckpointError(f"{folder / files.CONFIG} has no usable {(wrong or ['encoders'])[0]}")
    tokens, titles = _read_items(folder / files.ITEMS)
    item_vectors = _load(folder / files.VECTORS).get(VECTORS)
    is_matrix = item_vectors is not None and item_vectors.dtype == torch.float32 and item_vectors.dim() == 2
    if not is_matrix or not item_vectors.isfinite().all():
        raise CheckpointError(f"{folder / files.VECTORS} has no matrix {VECTORS} of finite float32 numbers")
    counts = {"items": len(tokens), "vectors": len(item_vectors), "candidates": config["candidates"]}
    if len(set(counts.values())) > 1 or not 1 < config["items"] <= len(tokens) or config["feature_size"] < 0:
        told = ", ".join(f"{count} {name}" for name, count in counts.items())
        raise CheckpointError(f"model folder {folder} does not fit together: {told}, {config['items']} of the model")
    tables, words = {}, None
    if files.EVIDENCE in names:
        tables, words = _read_evidence(folder / files.EVIDENCE, config["items"], len(tokens))
    settings = {key: value for key, value in config["settings"].items() if key not in OF_MACHINE}
    return FolderContent(
        Origin(config["model"], settings, encoders, config["run"]),
        _load(folder / files.WEIGHTS),
        tokens,
        titles,
        item_vectors,
        config["items"],
        config["feature_size"],
        tables,
        words,
        _read_fitted(folder / files.TEXT) if files.TEXT in names else None,
    )


def _load(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, RuntimeError, KeyError) as problem:
        raise CheckpointError(f"{path} is damaged: {str(problem)[:200]}; copy the folder again") from problem


def _read_items(path: Path) -> tuple[list[str], dict[str, str]]:
    tokens, titles = [], {}
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                row = json.loads(line)
                token, title = row["item"], row["title"]
            except (ValueError, KeyError, TypeError, RecursionError) as problem:
                raise CheckpointError(f'{path}, line {number}: not {{"item": "…", "title": "…"}}') from problem
            if not isinstance(token, str) or not isinstance(title, str) or token in titles:
                raise CheckpointError(f"{path}, line {number}: {shown(token)} is not a text or occurs twice")
            tokens.append(token)
            titles[token] = title
    return tokens, {token: title for token, title in titles.items() if title}


def _read_evidence(path: Path, item_num: int, count: int) -> tuple[dict[str, PairTables], dict[str, Tensor] | None]:
    """Return the tables of each kind of evidence, and what was fitted to words."""
    arrays = _load(path)
    of_words = [name for name in arrays if name.startswith(FITTED_WORDS)]
    words = {name.removeprefix(FITTED_WORDS): arrays.pop(name) for name in of_words}
    kinds = dict.fromkeys(name.partition(".")[0] for name in arrays)
    tables = {}
    for kind in kinds:
        parts = [arrays.get(f"{kind}.{part}") for part in TABLE]
        if not _is_table(parts, count if kind == "words" else item_num):
            raise CheckpointError(f"{path} has no usable table of {shown(kind)} for {item_num} items")
        tables[kind] = PairTables(*parts)
    try:
        if words:
            FittedWords.of({name: part.numpy() for name, part in words.items()})
    except FeatureError as problem:
        raise CheckpointError(f"{path}: {problem}") from problem
    if ("words" in tables) != bool(words):
        raise CheckpointError(f"{path} has a table of words without what it was fitted to, or this without the table")
    return tables, words or None


def _is_table(parts: list[Tensor | None], size: int) -> bool:
    """Return whether tensors are one table of a square matrix, so that no entry lies outside of it."""
    if any(part is None or part.dtype != kind for part, kind in zip(parts, TABLE_KINDS, strict=True)):
        return False
    starts, columns, values = parts
    if starts.shape != (1, size + 1) or columns.dim() != 1 or values.shape != columns.shape:
        return False
    is_ascending = starts[0, 0] == 0 and starts[0, -1] == len(columns) and bool((starts.diff() >= 0).all())
    is_inside = not len(columns) or bool(columns.min() >= 0 and columns.max() < size)
    return is_ascending and is_inside and bool(values.isfinite().all() and (values >= 0).all())


def _read_fitted(path: Path) -> FittedText:
    try:
        return FittedText.of({name: part.numpy() for name, part in _load(path).items()})
    except FeatureError as problem:
        raise CheckpointError(f"{path}: {problem}") from problem

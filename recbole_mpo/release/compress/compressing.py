"""Compress a checkpoint in one or several ways, and report what each is worth."""

import copy
import hashlib
import json
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from recbole_mpo.common.errors import CheckpointError
from recbole_mpo.common.files import file_hash, write_json
from recbole_mpo.layers.mpo.convert import merge_mpo, mpo_layers
from recbole_mpo.layers.replace import place
from recbole_mpo.model.scoring import CosineScoring
from recbole_mpo.model.unisrec import UniSRec
from recbole_mpo.quick_start.experiment import Experiment
from recbole_mpo.quick_start.record import write_ranks
from recbole_mpo.release.compress import measuring
from recbole_mpo.release.compress.compress_options import Options
from recbole_mpo.release.compress.compressed_files import artefact_bytes, write_compressed
from recbole_mpo.release.compress.context import Context
from recbole_mpo.release.compress.fast_int8 import FastInt8Linear
from recbole_mpo.release.compress.further_training import FurtherTraining
from recbole_mpo.release.compress.item_tables import StoredItems
from recbole_mpo.release.compress.method import WEIGHT_BITS, Step, name_of_chain, parse_variants
from recbole_mpo.release.compress.methods import METHODS
from recbole_mpo.release.compress.target_size import choose_strength
from recbole_mpo.release.compress.variant_report import REPORT, is_own_report, write_report
from recbole_mpo.release.dense_twin import low_rank_layers

UNCOMPRESSED, AS_TRAINED = "uncompressed", "as trained"
RECORD, RANKS = "record.json", "ranks.npz"


def compress_checkpoint(
    path: str | Path, output: str | Path, options: Options, overrides: dict | None = None
) -> list[dict]:
    """Write compressed models of a checkpoint, each into a folder of its own, and a report; return its rows.

    A variant that an earlier call with the same options finished is not computed again.

    Args:
        path: file of a checkpoint of UniSRec, MPORec or LoRA.
        output: folder for the models and ``report.json``, ``.md``, ``.csv``, ``.html`` and ``.svg``.
        options: the methods and how they are applied.
        overrides: settings that override those of the checkpoint.

    Raises:
        CheckpointError: the checkpoint cannot be read, or ``output`` has files that are not of this command.
        ConfigError: methods do not fit together or the model.
        DataError: the dataset cannot be read.
    """
    options.check()
    variants = parse_variants(options.method, METHODS, options.target_ratio is not None)
    options.check_used([step for steps in variants for step in steps])
    output = Path(output)
    _check_output(output)
    compression = Compression(path, output, options, overrides)
    _mark(output)
    rows = compression.references()
    for steps in variants:
        is_trained = any(step.method.is_trained for step in steps)
        for epochs in dict.fromkeys(options.finetune_epochs) if is_trained else (0,):
            rows.append(compression.row(steps, epochs))
            # What is finished can be read while the rest is computed.
            write_report(output, rows, compression.header())
    return rows


def _check_output(output: Path):
    if output.is_file():
        raise CheckpointError(f"output {output} is a file; name a folder")
    if output.is_dir() and any(output.iterdir()) and not is_own_report(output):
        raise CheckpointError(f"output {output} exists and is not of compress; name another folder, or empty it first")


def _mark(output: Path):
    """Make the folder of a report, and mark it as one."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        if not (output / REPORT).exists():
            write_report(output, [], {})
    except OSError as problem:
        raise CheckpointError(f"output {output} cannot be written: {problem.strerror}") from problem


class Compression:
    """A checkpoint's model, and its compressed variants.

    Args:
        path: file of the checkpoint.
        output: folder for the variants.
        options: how they are made.
        overrides: settings that override those of the checkpoint.
    """

    def __init__(self, path: str | Path, output: Path, options: Options, overrides: dict | None):
        self.experiment, self.model, state = Experiment.from_checkpoint(
            path, {"show_progress": False, **(overrides or {}), "use_gpu": False}
        )
        check_model(self.model, state["model"], path)
        self.settings = self.experiment.config.plain()
        # The dense model is trained on, whose cores have no stages.
        if self.settings.get("mpo_strategy") == "progressive":
            self.experiment.config["mpo_strategy"] = "full"
        self.model.eval()
        self.dense = dense_copy(self.model)
        self.output, self.options = output, options
        self.measures = measuring.Measures(self.experiment, output)
        self.source = {"model": state["model"], "dataset": self.settings["dataset"], "sha256": file_hash(path)}
        self.overrides = overrides or {}
        self.weights, self.scores, self.reference = measuring.weights_of(self.dense), None, None

    def header(self) -> dict:
        """Return what all rows share: the checkpoint, and what computed."""
        return {
            "checkpoint": self.source,
            "options": asdict(self.options),
            "torch": torch.__version__,
            "threads_of_latency": 1,
            "users": {split: len(ranks) for split, ranks in self.reference.items()},
        }

    def references(self) -> list[dict]:
        """Return the rows of the uncompressed model: with its MPO layers if it has any, dense, and trained further."""
        self.reference, self.scores = self.measures.ranks(self.model), self.measures.scores(self.model)
        layers = mpo_layers(self.model).values()
        # Inserted cores and padding are no part of the files.
        has_row = layers and not any(len(layer.expansion) or layer.pad for layer in layers)
        rows = [self._measured(AS_TRAINED, [], 0, self.model)] if has_row else []
        rows += [self._measured(UNCOMPRESSED, [], 0, self.dense)]
        trained = [epochs for epochs in dict.fromkeys(self.options.finetune_epochs) if epochs]
        return rows + [self._measured(UNCOMPRESSED, [], epochs, None) for epochs in trained]

    def row(self, steps: list[Step], epochs: int) -> dict:
        """Return the row of one chain of methods."""
        name = name_of_chain(steps)
        if any(step.method.bounds and step.strength is None for step in steps):
            name += f" to {self.options.target_ratio:g}"
        return self._measured(name, steps, epochs, None)

    def _measured(self, name: str, steps: list[Step], epochs: int, model: nn.Module | None) -> dict:
        folder = self.output / _folder_name(name, epochs)
        identity = self._identity(name, epochs)
        if (row := _finished(folder, identity)) is not None:
            return row
        folder.mkdir(exist_ok=True)
        # A record of other options must not vouch for what is written now.
        (folder / RECORD).unlink(missing_ok=True)
        begin = time.perf_counter()
        training = FurtherTraining(self.experiment)
        context = self._context(training, epochs)
        if model is None:
            steps = self._with_strengths(steps)
            model = self.apply(steps, context, training if epochs else None)
        seconds = time.perf_counter() - begin - training.seconds
        write_compressed(folder, model, context, self.settings, name_of_chain(steps))
        row = {
            "identity": identity,
            "name": name_of_chain(steps) if steps else name,
            "finetune_epochs": epochs,
            "seconds": {"compress": seconds, "train": training.seconds},
            **self._figures(folder, model, context),
            "notes": context.notes,
        }
        write_json(folder / RECORD, row)
        return row

    def _identity(self, name: str, epochs: int) -> str:
        options = replace(self.options, method=name, finetune_epochs=[epochs])
        decisive = {"source": self.source, "options": asdict(options), "settings": self.overrides}
        return hashlib.sha256(json.dumps(decisive, sort_keys=True, default=str).encode()).hexdigest()

    def _context(self, training: FurtherTraining, epochs: int) -> Context:
        return Context(
            seed=self.options.seed,
            train=training if epochs else None,
            score=self.measures.valid_score if "valid" in self.reference else None,
            epochs=epochs,
            penalty=self.options.l1,
            largest_drop=self.options.largest_drop,
        )

    def apply(self, steps: list[Step], context: Context, training: FurtherTraining | None) -> nn.Module:
        """Return a copy of the dense model after a chain of methods, trained further before its numbers are rounded."""
        model = copy.deepcopy(self.dense)
        first = next((n for n, step in enumerate(steps) if step.method.stage >= WEIGHT_BITS), len(steps))
        for step in steps[:first]:
            model = step.method.apply(model, step.strength, context)
        if training is not None:
            training(model, context, context.epochs)
        for step in steps[first:]:
            model = step.method.apply(model, step.strength, context)
        return model.eval()

    def _with_strengths(self, steps: list[Step]) -> list[Step]:
        def write(trial: list[Step], folder: str):
            context = Context(seed=self.options.seed)
            model = self.apply(trial, context, None)
            write_compressed(folder, model, context, self.settings, name_of_chain(trial))

        return choose_strength(steps, self.options.target_ratio, write, self.output / UNCOMPRESSED)

    def _figures(self, folder: Path, model: nn.Module, context: Context) -> dict:
        ranks = self.measures.ranks(model)
        write_ranks({split: {"rank": values.astype(np.int32)} for split, values in ranks.items()}, folder / RANKS)
        kept = context.notes.get("experts", {}).get("kept")
        return {
            "bytes": artefact_bytes(folder),
            "params": _params(model),
            "load_seconds": measuring.load_seconds(folder),
            "latency_ms": self.measures.latencies(model),
            **{split: measuring.metrics_of(values) for split, values in ranks.items()},
            "difference": {
                split: measuring.paired_differences(values, self.reference[split]) for split, values in ranks.items()
            },
            "scores": measuring.compare_scores(self.measures.scores(model), self.scores),
            "layer_errors": measuring.layer_errors(measuring.weights_of(model), self.weights, kept),
        }


def check_model(model: nn.Module, name: str, path: str | Path):
    """Refuse a model that cannot be compressed.

    Args:
        model: the model of a checkpoint.
        name: its name.
        path: file of the checkpoint, for messages.

    Raises:
        CheckpointError: its layers or tables are of a kind that compressed files have no place for.
    """
    problem = ""
    if not isinstance(model, UniSRec) or not model.uses_text:
        problem = f"it is of {name}; compress works with UniSRec, MPORec and LoRA that read text"
    elif model.has_patches:
        problem = "it has patches (adapter=patches)"
    elif model.evidence is not None:
        problem = "it has evidence, whose tables compress does not write"
    elif type(model.scoring) is not CosineScoring:
        problem = "ids score its items too (id_side=output)"
    if problem:
        raise CheckpointError(f"checkpoint {path} cannot be compressed: {problem}")


def dense_copy(model: nn.Module) -> nn.Module:
    """Return a copy of a model in which MPO layers and low-rank updates are merged into dense layers."""
    dense = merge_mpo(copy.deepcopy(model))
    for name, module in low_rank_layers(dense).items():
        layer = nn.Linear(module.in_features, module.out_features, module.bias is not None, device="meta")
        layer.weight, layer.bias = nn.Parameter(module.merged_weight().detach()), module.bias
        place(dense, name, layer)
    return dense.eval()


def _params(model: nn.Module) -> dict[str, int]:
    parameters = [*model.parameters()]
    if isinstance(model.items, StoredItems):
        # The adaptor is written beside the item vectors that it computed.
        parameters += [parameter for part in model.items.source.modules.values() for parameter in part.parameters()]
    # Codes and biases of these are no parameters of torch's, but as many numbers as the matrix had.
    fast = [module for module in model.modules() if isinstance(module, FastInt8Linear)]
    parameters += [tensor for module in fast for tensor in (module.codes, module.bias) if tensor is not None]
    return {
        "total": sum(parameter.numel() for parameter in parameters),
        "trainable": sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        "nonzero": sum(int(parameter.detach().count_nonzero()) for parameter in parameters),
    }


def _folder_name(name: str, epochs: int) -> str:
    plain = name.replace(":", "-").replace(" ", "-")
    return f"{plain}-trained-{epochs}" if epochs else plain


def _finished(folder: Path, identity: str) -> dict | None:
    """Return the row of a variant that was finished with the same options."""
    try:
        row = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return row if row.get("identity") == identity else None

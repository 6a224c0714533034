"""Compress a checkpoint in one or several ways, and report what each is worth."""

import copy
import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import nn

from recbole_mpo.common.claims import claimed
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
from recbole_mpo.release.compress.variants import (
    AS_TRAINED,
    CLAIM,
    RANKS,
    RECORD,
    UNCOMPRESSED,
    Variant,
    finished_row,
    plan_variants,
)
from recbole_mpo.release.dense_twin import low_rank_layers
from recbole_mpo.release.origin import OF_MACHINE
from recbole_mpo.text.item_features import titles_of

# Settings of the run that change no figure: a finished variant stays finished on another machine.
_WITHOUT_EFFECT = OF_MACHINE | {"config_files"}


def compress_checkpoint(
    path: str | Path, output: str | Path, options: Options, overrides: dict | None = None
) -> list[dict]:
    """Write compressed models of a checkpoint, each into a folder of its own, and a report; return its rows.

    A variant that an earlier call with the same options finished is not computed again. Several processes may share the
    work: each takes variants that no other is at, and returns the rows that are finished by then.

    Args:
        path: file of a checkpoint of UniSRec, MPORec or LoRA.
        output: folder for the models and ``report.json``, ``.md``, ``.csv``, ``.html`` and ``.svg``.
        options: the methods and how they are applied.
        overrides: settings that override those of the checkpoint; with ``use_gpu: true`` further training is on a GPU,
            and all else on the processor.

    Raises:
        CheckpointError: the checkpoint cannot be read, or ``output`` has files that are not of this command.
        ConfigError: methods do not fit together or the model.
        DataError: the dataset cannot be read.
    """
    options.check()
    chains = parse_variants(options.method, METHODS, bool(options.target_ratio))
    options.check_used([step for steps in chains for step in steps])
    output = Path(output)
    _check_output(output)
    compression = Compression(path, output, options, overrides)
    _mark(output)
    plan = plan_variants(chains, options, compression.has_mpo)
    rows = []
    for variant in plan:
        compression.make(variant)
        rows = compression.finished(plan)
        # What is finished can be read while the rest is computed; sizes are shares of the uncompressed one's.
        if any(row["name"] == UNCOMPRESSED for row in rows):
            write_report(output, rows, compression.header())
    if not rows:
        raise CheckpointError(f"no variant in {output} is finished, whose times could be taken; leave times=only out")
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
        self.overrides = {key: value for key, value in (overrides or {}).items() if key not in _WITHOUT_EFFECT}
        uses_gpu = bool((overrides or {}).get("use_gpu")) and torch.cuda.is_available()
        self.device = torch.device("cuda" if uses_gpu else "cpu")
        self.titles = titles_of(self.experiment.config)
        self.weights = measuring.weights_of(self.dense)

    @cached_property
    def reference(self) -> dict[str, np.ndarray]:
        """The ranks of the model as it was trained, by split."""
        return self.measures.ranks(self.model)

    @cached_property
    def scores(self) -> torch.Tensor:
        """The scores of the model as it was trained, for some histories."""
        return self.measures.scores(self.model)

    @property
    def has_mpo(self) -> bool:
        """Whether the model as trained has cores that files can hold: inserted ones and padding are no part of them."""
        layers = mpo_layers(self.model).values()
        return bool(layers) and not any(len(layer.expansion) or layer.pad for layer in layers)

    def header(self) -> dict:
        """Return what all rows share: the checkpoint, and what computed."""
        return {
            "checkpoint": self.source,
            "options": asdict(self.options),
            "torch": torch.__version__,
            "threads_of_latency": 1,
            "users": {split: len(ranks) for split, ranks in self.reference.items()},
        }

    def finished(self, plan: list[Variant]) -> list[dict]:
        """Return the rows of the variants that are finished, in the order of the plan."""
        rows = [finished_row(self.output / variant.folder, self._identity(variant)) for variant in plan]
        return [row for row in rows if row is not None]

    def make(self, variant: Variant):
        """Write the files and the row of a variant, unless they are there or another process is at them."""
        folder, identity = self.output / variant.folder, self._identity(variant)
        # All others are compared with the first ones.
        with claimed(folder / CLAIM, waits=variant.is_measured_first) as is_mine:
            if not is_mine:
                return
            row = finished_row(folder, identity)
            if row is None and self.options.times != "only":
                # A record of other options must not vouch for what is written now.
                (folder / RECORD).unlink(missing_ok=True)
                row = self._row(variant, folder, identity)
                write_json(folder / RECORD, row)
            if row is not None and self._lacks_times(row):
                write_json(folder / RECORD, {**row, **self.measures.times(folder)})

    def _lacks_times(self, row: dict) -> bool:
        return {"with": "latency_ms" not in row, "without": False, "only": True}[self.options.times]

    def _row(self, variant: Variant, folder: Path, identity: str) -> dict:
        begin = time.perf_counter()
        training = FurtherTraining(self.experiment, self.device)
        context = self._context(training, variant.epochs)
        steps = self._with_strengths(variant)
        if variant.is_measured_first:
            model = self.model if variant.name == AS_TRAINED else self.dense
        else:
            model = self.apply(steps, context, training if variant.epochs else None)
        seconds = time.perf_counter() - begin - training.seconds
        write_compressed(folder, model, context, self.settings, name_of_chain(steps), self.titles)
        return {
            "identity": identity,
            "name": name_of_chain(steps) if steps else variant.name,
            "ratio": variant.ratio,
            "finetune_epochs": variant.epochs,
            "trained_on": self.device.type if variant.epochs else None,
            "seconds": {"compress": seconds, "train": training.seconds},
            **self._figures(folder, model, context),
            "notes": context.notes,
        }

    def _identity(self, variant: Variant) -> str:
        options = asdict(self.options) | {
            "method": variant.name,
            "finetune_epochs": [variant.epochs],
            "target_ratio": variant.ratio,
        }
        del options["times"]
        decisive = {"source": self.source, "options": options, "settings": self.overrides}
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

    def apply(self, steps: Sequence[Step], context: Context, training: FurtherTraining | None) -> nn.Module:
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

    def _with_strengths(self, variant: Variant) -> list[Step]:
        def write(trial: list[Step], folder: str):
            context = Context(seed=self.options.seed)
            model = self.apply(trial, context, None)
            write_compressed(folder, model, context, self.settings, name_of_chain(trial))

        return choose_strength(list(variant.steps), variant.ratio, write, self.output / UNCOMPRESSED)

    def _figures(self, folder: Path, model: nn.Module, context: Context) -> dict:
        ranks = self.measures.ranks(model)
        write_ranks({split: {"rank": values.astype(np.int32)} for split, values in ranks.items()}, folder / RANKS)
        kept = context.notes.get("experts", {}).get("kept")
        return {
            "bytes": artefact_bytes(folder),
            "params": _params(model),
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

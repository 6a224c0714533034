"""Weights and settings of a checkpoint of UniSRec's published code, which pickles RecBole's ``Config``.

It is read without unpickling: objects of RecBole are not made, and the file is refused if it names anything else that
is neither a tensor nor plain data. See ``inert_pickle``.
"""

import math
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from recbole_mpo.common.errors import CheckpointError
from recbole_mpo.common.terminal import one_line
from recbole_mpo.trainer.checkpoint import check_archive
from recbole_mpo.trainer.checkpoint_content import OTHERS
from recbole_mpo.trainer.inert_pickle import (
    LARGEST_PICKLE,
    Inert,
    Refused,
    RefusedName,
    StoredNumbers,
    StoredTensor,
    read_pickle,
)

# torch names the folder in the archive after the file.
PICKLE_NAME = re.compile(r"([^/]+)/data\.pkl")
BYTES_AT_A_TIME = 1 << 20
# UniSRec's published code reads text features as they are.
FEATURES_AS_THEY_ARE = {"feature_center": False, "feature_scale": False}


def read_published(path: str | Path) -> dict:
    """Return weights, settings and epoch of a checkpoint of UniSRec's published code or of RecBole, on the CPU.

    The optimizer is not read. About as much memory is used as the file is long.

    Args:
        path: a file of torch 1.6 or later.

    Returns:
        ``state_dict``, the tensors by name; ``config``, the settings that are plain values; ``epoch``.

    Raises:
        CheckpointError: the file is missing or damaged, has no weights, or holds what is neither a tensor nor plain
            data nor an object of RecBole; the message names it.
    """
    path = Path(path)
    try:
        check_archive(path)
        with zipfile.ZipFile(path) as archive:
            return _Reader(archive).content()
    except Refused as problem:
        what = f"pickled objects, which can run code ({problem})" if isinstance(problem, RefusedName) else problem
        raise CheckpointError(
            f"checkpoint {path} holds {what}, so it was not loaded; save only its weights, "
            "torch.save({'state_dict': ...}), with the program that wrote it"
        ) from problem
    # A foreign archive may contain anything.
    except Exception as problem:
        reason = one_line(str(problem) or type(problem).__name__)[:200]
        raise CheckpointError(
            f"checkpoint {path} is damaged or truncated, or not a checkpoint ({reason}); {OTHERS}"
        ) from problem


class _Reader:
    """Reads the parts of an open archive of ``torch.save``."""

    def __init__(self, archive: zipfile.ZipFile):
        self.archive = archive
        pickles = [match[1] for name in archive.namelist() if (match := PICKLE_NAME.fullmatch(name))]
        if len(pickles) != 1:
            raise zipfile.BadZipFile("not an archive of torch.save")
        self.folder = pickles[0]
        self.numbers: dict[StoredNumbers, Tensor] = {}
        self.contents: dict[str, bytearray] = {}

    def content(self) -> dict:
        """Return what is used of the file."""
        if f"{self.folder}/byteorder" in self.archive.namelist():
            order = self.part("byteorder", most=10).decode("ascii")
            if order != sys.byteorder:
                raise Refused(f"numbers of a {order}-endian machine")
        stored = read_pickle(self.part("data.pkl", most=LARGEST_PICKLE))
        weights = stored.get("state_dict") if type(stored) is dict else None
        if type(weights) is not dict:
            raise Refused("no 'state_dict'")
        epoch = stored.get("epoch")
        return {
            "state_dict": {name: self.tensor(name, weight) for name, weight in weights.items()},
            "config": {**_plain_settings(stored.get("config")), **FEATURES_AS_THEY_ARE},
            "epoch": epoch if type(epoch) is int else 0,
        }

    def part(self, name: str, most: int) -> bytes:
        """Return a part of the archive that has at most so many bytes."""
        info = self.archive.getinfo(f"{self.folder}/{name}")
        if info.file_size > most:
            raise Refused(f"{info.file_size:,} bytes in {name}, where at most {most:,} are read")
        return self.archive.read(info)

    def tensor(self, name, weight) -> Tensor:
        """Return the tensor of a description, as a view of its numbers."""
        if type(name) is not str or not isinstance(weight, StoredTensor):
            raise Refused("a 'state_dict' with other entries than tensors by name")
        numbers = self.numbers.get(weight.numbers)
        if numbers is None:
            numbers = self.numbers[weight.numbers] = self.read_numbers(weight.numbers)
        if not math.prod(weight.shape):
            return numbers.new_empty(weight.shape)
        return numbers.as_strided(weight.shape, weight.strides, weight.offset)

    def read_numbers(self, stored: StoredNumbers) -> Tensor:
        """Return the numbers of a part of the archive in one dimension."""
        size = stored.count * stored.dtype.itemsize
        content = self.content_of(f"data/{stored.key}")
        if len(content) != size:
            raise Refused(f"{len(content):,} bytes in data/{stored.key}, which should have {size:,}")
        if not size:
            return torch.empty(0, dtype=stored.dtype)
        if stored.dtype == torch.bool:
            return torch.frombuffer(content, dtype=torch.uint8) != 0
        return torch.frombuffer(content, dtype=stored.dtype)

    def content_of(self, name: str) -> bytearray:
        """Return the bytes of a part, held once however many tensors and kinds of numbers refer to them."""
        if name not in self.contents:
            info = self.archive.getinfo(f"{self.folder}/{name}")
            # The check of the archive has shown that the file is at least as long.
            content, begin = bytearray(info.file_size), 0
            with self.archive.open(info) as file:
                while count := file.readinto(memoryview(content)[begin : begin + BYTES_AT_A_TIME]):
                    begin += count
            if begin != len(content):
                raise EOFError(f"{name} ends early")
            self.contents[name] = content
        return self.contents[name]


def _plain_settings(config: Any) -> dict:
    """Return the settings of a Config, or of a dict, that are numbers, texts, or lists of them."""
    if isinstance(config, Inert) and type(config.state) is dict:
        config = config.state.get("final_config_dict")
    if type(config) is not dict:
        return {}
    return {key: value for key, value in config.items() if type(key) is str and _is_plain(value)}


def _is_plain(value) -> bool:
    if type(value) in (list, tuple):
        return all(_is_scalar(entry) for entry in value)
    return _is_scalar(value)


def _is_scalar(value) -> bool:
    return value is None or type(value) in (bool, int, float, str)

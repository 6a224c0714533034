"""The tensors and plain data of a pickle that ``torch.save`` wrote, read without making any object of it.

A pickle is a program. Here its opcodes are decoded by ``pickletools`` and carried out by a small machine that knows
lists, dicts, tuples, numbers and texts. It looks up no name: a name is an entry of a short table, or the pickle is
refused. A call, too, calls nothing: it gives the description of a tensor, an empty dict, or an ``Inert``.
"""

import math
import pickletools
import re
from enum import Enum, auto
from typing import Any, NamedTuple

import torch

from recbole_mpo.common.terminal import one_line

# Config, weights and optimizer of UniSRec's published code need 30 kB; each byte can cost a hundred in memory.
LARGEST_PICKLE = 1 << 19
MOST_DIMENSIONS = 64
# A key of a storage is part of the name of a file in the archive.
STORAGE_KEY = re.compile(r"[0-9]{1,10}", re.ASCII)


class Refused(Exception):
    """A pickle holds what is not read; the message says what."""


class RefusedName(Refused):
    """A pickle names what it may not; the message is the name."""


class Inert:
    """An object that was not made: its name and what would have been its state."""

    __slots__ = ("name", "state")

    def __init__(self, name: str):
        self.name: str = name
        self.state: Any = None


class StoredNumbers(NamedTuple):
    """Numbers in the archive: the name of their file, their type and how many there are."""

    key: str
    dtype: torch.dtype
    count: int


class StoredTensor(NamedTuple):
    """A tensor that was not made; it lies within its numbers, and has no more entries than these."""

    numbers: StoredNumbers
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Kind(Enum):
    INERT, MAPPING, TENSOR, PARAMETER = auto(), auto(), auto(), auto()


class _Name(NamedTuple):
    """A name that the pickle may use, and what a call of it gives; the type of the numbers, if it is of a storage."""

    text: str
    kind: _Kind | torch.dtype


_STORAGES = {
    "Float": torch.float32, "Double": torch.float64, "Half": torch.float16, "BFloat16": torch.bfloat16,
    "Long": torch.int64, "Int": torch.int32, "Short": torch.int16, "Char": torch.int8, "Byte": torch.uint8,
    "Bool": torch.bool,
}  # fmt: skip
# "module name", exactly. RecBole's Config also names the classes of the model and of YAML's loader.
_NAMES: dict[str, _Kind | torch.dtype] = {
    "collections OrderedDict": _Kind.MAPPING,
    "torch._utils _rebuild_tensor_v2": _Kind.TENSOR,
    "torch._utils _rebuild_parameter": _Kind.PARAMETER,
    **{f"torch {name}Storage": dtype for name, dtype in _STORAGES.items()},
    **dict.fromkeys(
        (
            *("torch device", "torch Size", *(str(dtype).replace(".", " ") for dtype in _STORAGES.values())),
            *("numpy dtype", "numpy.core.multiarray scalar", "numpy._core.multiarray scalar", "_codecs encode"),
            *("__builtin__ set", "builtins set", "yaml.loader FullLoader", "unisrec UniSRec", "config Config"),
        ),
        _Kind.INERT,
    ),
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_PUSHED = set(
    "BININT BININT1 BININT2 LONG1 LONG4 BINFLOAT BINUNICODE SHORT_BINUNICODE BINSTRING SHORT_BINSTRING BINBYTES "
    "SHORT_BINBYTES".split()
)
_PASSED_OVER = {"PROTO", "FRAME", "STOP"}


def read_pickle(data: bytes) -> Any:
    """Return what a pickle of ``torch.save`` holds, with each tensor as a ``StoredTensor``.

    Args:
        data: the pickle.

    Returns:
        Numbers, texts, lists, tuples and dicts as they were; ``StoredTensor`` for tensors; ``Inert`` for the objects of
        RecBole and for other harmless ones, such as devices and numbers of NumPy.

    Raises:
        RefusedName: the pickle names anything else.
        Refused: it is too large, or its parts do not fit together.
        Exception: any other kind, if the data are damaged.
    """
    if len(data) > LARGEST_PICKLE:
        raise Refused(f"a pickle of {len(data):,} bytes, and {LARGEST_PICKLE:,} are read at most")
    machine = _Machine()
    for opcode, argument, _ in pickletools.genops(data):
        machine.step(opcode.name, argument)
    (result,) = machine.stack
    return result


class _Machine:
    """A stack, the stacks that marks have put aside, and what was memorised."""

    def __init__(self):
        self.stack: list = []
        self.marked: list[list] = []
        self.memo: dict[int, Any] = {}

    def step(self, opcode: str, argument: Any):
        """Carry out one opcode."""
        if opcode in _PUSHED:
            self.stack.append(_modest(argument))
        elif opcode in _CONSTANTS:
            self.stack.append(_CONSTANTS[opcode])
        elif opcode in _ACTIONS:
            _ACTIONS[opcode](self, argument)
        elif opcode not in _PASSED_OVER:
            raise Refused(f"the opcode {opcode}, which torch.save does not write")

    def mark(self, _):
        self.marked.append(self.stack)
        self.stack = []

    def since_mark(self) -> list:
        """Return what was pushed since the last mark, and take it off."""
        items, self.stack = self.stack, self.marked.pop()
        return items

    def tuple_since_mark(self, _):
        items = tuple(self.since_mark())
        self.stack.append(items)

    def top(self, count: int) -> tuple:
        """Return the last entries as a tuple, and take them off."""
        return tuple(reversed([self.stack.pop() for _ in range(count)]))

    def memorise(self, index: int | None):
        self.memo[len(self.memo) if index is None else index] = self.stack[-1]

    def extend(self, items: list):
        target = self.stack[-1]
        if type(target) is list:
            target.extend(items)
        elif not isinstance(target, Inert):
            raise Refused(f"entries of {_kind_of(target)}, which is not a list")

    def set_items(self, items: list):
        target, keys = self.stack[-1], items[::2]
        if isinstance(target, Inert):
            return
        if type(target) is not dict or len(items) % 2:
            raise Refused(f"items of {_kind_of(target)}, which is not a dict")
        # The hash of a deeply nested key would end the process.
        if other := [key for key in keys if type(key) not in (str, int)]:
            raise Refused(f"a dict with {_kind_of(other[0])} as a key")
        target.update(zip(keys, items[1::2], strict=True))

    def name(self, pair: str):
        """Push a name, given as ``module name``."""
        module = pair.partition(" ")[0]
        kind = _Kind.INERT if module.split(".")[0] == "recbole" else _NAMES.get(pair)
        if kind is None:
            raise RefusedName(one_line(pair[:200].replace(" ", ".")))
        self.stack.append(_Name(pair.replace(" ", "."), kind))

    def name_of_texts(self, _):
        self.name(" ".join(self.top(2)))

    def name_to_call(self, pair: str):
        """Refuse an opcode of the oldest pickles, by the name that it would call where that says more."""
        self.name(pair)
        raise Refused("the opcode INST, which torch.save does not write")

    def call(self, _):
        self.stack.append(_result_of(*self.top(2)))

    def call_with_keywords(self, _):
        self.stack.append(_result_of(*self.top(3)[:2]))

    def build(self, _):
        (state,) = self.top(1)
        target = self.stack[-1]
        if isinstance(target, Inert):
            target.state = state
        # torch sets the attribute _metadata of a dict of weights.
        elif type(target) is not dict:
            raise Refused(f"a state of {_kind_of(target)}, which has none")

    def persistent(self, _):
        """Push the numbers that an identifier names; where torch had them in memory does not matter."""
        match self.stack.pop():
            case ("storage", _Name(kind=torch.dtype() as dtype), str(key), str(), int(count)) if (
                STORAGE_KEY.fullmatch(key) and count >= 0
            ):
                self.stack.append(StoredNumbers(key, dtype, count))
            case _:
                raise Refused("a reference to what is not a storage of numbers")


_ACTIONS = {
    "MARK": _Machine.mark,
    "EMPTY_LIST": lambda machine, _: machine.stack.append([]),
    "EMPTY_DICT": lambda machine, _: machine.stack.append({}),
    "EMPTY_SET": lambda machine, _: machine.stack.append(Inert("set")),
    "TUPLE": _Machine.tuple_since_mark,
    "TUPLE1": lambda machine, _: machine.stack.append(machine.top(1)),
    "TUPLE2": lambda machine, _: machine.stack.append(machine.top(2)),
    "TUPLE3": lambda machine, _: machine.stack.append(machine.top(3)),
    "APPEND": lambda machine, _: machine.extend(list(machine.top(1))),
    "APPENDS": lambda machine, _: machine.extend(machine.since_mark()),
    "ADDITEMS": lambda machine, _: machine.extend(machine.since_mark()),
    "SETITEM": lambda machine, _: machine.set_items(list(machine.top(2))),
    "SETITEMS": lambda machine, _: machine.set_items(machine.since_mark()),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT", "MEMOIZE"), _Machine.memorise),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda machine, index: machine.stack.append(machine.memo[index])),
    "GLOBAL": _Machine.name,
    "INST": _Machine.name_to_call,
    "STACK_GLOBAL": _Machine.name_of_texts,
    **dict.fromkeys(("REDUCE", "NEWOBJ"), _Machine.call),
    "NEWOBJ_EX": _Machine.call_with_keywords,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.persistent,
}


def _modest(value):
    """Return a number or text; a number of more than 64 bits could cost much time later."""
    if type(value) is int and value.bit_length() > 64:
        raise Refused(f"a number of {value.bit_length():,} bits")
    return value


def _kind_of(value) -> str:
    return value.text if isinstance(value, _Name) else type(value).__name__


def _result_of(called, arguments):
    """Return what stands for the result of a call."""
    if not isinstance(called, _Name) or type(arguments) is not tuple:
        raise Refused(f"a call of {_kind_of(called)}")
    if called.kind is _Kind.INERT:
        return Inert(called.text)
    if called.kind is _Kind.MAPPING and not arguments:
        return {}
    if called.kind is _Kind.TENSOR and len(arguments) in (6, 7):
        return _tensor(*arguments[:4])
    if called.kind is _Kind.PARAMETER and len(arguments) == 3 and isinstance(arguments[0], StoredTensor):
        return arguments[0]
    raise Refused(f"a call of {called.text} with other arguments than torch gives it")


def _tensor(numbers, offset, shape, strides) -> StoredTensor:
    """Return the description of a tensor whose entries all lie within its numbers, none of them many times."""
    counts = [offset, *shape, *strides] if type(shape) is type(strides) is tuple else [None]
    if (
        not isinstance(numbers, StoredNumbers)
        or not all(type(count) is int and count >= 0 for count in counts)
        or not len(shape) == len(strides) <= MOST_DIMENSIONS
    ):
        raise Refused("a tensor without numbers, or without shape and strides")
    size = math.prod(shape)
    last = offset + sum((length - 1) * stride for length, stride in zip(shape, strides, strict=True))
    if size > numbers.count or offset > numbers.count or (size and last >= numbers.count):
        raise Refused(f"a tensor that reaches beyond its {numbers.count:,} numbers")
    return StoredTensor(numbers, offset, shape, strides)

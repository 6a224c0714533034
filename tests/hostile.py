"""Pickles that would run code, take all memory or never end where they were unpickled, opcode by opcode."""

import struct
import sys
from contextlib import contextmanager

# Each is a piece of a pickle that pushes one object. ``WITNESS`` in a command is replaced by the path of a file that
# the command would write.
WITNESS = "WITNESS"

# What Python reports when a process runs something, imports, unpickles or writes.
EVENTS = tuple(
    "exec compile import pickle.find_class ctypes. marshal. os.system os.exec os.posix_spawn os.fork os.spawn socket. "
    "subprocess.Popen urllib. shutil. os.remove os.rename os.mkdir os.chmod os.truncate code.__new__ function.__new__ "
    "object.__setattr__ sys.settrace signal.".split()
)
_seen: list[list[str]] = []


def _hook(event: str, arguments: tuple):
    if _seen and (event.startswith(EVENTS) or (event == "open" and set(str(arguments[1])) & set("wax+"))):
        _seen[-1].append(f"{event} {arguments!r}"[:200])


@contextmanager
def watched():
    """Yield a list of what is run, imported, unpickled or written in the block."""
    # A hook cannot be taken away again; outside of such a block it does nothing.
    if not hasattr(watched, "hook"):
        watched.hook = _hook
        sys.addaudithook(_hook)
    events: list[str] = []
    _seen.append(events)
    try:
        yield events
    finally:
        _seen.pop()


def text(value: str) -> bytes:
    content = value.encode()
    return b"X" + struct.pack("<I", len(content)) + content


def short(value: str) -> bytes:
    """A text of protocol 4."""
    content = value.encode()
    return b"\x8c" + bytes([len(content)]) + content


def name(module: str, of: str) -> bytes:
    return f"c{module}\n{of}\n".encode()


def stack_name(module: str, of: str) -> bytes:
    """A name of protocol 4, which may be dotted."""
    return short(module) + short(of) + b"\x93"


def number(value: int) -> bytes:
    content = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(content)]) + content


def row(*parts: bytes) -> bytes:
    """A tuple."""
    return b"(" + b"".join(parts) + b"t"


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + row(*arguments) + b"R"


def numbers_of(key: str = "0", count: int = 4, kind: bytes = name("torch", "FloatStorage")) -> bytes:
    return row(text("storage"), kind, text(key), text("cpu"), number(count)) + b"Q"


def tensor(offset: int = 0, shape=(4,), strides=(1,), numbers: bytes | None = None) -> bytes:
    parts = (numbers_of() if numbers is None else numbers, number(offset), row(*map(number, shape)))
    hooks = call(name("collections", "OrderedDict"))
    return call(name("torch._utils", "_rebuild_tensor_v2"), *parts, row(*map(number, strides)), b"\x89", hooks)


def weights(*entries: bytes) -> bytes:
    """A dict of weights, given as names and values in turn."""
    return b"}(" + b"".join(entries) + b"u"


def whole(state_dict: bytes = weights(), config: bytes = b"N") -> bytes:
    """A pickle of a checkpoint."""
    return b"\x80\x04" + b"}(" + text("config") + config + text("state_dict") + state_dict + b"u."


TOUCH = text(f"touch {WITNESS}")
WRITE = text(f"open({WITNESS!r}, 'w')")
# Those that name what runs code, by the name that the error has to hold.
NAMES: dict[str, bytes] = {
    "posix.system": call(name("posix", "system"), TOUCH),
    "os.system": call(name("os", "system"), TOUCH),
    "nt.system": call(stack_name("nt", "system"), TOUCH),
    "posix.popen": call(stack_name("posix", "popen"), TOUCH),
    "builtins.eval": call(name("builtins", "eval"), WRITE),
    "__builtin__.exec": call(name("__builtin__", "exec"), WRITE),
    "builtins.open": call(name("builtins", "open"), text(WITNESS), text("w")),
    "builtins.__import__": call(name("builtins", "__import__"), text("antigravity")),
    "builtins.getattr": call(call(name("builtins", "getattr"), name("recbole", "os"), text("system")), TOUCH),
    "operator.attrgetter": call(call(name("operator", "attrgetter"), text("os.system")), name("recbole", "x")),
    "operator.methodcaller": call(name("operator", "methodcaller"), text("system"), TOUCH),
    "functools.partial": call(call(name("functools", "partial"), name("recbole", "x"), TOUCH)),
    "functools.reduce": call(name("functools", "reduce"), name("recbole", "x"), row()),
    "subprocess.Popen": name("subprocess", "Popen") + row(TOUCH) + b"\x81",
    "subprocess.run": name("subprocess", "run") + row(TOUCH) + b"}\x92",
    "runpy.run_path": call(name("runpy", "run_path"), text(WITNESS)),
    "pickle.loads": call(name("pickle", "loads"), b"C\x01."),
    "copyreg._reconstructor": call(name("copyreg", "_reconstructor"), name("recbole", "x"), name("recbole", "y"), b"N"),
    "importlib.import_module": call(name("importlib", "import_module"), text("antigravity")),
    "torch.hub.load": call(name("torch.hub", "load"), text("a/b"), text("c")),
    "torch.load": call(name("torch", "load"), text(WITNESS)),
    "torch.storage._load_from_bytes": call(name("torch.storage", "_load_from_bytes"), b"C\x01."),
    "torch._utils._rebuild_wrapper_subclass": call(name("torch._utils", "_rebuild_wrapper_subclass"), row()),
    "torch._utils._rebuild_tensor_v3": call(name("torch._utils", "_rebuild_tensor_v3"), row()),
    "torch._tensor._rebuild_from_type_v2": call(
        name("torch._tensor", "_rebuild_from_type_v2"), name("recbole", "os"), name("recbole", "x"), row(), b"N"
    ),
    "torch.jit._load_for_lite_interpreter": name("torch.jit", "_load_for_lite_interpreter"),
    "numpy.load": call(name("numpy", "load"), text(WITNESS)),
    "numpy._core.multiarray._reconstruct": call(name("numpy._core.multiarray", "_reconstruct"), row()),
    # Names that begin as allowed ones do, or that lead on from them.
    "collections.OrderedDict.__init__.__globals__": stack_name("collections", "OrderedDict.__init__.__globals__"),
    "torch._utils._rebuild_tensor_v2.__globals__": stack_name("torch._utils", "_rebuild_tensor_v2.__globals__"),
    "torch.FloatStorage.__class__": stack_name("torch", "FloatStorage.__class__"),
    "torch._utils": stack_name("torch", "_utils"),
    ".collections.OrderedDict": stack_name("", "collections OrderedDict"),
    "recboleX.Config": name("recboleX", "Config"),
    "sys.modules": name("sys", "modules"),
    "yaml.unsafe_load": call(name("yaml", "unsafe_load"), text("!!python/name:os.system")),
    "_codecs.lookup": name("_codecs", "lookup"),
    "inst.f": b"(" + TOUCH + b"iinst\nf\n",
}
# Those that are wrong in another way: a piece that is put in place of the weights, and a part of the error.
ODD: dict[str, tuple[bytes, str]] = {
    "a call of an object of RecBole": (call(call(name("recbole.x", "Config"))), "a call of Inert"),
    "a call of a text": (call(text("os.system"), TOUCH), "a call of str"),
    "a call of a storage": (call(name("torch", "FloatStorage"), number(1 << 40)), "a call of torch.FloatStorage"),
    "a call of OrderedDict with entries": (call(name("collections", "OrderedDict"), row()), "with other arguments"),
    "a call without a tuple": (name("collections", "OrderedDict") + b"]R", "a call of collections.OrderedDict"),
    "a state for a function": (name("torch._utils", "_rebuild_tensor_v2") + b"}b", "a state of torch._utils._rebuild"),
    "a state for a class": (name("torch", "Size") + b"N" + weights(text("x"), b"N") + b"\x86b", "state of torch.Size"),
    "a state for a tensor": (tensor() + b"}b", "a state of StoredTensor"),
    "a state for a list": (b"]}b", "a state of list"),
    "entries of a text": (text("a") + b"Na", "entries of str"),
    "items of a list": (b"]NNs", "items of list"),
    "an odd number of items": (b"}(NNNu", "items of dict"),
    "a tuple as a key": (weights(row(row(row())), b"N"), "tuple as a key"),
    "a deep tuple as a key": (b"}()" + b"\x85" * 50_000 + b"Nu", "tuple as a key"),
    "a recursive dict": (b"}q\x00(" + text("a") + b"h\x00u", "other entries than tensors"),
    "a recursive list": (b"]q\x00h\x00a", "no 'state_dict'"),
    "lists in lists": (b"]" * 30_000 + b"a" * 29_999, "no 'state_dict'"),
    "tuples in tuples": (b")" + b"\x85" * 50_000, "no 'state_dict'"),
    "states in states": ((name("recbole", "x") + b")R") * 20_000 + b"b" * 19_999, "no 'state_dict'"),
    "a number of many bits": (b"\x8b" + struct.pack("<i", 100_000) + b"\x7f" * 100_000, "a number of 799,999 bits"),
    "a number of many digits": (b"L" + b"9" * 100_000 + b"L\n", "damaged"),
    "a number of some digits": (b"I1234567890123456789012345\n", "the opcode INT"),
    "a text longer than the file": (b"X\xff\xff\xff\xff", "damaged"),
    "a text of exabytes": (b"\x8d" + b"\xff" * 7 + b"\x0f", "damaged"),
    "bytes of exabytes": (b"\x8e" + b"\xff" * 7 + b"\x0f", "damaged"),
    "an array of exabytes": (b"\x96" + b"\xff" * 7 + b"\x0f", "damaged"),
    "a frame of exabytes": (b"\x95" + b"\xff" * 8 + b"N", "no 'state_dict'"),
    "a memory far away": (b"Nr\xff\xff\xff\xff", "no 'state_dict'"),
    "memory that nothing is in": (b"j\xff\xff\xff\xff", "damaged"),
    "an extension": (b"\x82\x01", "the opcode EXT1"),
    "a call of protocol 1": (b"(" + name("recbole", "x") + TOUCH + b"o", "the opcode OBJ"),
    "a name of protocol 0": (b"(irecbole\nx\n", "the opcode INST"),
    "a copy of the top": (b"N2", "the opcode DUP"),
    "a reference of protocol 0": (b"Pabc\n", "the opcode PERSID"),
    "a buffer": (b"\x97", "the opcode NEXT_BUFFER"),
    "an empty stack": (b"0000", "the opcode POP"),
    "no mark": (b"tttt", "damaged"),
    "a scalar of objects": (
        weights(
            text("a"),
            call(
                name("numpy._core.multiarray", "scalar"),
                call(name("numpy", "dtype"), text("O8"), b"\x89\x88"),
                b"C\x0a" + b"cos\nx\n)R." + b"\0",
            ),
        ),
        "other entries than tensors",
    ),
    "an encoding that unpacks": (
        weights(text("a"), call(name("_codecs", "encode"), text("x"), text("bz2"))), "other entries than tensors"
    ),
    "a reference to nothing": (row(text("module"), name("recbole", "x")) + b"Q", "not a storage"),
    "a reference to a folder above": (weights(text("a"), tensor(numbers=numbers_of("../0"))), "not a storage"),
    "a reference that is no tuple": (text("storage") + b"Q", "not a storage"),
    "a reference of another kind": (numbers_of(kind=name("torch", "Size")), "not a storage"),
    "numbers that are absent": (weights(text("a"), tensor(numbers=numbers_of("7"))), "damaged"),
    "more numbers than there are": (weights(text("a"), tensor(numbers=numbers_of(count=1 << 60))), "16 bytes in"),
    "fewer numbers than there are": (weights(text("a"), tensor(0, (1,), numbers=numbers_of(count=1))), "16 bytes in"),
    "fewer than no numbers": (numbers_of(count=-1), "not a storage"),
    "a tensor before its numbers": (tensor(offset=-1), "a tensor without"),
    "a tensor behind its numbers": (tensor(offset=1), "reaches beyond its 4 numbers"),
    "a tensor far behind its numbers": (tensor(offset=1 << 62, shape=(1,)), "reaches beyond its 4 numbers"),
    "an empty tensor behind its numbers": (tensor(offset=5, shape=(0,)), "reaches beyond its 4 numbers"),
    "strides out of the numbers": (tensor(shape=(2, 2), strides=(3, 1)), "reaches beyond its 4 numbers"),
    "strides backwards": (tensor(offset=3, strides=(-1,)), "a tensor without"),
    "one number many times": (tensor(shape=(1 << 40,), strides=(0,)), "reaches beyond its 4 numbers"),
    "a shape of many bits": (tensor(shape=(1 << 60,) * 60, strides=(0,) * 60), "reaches beyond its 4 numbers"),
    "a shape of many sides": (tensor(shape=(1,) * 65, strides=(0,) * 65), "a tensor without"),
    "a shape without strides": (tensor(strides=()), "a tensor without"),
    "a tensor of a tensor": (tensor(numbers=tensor()), "a tensor without"),
    "a tensor of nothing": (tensor(numbers=b"N"), "a tensor without"),
    "a parameter of nothing": (call(name("torch._utils", "_rebuild_parameter"), b"N", b"N", b"N"), "other arguments"),
    "a tensor with few arguments": (call(name("torch._utils", "_rebuild_tensor_v2"), numbers_of()), "other arguments"),
    "a number as a name": (weights(number(1), tensor()), "other entries than tensors"),
    "a number as a weight": (weights(text("a"), number(1)), "other entries than tensors"),
}  # fmt: skip


def hostile_pickles(witness: str) -> dict[str, tuple[bytes, str]]:
    """Return pickles of checkpoints by what they try, each with a part of the error; a witness is a path as long.

    Args:
        witness: path of the file that no pickle may write; it has as many characters as ``WITNESS``.
    """
    pickles = {}
    for what, piece in NAMES.items():
        pickles[f"{what} as weights"] = whole(state_dict=piece), f"holds pickled objects, which can run code ({what})"
        pickles[f"{what} in the settings"] = whole(config=piece), f"holds pickled objects, which can run code ({what})"
    for what, (piece, said) in ODD.items():
        pickles[what] = whole(state_dict=piece), said
    assert len(witness) == len(WITNESS)
    return {what: (data.replace(WITNESS.encode(), witness.encode()), said) for what, (data, said) in pickles.items()}

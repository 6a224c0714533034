"""3,000 damaged and hostile checkpoints of UniSRec's published code: refused, or the weights that were written.

Most damages meet the checksums of the archive. So two thirds are made inside of it, and the checksums are sound again:
there, only the reader of the pickle stands between a file and this process.
"""

import tracemalloc
from pathlib import Path

import pytest
import torch
from fuzz.damage import damaged
from fuzz.trial import Attempt, quiet, try_cases
from hostile import NAMES, ODD, WITNESS, hostile_pickles, name, stack_name, watched
from published import SIZES, PublishedNetwork, parts_of, published_config, write_parts, write_published
from support import LetterEncoder, built_run

from recbole_mpo.quick_start.starting import start
from recbole_mpo.trainer.checkpoint import PickledObjectsError, load_checkpoint
from recbole_mpo.trainer.published_checkpoint import read_published

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
OF_TINY = {**SIZES, "plm_size": 20}
MOST_MEMORY = 40_000_000
# A name in the pickle, and what could take its place.
PLACES = (
    b"ctorch._utils\n_rebuild_tensor_v2\n", b"ccollections\nOrderedDict\n", b"cyaml.loader\nFullLoader\n",
    b"cunisrec\nUniSRec\n", b"ctorch\nFloatStorage\n", b"c_codecs\nencode\n", b"cnumpy\ndtype\n", b"ctorch\ndevice\n",
    b"crecbole.config.configurator\nConfig\n", b"crecbole.utils.enum_type\nModelType\n",
)  # fmt: skip
NUMBERS = [
    *(b"K\x00", b"K\x07", b"K\xff", b"M\xff\xff", b"J\xff\xff\xff\x7f", b"J\xff\xff\xff\xff"),
    b"\x8a\x08" + b"\x7f" * 8,
]  # fmt: skip
PIECES = [
    *(b"N", b"}", b")", b"]", b"(", b"R", b"b", b"Q", b"u", b"e", b"t", b"0", b"2", b"\x81", b"\x93", b"."),
    *(b"h\x00", b"q\x05", b"r\xff\xff\xff\x7f"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def imported():
    """What Python imports when it is first used: the encoding of names in archives."""
    b"\xff".decode("cp437")


@pytest.fixture
def sound(tmp_path) -> Path:
    network = PublishedNetwork(OF_TINY)
    return write_published(tmp_path / "sound.pth", network.state_dict(), published_config(OF_TINY))


def equal(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def read(path: Path, draw) -> dict:
    """Read a checkpoint and return its weights; nothing is run meanwhile, and little memory is taken.

    Watching the memory takes most of the time, so only a third of the files are watched in this way.
    """
    is_measured, peak = draw.random() < 1 / 3, 0
    with watched() as events:
        if is_measured:
            tracemalloc.start()
        try:
            return read_published(path)["state_dict"]
        finally:
            if is_measured:
                peak = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
            # Also where the file is refused.
            assert not events and peak < MOST_MEMORY, (events, peak)


def fault_of(weights: dict) -> str | None:
    """Return what is wrong with weights of a damaged file, which may be any numbers."""
    if not all(type(key) is str and type(value) is torch.Tensor for key, value in weights.items()):
        return "not tensors by name"
    # Each can be read to its end.
    return None if all(value.sum().dim() == 0 and value.numel() < 10**6 for value in weights.values()) else "too large"


def test_damaged_bytes(sound, tmp_path, record_property):
    """The checksums find almost all; what is read in spite of a damage is what was written."""
    data, path = sound.read_bytes(), tmp_path / "fuzzed.pth"
    written = PublishedNetwork(OF_TINY).state_dict()

    def attempt(draw):
        content, ways = damaged(data, draw)
        path.write_bytes(content)

        def fault(weights):
            return None if equal(weights, written) else "other weights"

        return Attempt(ways, (str(path),), lambda: read(path, draw), fault)

    try_cases(record_property, "published, bytes", 1000, attempt)


def test_damaged_parts_with_sound_checksums(sound, tmp_path, record_property):
    """A damage of a number or a text cannot be noticed; it makes other weights, and nothing worse."""
    parts, path = parts_of(sound), tmp_path / "fuzzed.pth"
    names = ["data.pkl"] * 8 + ["byteorder", "data/0"]

    def attempt(draw):
        of = draw.choice(names)
        content, ways = damaged(parts[of], draw)
        write_parts(path, {**parts, of: content})
        return Attempt(f"{of} {ways}", (str(path),), lambda: read(path, draw), fault_of)

    try_cases(record_property, "published, parts", 1000, attempt)


def test_hostile_pieces_anywhere_in_a_pickle(sound, tmp_path, record_property):
    """Pieces that run, or other opcodes and numbers, put between or over the opcodes of a sound pickle."""
    parts, path = parts_of(sound), tmp_path / "fuzzed.pth"
    data = parts["data.pkl"]
    pieces = [
        piece.replace(WITNESS.encode(), b"witness")
        for piece in (*NAMES.values(), *(piece for piece, _ in ODD.values()))
    ]
    pieces = [piece for piece in pieces if len(piece) < 2000]
    instead = [name(*pair.rsplit(".", 1)) for pair in NAMES if pair.count(".") == 1 and pair[0] != "."]

    def attempt(draw):
        content, ways = data, []
        for _ in range(draw.choice((1, 1, 2, 5))):
            way = draw.choice(("name", "piece", "opcode", "number"))
            if way == "name":
                old = draw.choice(PLACES)
                new = draw.choice((draw.choice(instead), draw.choice(PLACES), stack_name("posix", "system")))
                content = content.replace(old, new, draw.choice((-1, 1)))
            else:
                new = draw.choice({"piece": pieces, "opcode": PIECES, "number": NUMBERS}[way])
                place = draw.randrange(len(content))
                content = content[:place] + new + content[place + draw.choice((0, len(new))) :]
            ways.append(f"{way} {new[:40]!r}")
        write_parts(path, {**parts, "data.pkl": content})
        return Attempt(" + ".join(ways), (str(path),), lambda: read(path, draw), fault_of)

    try_cases(record_property, "published, hostile pieces", 1000, attempt)


def test_hostile_files_as_pretrained(tmp_path, tiny_settings, monkeypatch, sound, record_property):
    """As ``--pretrained`` reads them, and as every other command does."""
    LetterEncoder.replace_all(monkeypatch)
    path, pickles = tmp_path / "hostile.pth", sorted(hostile_pickles("witness").items())
    with quiet():
        one = built_run("UniSRec", "tiny", (), {**tiny_settings, "pretrained": str(path)})
        model = built_run("UniSRec", "tiny", (), tiny_settings).model
    numbers = iter(range(10**9))

    def attempt(draw):
        number = next(numbers)
        what, (data, _) = pickles[number % len(pickles)]
        is_sound = number % 10 == 9
        if is_sound:
            path.write_bytes(sound.read_bytes())
        else:
            write_parts(path, {"data.pkl": data, "data/0": bytes(16)})

        def do():
            return start(model, one.config) if is_sound or number % 2 else load_checkpoint(path)

        return Attempt(what, (str(path),), do, lambda _: None if is_sound else "a hostile file was read")

    try_cases(record_property, "published, as pretrained", 2 * len(pickles), attempt)
    assert not Path("witness").exists()
    with pytest.raises(PickledObjectsError):
        load_checkpoint(sound)

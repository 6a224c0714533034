"""Pickles are read without making anything of them: plain data as it was, descriptions of tensors, inert objects."""

import datetime
import io
import pickle
import pickletools
import zipfile
from collections import OrderedDict
from pathlib import Path

import hostile
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from published import published_config, write_published

from recbole_mpo.trainer import inert_pickle
from recbole_mpo.trainer.inert_pickle import Inert, Refused, RefusedName, StoredNumbers, StoredTensor, read_pickle

SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text()
PLAIN = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(st.text() | st.integers(-(2**40), 2**40), inner, max_size=5)
    ),
    max_leaves=20,
)


def pickle_of(content) -> bytes:
    """The pickle in an archive that torch writes."""
    file = io.BytesIO()
    torch.save(content, file)
    with zipfile.ZipFile(file) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith("/data.pkl")))


@given(PLAIN, st.sampled_from([2, 3, 4, 5]))
def test_plain_data_are_what_they_were(content, protocol):
    read = read_pickle(pickle.dumps(content, protocol))
    assert read == content and repr(read) == repr(content)


def test_tensors_are_described():
    base = torch.arange(12.0).view(3, 4)
    read = read_pickle(pickle_of(OrderedDict(a=base, b=base[1:, ::2], c=torch.nn.Parameter(base[0]))))
    numbers = StoredNumbers("0", torch.float32, 12)
    assert read == {
        "a": StoredTensor(numbers, 0, (3, 4), (4, 1)),
        "b": StoredTensor(numbers, 4, (2, 2), (4, 2)),
        "c": StoredTensor(numbers, 0, (4,), (1,)),
    }


@pytest.mark.parametrize("kind", inert_pickle._STORAGES.values())
def test_every_kind_of_numbers_is_known(kind):
    assert read_pickle(pickle_of(torch.zeros(2, 3, dtype=kind))).numbers == StoredNumbers("0", kind, 6)


@pytest.mark.parametrize("kind", [torch.complex64, torch.float8_e5m2, torch.uint16])
def test_other_numbers_are_refused(kind):
    with pytest.raises(Refused):
        read_pickle(pickle_of(torch.zeros(2, dtype=kind)))


@pytest.mark.parametrize(
    "thing",
    [
        torch.device("cuda:1"),
        torch.Size([2, 3]),
        torch.bfloat16,
        np.float64(0.5),
        np.int64(3),
        np.float32(0.5),
        {1, 2},
    ],
)
def test_harmless_things_are_named_and_nothing_more(thing):
    read = read_pickle(pickle_of([thing, "after"]))
    assert read[1] == "after"
    assert isinstance(read[0], Inert) or type(read[0]) is inert_pickle._Name or read[0] == str(thing)


def test_a_config_of_recbole_is_inert_and_its_settings_can_be_looked_at(tmp_path):
    with zipfile.ZipFile(write_published(tmp_path / "a.pth")) as archive:
        data = archive.read("a/data.pkl")
    names = {argument for opcode, argument, _ in pickletools.genops(data) if opcode.name == "GLOBAL"}
    # What a published file names, so that no entry of the table is there for nothing.
    assert names >= {
        "recbole.config.configurator Config", "recbole.utils.enum_type ModelType", "unisrec UniSRec",
        "yaml.loader FullLoader", "torch device", "numpy dtype", "_codecs encode", "collections OrderedDict",
    }  # fmt: skip
    config = read_pickle(data)["config"]
    assert type(config) is Inert and config.name == "recbole.config.configurator.Config"
    settings = config.state["final_config_dict"]
    assert settings["n_heads"] == published_config()["n_heads"] == 2
    assert type(settings["MODEL_TYPE"]) is Inert and settings["MODEL_TYPE"].name == "recbole.utils.enum_type.ModelType"


class _Runs:
    """Runs when it is unpickled."""

    def __reduce__(self):
        return Path.touch, (Path("touched"),)


class _Stateful:
    def __setstate__(self, state):
        Path("touched").touch()

    def __getstate__(self):
        return {"a": 1}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("thing", [_Runs(), _Stateful(), datetime.date(2020, 1, 1), Path("a"), len, io.BytesIO])
def test_real_objects_are_refused_by_name(thing, protocol):
    with pytest.raises(RefusedName, match=r"^[\w.]+$"):
        read_pickle(pickle.dumps({"a": [thing]}, protocol))
    assert not Path("touched").exists()


def test_objects_of_recbole_do_not_run_either(monkeypatch):
    """A class of RecBole's own, put there for the test, whose state would be set and whose call would be made."""
    import recbole.config

    stateful = type("Stateful", (_Stateful,), {"__module__": "recbole.config"})
    monkeypatch.setattr(recbole.config, "Stateful", stateful, raising=False)
    for protocol in (2, 4):
        data = pickle.dumps(stateful(), protocol)
        pickle.loads(data)
        Path("touched").unlink()
        read = read_pickle(data)
        assert (read.name, read.state) == ("recbole.config.Stateful", {"a": 1}) and not Path("touched").exists()


def test_the_table_holds_no_name_twice_and_none_that_could_be_split_in_two_ways():
    assert all(pair.count(" ") == 1 and pair == pair.strip() for pair in inert_pickle._NAMES)


@pytest.mark.parametrize("size", [inert_pickle.LARGEST_PICKLE + 1, 10**8])
def test_a_large_pickle_is_refused_unread(size):
    with pytest.raises(Refused, match="bytes, and 524,288 are read at most"):
        read_pickle(bytes(size))


def test_what_would_run_does_run_where_it_is_unpickled():
    """Else the refusals of these pickles would show nothing."""
    pickle.loads(hostile.hostile_pickles("witness")["posix.system as weights"][0])
    assert Path("witness").exists()

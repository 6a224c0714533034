"""Adapter files: plain data and tensors survive; what is no adapter, or damaged, is refused in one sentence."""

import json

import pytest
import torch
from safetensors.torch import save_file

from recbole_mpo.common.errors import CheckpointError
from recbole_mpo.release.adapter_files import (
    HEADER,
    Adapter,
    AdapterHeader,
    is_adapter,
    packed,
    read_adapter,
    write_adapter,
)

HASH = "0" * 64
CONTENT = {"model": "LoRA", "epoch": 3, "config": {"rate": 0.1, "none": None, "list": [1, "é"]}, "flag": True}


def header_of(content):
    return AdapterHeader(
        format_version=1,
        base={"weights_sha256": HASH, "shapes": {"w": (2, 3)}},
        names=("w", "v"),
        weights_sha256=HASH,
        threads=1,
        frozen={},
        content=content,
    )


@pytest.fixture
def written(tmp_path):
    tensors = {}
    tokens = torch.tensor([1, 2], dtype=torch.uint8)
    content = packed({**CONTENT, "tokens": tokens, "deep": {"a": {"b": torch.ones(2, 2)}}}, tensors)
    stored = {"v": torch.randn(3, 2).t()}
    write_adapter(tmp_path / "a.safetensors", Adapter(header_of(content), stored, tensors))
    return tmp_path / "a.safetensors", stored


def test_what_was_written_is_read(written):
    path, stored = written
    adapter = read_adapter(path)
    assert torch.equal(adapter.weights["v"], stored["v"])
    content = adapter.content
    assert {key: content[key] for key in CONTENT} == CONTENT
    assert torch.equal(content["tokens"], torch.tensor([1, 2], dtype=torch.uint8))
    assert torch.equal(content["deep"]["a"]["b"], torch.ones(2, 2))
    assert adapter.header == header_of(adapter.header.content)


def test_tensors_that_share_memory_are_stored_apart(tmp_path):
    shared = torch.arange(6.0)
    adapter = Adapter(header_of({}), {"w": shared[:4], "v": shared[2:]}, {})
    write_adapter(tmp_path / "a.safetensors", adapter)
    weights = read_adapter(tmp_path / "a.safetensors").weights
    assert torch.equal(weights["w"], shared[:4]) and torch.equal(weights["v"], shared[2:])


def test_only_plain_data_is_packed():
    with pytest.raises(TypeError, match="set is not plain data"):
        packed({"a": [{1}]}, {})


def refused(path, message):
    with pytest.raises(CheckpointError, match=message):
        read_adapter(path)
    assert not is_adapter(path)


def test_other_files_are_refused(tmp_path, written):
    assert is_adapter(written[0])
    refused(tmp_path / "absent", "absent does not exist")
    refused(tmp_path, "is a folder")
    (tmp_path / "notes").write_text("notes", encoding="utf-8")
    refused(tmp_path / "notes", "notes is damaged, or not a safetensors file")
    save_file({"w": torch.ones(1)}, tmp_path / "features.safetensors")
    refused(tmp_path / "features.safetensors", "is not an adapter: recbole-mpo adapter --checkpoint=FILE --base=FILE")
    content = written[0].read_bytes()
    (tmp_path / "short").write_bytes(content[:-1])
    refused(tmp_path / "short", "is damaged")


@pytest.mark.parametrize(
    "change, message",
    [
        ({"format_version": 2}, "has format 2, but this version of recbole_mpo reads formats up to 1"),
        ({"threads": 0}, "has wrong content: threads"),
        (
            {"frozen": {"l": {"cores": [[1, 2, 2]], "gauge": "central", "sha256": {}}}},
            "has wrong content: frozen.l.cores",
        ),
        ({"weights_sha256": "short"}, "has wrong content: weights_sha256"),
        ({"more": 1}, "has wrong content: more"),
        ({"content": {"tokens": {"tensor": "7"}}}, "lacks its tensor data/'7'"),
        (None, "its header is not JSON"),
    ],
)
def test_damaged_headers_are_refused(tmp_path, change, message):
    header = header_of({}).model_dump(mode="json")
    text = "{" if change is None else json.dumps({**header, **change})
    save_file({"weights/w": torch.ones(1)}, tmp_path / "a.safetensors", metadata={HEADER: text})
    refused(tmp_path / "a.safetensors", message)

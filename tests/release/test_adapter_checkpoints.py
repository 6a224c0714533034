"""An adapter and its base are the checkpoint, bit for bit; the wrong base, and other bits, are refused."""

import json
import logging
import shutil

import pytest
import torch
from fine_tuned import STRATEGIES, base_of, tuned
from safetensors import safe_open

from recbole_mpo.common.errors import CheckpointError
from recbole_mpo.quick_start.evaluate import evaluate_checkpoint
from recbole_mpo.release import adapter_checkpoints, adapter_parts
from recbole_mpo.release.adapter_checkpoints import (
    ADAPTER_BASE,
    KEPT,
    put_back,
    take_adapter,
    weights_hash,
    without_places,
)
from recbole_mpo.release.adapter_files import HEADER, read_adapter
from recbole_mpo.release.recommend import Recommender
from recbole_mpo.trainer.checkpoint import load_checkpoint
from recbole_mpo.trainer.checkpoint_content import content_hash


@pytest.fixture
def base(tiny_settings, tmp_path):
    """File of a dense model, from which others start."""
    return base_of(tiny_settings, tmp_path)


@pytest.fixture
def light(tiny_settings, tmp_path, base):
    """File of what MPORecLight makes of the base, and the run's record."""
    return tuned(tiny_settings, tmp_path, base, "light")


def bits(path):
    """Names, types, shapes and numbers of a checkpoint's weights, and all else that is read of it."""
    state = load_checkpoint(path)
    # Places on a machine are no part of an adapter.
    state["config"] = without_places(state["config"])
    return list(state["state_dict"]), *(content_hash(state.get(key)) for key in ("state_dict", *KEPT))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_base_and_adapter_are_the_checkpoint(tiny_settings, tmp_path, base, strategy):
    path, record = tuned(tiny_settings, tmp_path, base, strategy)
    report = take_adapter(path, base, tmp_path / "a.safetensors")
    put_back(tmp_path / "a.safetensors", base, tmp_path / "again.pth")
    assert bits(tmp_path / "again.pth") == bits(path)
    assert "optimizer" not in load_checkpoint(tmp_path / "again.pth")
    # What is stored is what differs, and no more.
    weights, start = load_checkpoint(path)["state_dict"], load_checkpoint(base)["state_dict"]
    stored = read_adapter(tmp_path / "a.safetensors").weights
    for name, weight in weights.items():
        if name in start and torch.equal(weight, start[name]):
            assert name not in stored
        elif not name.endswith(".cores.2"):
            assert torch.equal(stored[name], weight)
    assert report.tensors["from_base"] > 0
    assert sum(report.tensors.values()) == len(weights)
    centres = {name for name in weights if name.endswith(".cores.2")}
    frozen = strategy in ("light", "evidence")
    assert report.tensors["rebuilt"] == (len(centres) if frozen else 0)
    assert (centres & stored.keys()) == (set() if frozen else centres)
    places = {key: tiny_settings[key] for key in ("data_path", "cache_dir")}
    assert evaluate_checkpoint(tmp_path / "again.pth", places)["test"] == pytest.approx(record["test"], abs=1e-12)


def test_recommendations_of_a_checkpoint_that_was_put_back_are_the_same(tiny_settings, tmp_path, base, light):
    take_adapter(light[0], base, tmp_path / "a.safetensors")
    put_back(tmp_path / "a.safetensors", base, tmp_path / "again.pth")
    places = {key: tiny_settings[key] for key in ("data_path", "cache_dir")}
    first, second = (Recommender.from_checkpoint(path, places) for path in (light[0], tmp_path / "again.pth"))
    assert first.recommend([["i1", "i2"]], 5) == second.recommend([["i1", "i2"]], 5)


def test_frozen_cores_can_be_stored(tmp_path, base, light, monkeypatch):
    rebuilt = take_adapter(light[0], base, tmp_path / "rebuilt.safetensors")
    stored = take_adapter(light[0], base, tmp_path / "stored.safetensors", frozen="stored")
    assert stored.tensors["rebuilt"] == 0
    cores = sum(group.rebuilt for group in rebuilt.groups.values())
    assert stored.files["adapter"] - rebuilt.files["adapter"] == pytest.approx(cores, abs=2000)

    def refuse(*_):
        raise AssertionError("nothing is to be decomposed")

    monkeypatch.setattr(adapter_checkpoints, "decomposed", refuse)
    put_back(tmp_path / "stored.safetensors", base, tmp_path / "again.pth")
    assert bits(tmp_path / "again.pth") == bits(light[0])


def test_a_decomposition_with_other_bits_is_refused(tmp_path, base, light, monkeypatch):
    take_adapter(light[0], base, tmp_path / "a.safetensors")
    decompose = adapter_parts.decompose

    def of_another_machine(*arguments):
        return [core * (1 + 2e-7) for core in decompose(*arguments)]

    monkeypatch.setattr(adapter_parts, "decompose", of_another_machine)
    with pytest.raises(CheckpointError, match=r"2 of 2 frozen cores .*have other bits .*--frozen=stored"):
        put_back(tmp_path / "a.safetensors", base, tmp_path / "again.pth")
    assert not (tmp_path / "again.pth").exists()


def test_the_threads_of_training_are_found(tmp_path, base, light, monkeypatch):
    """As on a machine where each number of threads gives other bits."""
    decompose = adapter_parts.decompose

    def by_threads(*arguments):
        return [core * (1 + 2e-7 * (torch.get_num_threads() - 1)) for core in decompose(*arguments)]

    state = load_checkpoint(light[0])
    start = load_checkpoint(base)["state_dict"]
    monkeypatch.setattr(adapter_parts, "decompose", by_threads)
    layers = adapter_parts.layer_shapes(state["state_dict"], None)
    with_three = adapter_parts.decomposed(layers, start, {}, 3)
    state["state_dict"].update({name: core for name, core in with_three.items() if name.endswith(".cores.2")})
    state["rng"]["threads"] = 3
    adapter_checkpoints.checkpoint.save_checkpoint(state, tmp_path / "of_three.pth")
    report = take_adapter(tmp_path / "of_three.pth", base, tmp_path / "a.safetensors")
    assert (report.threads, report.tensors["rebuilt"]) == (3, 2)
    before = torch.get_num_threads()
    put_back(tmp_path / "a.safetensors", base, tmp_path / "again.pth")
    assert torch.get_num_threads() == before
    assert bits(tmp_path / "again.pth") == bits(tmp_path / "of_three.pth")


def test_the_wrong_base_is_refused_by_both_hashes(tiny_settings, tmp_path, base, light):
    take_adapter(light[0], base, tmp_path / "a.safetensors")
    other = base_of(tiny_settings, tmp_path, seed=8)
    hashes = [weights_hash(load_checkpoint(path)["state_dict"]) for path in (base, other)]
    with pytest.raises(CheckpointError) as refused:
        put_back(tmp_path / "a.safetensors", other, tmp_path / "again.pth")
    assert all(found in str(refused.value) for found in hashes)
    assert "differ in names" not in str(refused.value)
    larger = base_of({**tiny_settings, "inner_size": 32}, tmp_path)
    with pytest.raises(CheckpointError, match="they differ in names or shapes too, such as trm_encoder"):
        put_back(tmp_path / "a.safetensors", larger, tmp_path / "again.pth")


def test_a_base_of_the_same_weights_is_the_same_base(tmp_path, base, light):
    take_adapter(light[0], base, tmp_path / "a.safetensors")
    state = load_checkpoint(base)
    weights = dict(reversed(state["state_dict"].items()))
    adapter_checkpoints.checkpoint.save_checkpoint({"state_dict": weights}, tmp_path / "renamed.pth")
    put_back(tmp_path / "a.safetensors", tmp_path / "renamed.pth", tmp_path / "again.pth")
    assert bits(tmp_path / "again.pth") == bits(light[0])


def test_what_shares_nothing_is_stored_whole_with_a_warning(tiny_settings, tmp_path, base, caplog):
    path, _ = tuned(tiny_settings, tmp_path, base, "light")
    other = base_of(tiny_settings, tmp_path, seed=8)
    with caplog.at_level(logging.WARNING):
        report = take_adapter(path, other, tmp_path / "a.safetensors")
    assert report.tensors["rebuilt"] == report.tensors["from_base"] == 0
    assert "the adapter is as large as they are" in caplog.text


class TestOutput:
    """What this command did not write is never replaced."""

    def test_an_earlier_output_is_replaced_by_the_same_bytes(self, tmp_path, base, light):
        for _ in range(2):
            take_adapter(light[0], base, tmp_path / "a.safetensors")
            put_back(tmp_path / "a.safetensors", base, tmp_path / "again.pth")
            contents = [(tmp_path / name).read_bytes() for name in ("a.safetensors", "again.pth")]
        take_adapter(light[0], base, tmp_path / "b.safetensors")
        assert (tmp_path / "b.safetensors").read_bytes() == contents[0]
        assert load_checkpoint(tmp_path / "again.pth")[ADAPTER_BASE]

    def test_anything_else_is_not(self, tmp_path, base, light):
        take_adapter(light[0], base, tmp_path / "a.safetensors")
        shutil.copy(light[0], tmp_path / "other.pth")
        cases = {
            "exists and is not an adapter": lambda: take_adapter(light[0], base, tmp_path / "other.pth"),
            "is the checkpoint itself": lambda: take_adapter(light[0], base, light[0]),
            "is the base itself": lambda: take_adapter(light[0], base, base),
            "is a folder": lambda: take_adapter(light[0], base, tmp_path),
            "exists and is not of adapter": lambda: put_back(tmp_path / "a.safetensors", base, tmp_path / "other.pth"),
            "is the adapter itself": lambda: put_back(tmp_path / "a.safetensors", base, tmp_path / "a.safetensors"),
        }
        for message, attempt in cases.items():
            with pytest.raises(CheckpointError, match=message):
                attempt()
        assert (tmp_path / "other.pth").read_bytes() == light[0].read_bytes()


def test_the_file_holds_no_pickle_and_says_what_its_base_is(tmp_path, base, light):
    take_adapter(light[0], base, tmp_path / "a.safetensors")
    with safe_open(tmp_path / "a.safetensors", framework="np") as file:
        header = json.loads(file.metadata()[HEADER])
    start = load_checkpoint(base)["state_dict"]
    assert header["base"]["shapes"] == {name: list(weight.shape) for name, weight in start.items()}
    assert header["base"]["weights_sha256"] == weights_hash(start)
    assert header["content"]["config"]["model"] == "MPORecLight"
    assert header["content"]["item_hash"] == load_checkpoint(light[0])["item_hash"]


def test_no_place_on_the_machine_is_kept(tmp_path, base, light):
    take_adapter(light[0], base, tmp_path / "a.safetensors")
    assert str(tmp_path).encode() not in (tmp_path / "a.safetensors").read_bytes()


def test_places_of_the_project_are_kept():
    settings = {
        "data_path": "dataset/shop",
        "cache_dir": "/far/cache",
        "seed": 1,
        "use_gpu": True,
        "config_files": ["~/a"],
    }
    assert without_places(settings) == {"data_path": "dataset/shop", "seed": 1, "use_gpu": True}
    files = {"feature_file": "/far/a.npy", "ccdr_source_feature_file": "~/b.npy"}
    assert without_places(files) == {"feature_file": "a.npy", "ccdr_source_feature_file": "b.npy"}
    assert without_places({"feature_file": "near/a.npy"}) == {"feature_file": "near/a.npy"}


@pytest.mark.parametrize(
    ("encoders", "kept"),
    [
        ("/home/alice/models/minilm", "minilm"),
        ("~/models/mine,tfidf-svd, org/name", "mine,tfidf-svd,org/name"),
        ("models/mine", "models/mine"),
        (None, None),
    ],
)
def test_an_encoders_folder_is_kept_by_name_or_in_the_project(tmp_path, monkeypatch, encoders, kept):
    (tmp_path / "models" / "mine").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert without_places({"text_encoder": encoders}) == {"text_encoder": kept}

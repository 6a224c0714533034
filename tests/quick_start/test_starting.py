"""Where a model's weights come from: its initialisation, another run's checkpoint, and what of it stays fresh."""

import logging

import pytest
import torch
from support import RestoredRun, built_run
from torch import nn

from recbole_mpo.common.errors import CheckpointError
from recbole_mpo.model.abstract_recommender import ModelContract
from recbole_mpo.quick_start.evaluate import evaluate_checkpoint
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.quick_start.starting import settings_of, start
from recbole_mpo.release.merge import merge_checkpoint
from recbole_mpo.release.recommend import Recommender
from recbole_mpo.trainer import checkpoint


@pytest.fixture
def trained(tiny_settings, tmp_path):
    """A finished run: (settings, record, folder)."""
    record = run("MPORec", "tiny", (), tiny_settings)
    return tiny_settings, record, tmp_path / "saved" / record["run_id"]


def test_pretrained_takes_dense_or_mpo_weights(trained, tiny_settings, tmp_path):
    _, _, folder = trained
    merge_checkpoint(folder / "best.pth", tmp_path / "dense.pth")
    source = RestoredRun(folder / "best.pth")
    rows = next(iter(source.loaders[1]))[0]
    expected = source.model.eval().full_sort_predict(rows)
    for name in ("UniSRec", "MPORec", "MPORecExpand", "MPORecLight"):
        started = built_run(name, "tiny", (), {**tiny_settings, "pretrained": str(tmp_path / "dense.pth")})
        assert (started.model.eval().full_sort_predict(rows) - expected).abs().max() < 1e-4
    expanded = built_run("MPORecExpand", "tiny", (), {**tiny_settings, "pretrained": str(folder / "best.pth")})
    assert (expanded.model.eval().full_sort_predict(rows) - expected).abs().max() < 1e-4


def test_a_run_started_from_a_checkpoint_does_not_need_it_later(trained, tiny_settings, tmp_path):
    _, _, folder = trained
    start = tmp_path / "start.pth"
    merge_checkpoint(folder / "best.pth", start)
    record = run("UniSRec", "tiny", (), {**tiny_settings, "pretrained": str(start)})
    start.unlink()
    results = evaluate_checkpoint(tmp_path / "saved" / record["run_id"] / "best.pth")
    assert results["test"] == pytest.approx(record["test"], abs=1e-12)


class Plain(nn.Module):
    """Three weights, what goes over of which is the tests' to say."""

    fresh_weights = ("fresh.",)
    uses_text = False
    carry_over = ModelContract.carry_over

    def __init__(self, value, size=2):
        super().__init__()
        for name in ("fresh", "shared", "moved"):
            self.add_module(name, nn.Linear(size, 1, bias=False))
            nn.init.constant_(self.get_submodule(name).weight, value)
        self.asked = []

    def check_fresh_start(self):
        self.asked.append("fresh start")

    def values(self):
        return {name.split(".")[0]: value[0, 0].item() for name, value in self.state_dict().items()}


class TestStart:
    @pytest.fixture
    def source(self, tmp_path):
        """Writes a checkpoint of weights that are all one; returns its path."""

        def write(**content):
            path = tmp_path / "source.pth"
            checkpoint.save_checkpoint({"state_dict": Plain(1.0).state_dict(), **content}, path)
            return str(path)

        return write

    @pytest.mark.parametrize("nothing", [None, ""])
    def test_without_a_checkpoint_the_model_may_refuse(self, nothing):
        model = Plain(0.0)
        start(model, {"pretrained": nothing})
        assert model.asked == ["fresh start"] and model.values() == {"fresh": 0.0, "shared": 0.0, "moved": 0.0}

    def test_weights_go_over_by_name_but_for_the_fresh_ones(self, source, caplog):
        caplog.set_level(logging.INFO)
        model = Plain(0.0)
        start(model, {"pretrained": source()})
        assert model.values() == {"fresh": 0.0, "shared": 1.0, "moved": 1.0} and not model.asked
        assert f"starting from {source()}" in caplog.text

    def test_everything_goes_over_where_nothing_is_fresh(self, source):
        model = Plain(0.0)
        model.fresh_weights = ()
        start(model, {"pretrained": source()})
        assert set(model.values().values()) == {1.0}

    def test_fresh_weights_may_be_of_any_size_or_absent_there(self, source, tmp_path):
        path = source()
        state = checkpoint.load_checkpoint(path)
        state["state_dict"]["fresh.weight"] = torch.zeros(9)
        checkpoint.save_checkpoint(state, path)
        model = Plain(0.0)
        start(model, {"pretrained": path})
        assert model.values() == {"fresh": 0.0, "shared": 1.0, "moved": 1.0}
        del state["state_dict"]["fresh.weight"]
        checkpoint.save_checkpoint(state, path)
        start(model, {"pretrained": path})

    def test_what_the_model_carries_over_wins(self, source):
        model, seen = Plain(0.0), []
        wanted = {"moved.weight": torch.full((1, 2), 5.0), "fresh.weight": torch.full((1, 2), 6.0)}
        model.carry_over = lambda weights: seen.append(weights) or wanted
        config, names = {"seed": 3, "dataset": "tiny"}, ["", "a"]
        content = {"config": config, "item_hash": "h", "other_parameter": {"item_names": names}}
        path = source(**content)
        start(model, {"pretrained": path})
        assert model.values() == {"fresh": 6.0, "shared": 1.0, "moved": 5.0}
        (told,) = seen
        assert (str(told.path), told.settings, told.item_hash, told.item_names) == (path, config, "h", names)
        assert set(told.weights) == set(model.state_dict())

    @pytest.mark.parametrize("content", [{}, {"other_parameter": None}, {"other_parameter": {}}])
    def test_of_weights_alone_nothing_else_is_known(self, source, content):
        model, seen = Plain(0.0), []
        model.carry_over = lambda weights: seen.append(weights) or {}
        start(model, {"pretrained": source(**content)})
        assert (seen[0].settings, seen[0].item_hash, list(seen[0].item_names)) == ({}, None, [])

    def test_weights_that_do_not_fit_are_named(self, source, tmp_path):
        with pytest.raises(CheckpointError, match="another architecture: size mismatch for shared.weight"):
            start(Plain(0.0, size=3), {"pretrained": source()})
        with pytest.raises(CheckpointError, match=r"none\.pth does not exist"):
            start(Plain(0.0), {"pretrained": str(tmp_path / "none.pth")})


class TestSettings:
    STATE = {"model": "UniSRec", "config": {"dataset": "tiny", "seed": 3, "pretrained": "gone.pth"}}

    def test_are_those_of_the_run_without_where_it_started(self):
        assert settings_of(self.STATE, "best.pth", {"seed": 4}) == {
            "model": "UniSRec",
            "dataset": "tiny",
            "stored": {"dataset": "tiny", "seed": 3, "pretrained": None},
            "overrides": {"seed": 4},
        }
        assert self.STATE["config"]["pretrained"] == "gone.pth"

    @pytest.mark.parametrize("missing", ["model", "config"])
    def test_weights_alone_have_none(self, missing):
        state = {key: value for key, value in self.STATE.items() if key != missing}
        with pytest.raises(CheckpointError, match="best.pth holds weights but no settings; start a run from it with"):
            settings_of(state, "best.pth", None)


def test_items_of_another_dataset_are_not_taken_over(tiny_settings, tiny_path, tmp_path, make_dataset):
    make_dataset(tiny_path, "other", items=25, seed=4)
    settings = {**tiny_settings, "item_input": "id", "epochs": 1}
    record = run("UniSRec", "tiny", (), settings)
    path = str(tmp_path / "saved" / record["run_id"] / "best.pth")
    source = checkpoint.load_checkpoint(path)["state_dict"]
    fresh = built_run("UniSRec", "other", (), settings).model.state_dict()
    started = built_run("UniSRec", "other", (), {**settings, "pretrained": path}).model.state_dict()
    assert torch.equal(started["item_embedding.weight"], fresh["item_embedding.weight"])
    shared = [name for name in started if name != "item_embedding.weight"]
    assert len(shared) > 30 and all(torch.equal(started[name], source[name]) for name in shared)


def test_a_checkpoint_does_not_decide_where_is_written(tiny_settings, tmp_path):
    record = run("MPORec", "tiny", (), {**tiny_settings, "epochs": 1})
    path = tmp_path / "saved" / record["run_id"] / "best.pth"
    state = checkpoint.load_checkpoint(path)
    keys = ("cache_dir", "checkpoint_dir", "dataset_save_path", "dataloaders_save_path")
    state["config"] |= {key: str(tmp_path / "foreign") for key in keys}
    checkpoint.save_checkpoint(state, tmp_path / "foreign.pth")
    evaluate_checkpoint(tmp_path / "foreign.pth")
    Recommender.from_checkpoint(tmp_path / "foreign.pth").recommend([["i1"]])
    merge_checkpoint(tmp_path / "foreign.pth", tmp_path / "dense.pth")
    assert not (tmp_path / "foreign").exists() and (tmp_path / "dataset" / ".cache" / "tiny").is_dir()
    evaluate_checkpoint(tmp_path / "foreign.pth", {"cache_dir": str(tmp_path / "mine")})
    assert (tmp_path / "mine" / "tiny").is_dir()

"""Where a model's weights come from: its initialisation, another run's checkpoint, and what of it stays fresh."""

import logging
import re

import pytest
import torch
from published import SIZES, PublishedNetwork, parts_of, published_config, write_parts, write_published
from support import LetterEncoder, RestoredRun, built_run
from torch import nn

from recbole_mpo.common.errors import CheckpointError
from recbole_mpo.model.abstract_recommender import ModelContract
from recbole_mpo.quick_start.evaluate import evaluate_checkpoint
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.quick_start.starting import settings_of, start
from recbole_mpo.release.merge import merge_checkpoint
from recbole_mpo.release.recommend import Recommender
from recbole_mpo.trainer import checkpoint
from recbole_mpo.trainer.other_names import shorten


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
        with pytest.raises(CheckpointError, match="size mismatch for moved.weight .*, shared.weight "):
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


class TestPublished:
    """UniSRec's published checkpoints, over features of 20 columns."""

    SIZES = {**SIZES, "plm_size": 20}

    @pytest.fixture
    def settings(self, tiny_settings, monkeypatch):
        LetterEncoder.replace_all(monkeypatch)
        return {**tiny_settings, "feature_center": False, "feature_scale": False}

    @pytest.fixture
    def network(self):
        return PublishedNetwork(self.SIZES)

    @pytest.fixture
    def started(self, settings, network, tmp_path):
        """Returns a model that began with the published weights; ``weights`` are added, changes are of the run."""

        def begin(model, weights=None, config=None, **changes):
            weights = {**network.state_dict(), **(weights or {})}
            config = published_config(self.SIZES, **(config or {}))
            path = write_published(
                tmp_path / "published.pth", {k: v for k, v in weights.items() if v is not None}, config
            )
            return built_run(model, "tiny", (), {**settings, "pretrained": str(path), **changes})

        return begin

    @pytest.mark.parametrize(
        "model", ["UniSRec", "UniSRec_F", "MPORec", "MPORecLight", "MPORecExpand", "LoRA", "UniSRec patches"]
    )
    def test_every_model_begins_with_the_published_function(self, started, network, model, caplog):
        name, _, adapter = model.partition(" ")
        one = started(name, **({"adapter": adapter} if adapter else {}))
        rows = next(iter(one.loaders[1]))[0]
        scores = one.model.eval().full_sort_predict(rows)
        histories = rows[one.model.ITEM_SEQ], rows[one.model.ITEM_SEQ_LEN]
        expected = network.eval().cosines(one.dataset.item_features(), *histories) / 0.07
        torch.testing.assert_close(scores, expected, atol=1e-4, rtol=1e-4)
        assert (expected.std(dim=1) > 0.1).all() and "was trained with" not in caplog.text

    def test_tables_of_its_items_are_left_there(self, started):
        tables = {"item_embedding.weight": torch.ones(7, 16), "plm_embedding.weight": torch.ones(7, 20)}
        assert started("UniSRec", tables).model.state_dict().keys() == started("UniSRec").model.state_dict().keys()
        own = started("UniSRec", tables, item_input="text+id", id_side="both").model.state_dict()[
            "item_embedding.weight"
        ]
        assert own.shape == (31, 16) and (own[1:] != 1).any()

    def test_centred_and_scaled_features_are_warned_of(self, started, caplog):
        started("UniSRec", feature_center=True, feature_scale=True).model  # noqa: B018
        assert "feature_center was False, is True, feature_scale was False, is True" in caplog.text

    @pytest.mark.parametrize(
        ("weights", "config", "changes", "said"),
        [
            (
                {"LayerNorm.bias": None, "moe_adaptor.experts.1.bias": torch.zeros(9), "odd": torch.zeros(1)},
                {},
                {},
                "match for moe_adaptor.experts.1.bias ([9], here [20]); it lacks LayerNorm.bias; it also has odd",
            ),
            (
                {},
                {},
                {"hidden_size": 32, "n_exps": 3},
                "; of its settings, hidden_size was 16, is 32, n_exps was 2, is 3",
            ),
            ({}, {}, {"n_layers": 1}, "it also has trm_encoder.layer.1.feed_forward.LayerNorm.bias, "),
            ({}, {}, {"n_layers": 3}, "; of its settings, n_layers was 2, is 3"),
            (
                {},
                {},
                {"MAX_ITEM_LIST_LENGTH": 10},
                "size mismatch for position_embedding.weight ([50, 16], here [10, 16]",
            ),
            (
                {},
                {},
                {"n_heads": 4},
                "was trained with other settings of the Transformer, .*: n_heads was 2, is 4; give",
            ),
            ({}, {"hidden_act": "relu"}, {}, "hidden_act was relu, is gelu"),
            ({}, {}, {"text_encoder": "other", "item_input": "id"}, "it also has moe_adaptor.experts.{0,1}.bias, moe_"),
        ],
    )
    @pytest.mark.parametrize("model", ["UniSRec", "MPORec"])
    def test_what_differs_is_told(self, started, model, weights, config, changes, said):
        if changes.get("item_input") == "id" and model == "MPORec":
            changes = {**changes, "mpo_target_modules": "all-linear"}
        with pytest.raises(CheckpointError) as caught:
            started(model, weights, config, **changes).model  # noqa: B018
        assert re.search(said if ".*" in said else re.escape(said), str(caught.value)), caught.value

    def test_all_names_of_another_model_are_told(self, started, network):
        with pytest.raises(CheckpointError) as caught:
            started("UniSRec", {f"other.{name}": weight for name, weight in network.named_parameters()}).model  # noqa: B018
        assert f"it also has {', '.join(shorten(f'other.{name}' for name in network.state_dict()))}" in str(
            caught.value
        )

    @pytest.mark.parametrize("model", ["UniSRec", "MPORec"])
    def test_features_of_another_width_explain_themselves(self, started, settings, tmp_path, model):
        sizes = {**self.SIZES, "plm_size": 768}
        path = write_published(tmp_path / "bert.pth", PublishedNetwork(sizes).state_dict(), published_config(sizes))
        with pytest.raises(CheckpointError) as caught:
            built_run(model, "tiny", (), {**settings, "pretrained": str(path)}).model  # noqa: B018
        assert str(caught.value).endswith(
            "; its item features have 768 columns (BERT's CLS vectors in UniSRec's published files), those of this run "
            "have 20: give this run features of that width with text_encoder or feature_file"
        )
        assert "moe_adaptor.w_gate ([768, 2], here [20, 2])" in str(caught.value)

    def test_hostile_files_are_refused_by_name(self, started, tmp_path):
        one = started("UniSRec")
        path = tmp_path / "published.pth"
        parts = parts_of(path)
        hostile = parts["data.pkl"].replace(b"cyaml.loader\nFullLoader\n", b"cposix\nsystem\n")
        write_parts(path, {**parts, "data.pkl": hostile})
        with pytest.raises(CheckpointError, match=r"holds pickled objects, which can run code \(posix.system\)"):
            one.model  # noqa: B018


def test_own_weights_of_other_features_say_how_they_were_made(tiny_settings, tmp_path, monkeypatch):
    record = run("UniSRec", "tiny", (), {**tiny_settings, "epochs": 1})
    path = str(tmp_path / "saved" / record["run_id"] / "best.pth")
    LetterEncoder.replace_all(monkeypatch)
    with pytest.raises(
        CheckpointError, match=r"its item features have \d+ columns \(tfidf-svd\), those of this run have 20"
    ):
        built_run("MPORec", "tiny", (), {**tiny_settings, "pretrained": path}).model  # noqa: B018

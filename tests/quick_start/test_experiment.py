"""The parts of one run: data complete in one step, models of the seed alone, and what a checkpoint brings back."""

import hashlib
import itertools
import json
from pathlib import Path

import pytest
import torch
from recbole.data.dataloader import FullSortEvalDataLoader, TrainDataLoader
from support import built_run

from recbole_mpo.common import foreign
from recbole_mpo.common.errors import CheckpointError, ConfigError, DataError
from recbole_mpo.common.files import file_hash
from recbole_mpo.common.schema import for_model
from recbole_mpo.data.loader import HistoryLoader, PackedLoader
from recbole_mpo.quick_start.configure import make_config
from recbole_mpo.quick_start.experiment import Experiment
from recbole_mpo.quick_start.one_dataset import OneDataset
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.trainer.data_identity import identity

MODELS = pytest.mark.parametrize("name", ["MPORec", "BERT4RecFair", "Pop", "SASRec", "GRU4Rec", "BERT4Rec", "S3Rec"])


@pytest.fixture
def settings(tiny_settings):
    """What a model uses of the tests' settings."""
    return lambda name, **changes: {**for_model(tiny_settings, name), **changes}


def weights_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


class TestNoHiddenOrder:
    @MODELS
    def test_data_are_complete_in_one_step(self, settings, name, tmp_path):
        """Neither a model nor a trainer nor a batch changes the settings after it."""
        experiment = Experiment.of(name, "tiny", (), settings(name))
        data = experiment.data
        plain, every = experiment.config.plain(), dict(experiment.config.final_config_dict)
        model = experiment.build_model()
        experiment.trainer(model, tmp_path)
        for loader in data.loaders:
            next(iter(loader))
        experiment.statistics(), experiment.feature_summary(model)
        assert experiment.config.plain() == plain and experiment.data is data
        assert dict(experiment.config.final_config_dict) == every

    @MODELS
    def test_any_order_and_number_of_times_gives_the_same_settings(self, settings, name):
        steps = {
            "data": lambda experiment: experiment.data,
            "model": lambda experiment: experiment.build_model(),
            "data of another experiment": lambda experiment: Experiment(experiment.spec, experiment.config).data,
        }
        plain_settings = []
        for order in itertools.permutations(steps):
            experiment = Experiment.of(name, "tiny", (), settings(name))
            for step in order:
                steps[step](experiment)
            plain_settings.append(experiment.config.plain())
        assert all(plain == plain_settings[0] for plain in plain_settings)

    @MODELS
    def test_what_a_checkpoint_keeps_makes_the_same_experiment(self, settings, name):
        experiment = Experiment.of(name, "tiny", (), settings(name))
        experiment.build_model()
        stored = experiment.config.plain()
        again = Experiment.with_config(*make_config(name, "tiny", stored=stored))
        again.data  # noqa: B018
        assert again.config.plain() == stored

    def test_a_models_weights_follow_from_the_seed_alone(self, settings):
        first = Experiment.of("MPORec", "tiny", (), settings("MPORec"))
        weights = weights_of(first.build_model())
        torch.rand(100)
        assert same(weights_of(first.build_model()), weights)
        second = Experiment.of("MPORec", "tiny", (), settings("MPORec"))
        next(iter(second.data.loaders[0]))
        assert same(weights_of(second.build_model()), weights)
        other = Experiment.of("MPORec", "tiny", (), settings("MPORec", seed=8))
        assert not same(weights_of(other.build_model()), weights)

    def test_settings_alone_touch_no_file_of_the_dataset(self, tmp_path):
        spec, config = make_config("SASRec", "nowhere", (), {"data_path": str(tmp_path / "none")})
        assert config["dataset"] == "nowhere" and not list(tmp_path.iterdir())
        with pytest.raises(DataError, match="dataset 'nowhere' not found"):
            Experiment.with_config(spec, config)


def newest_pairs_hash(path):
    """The hash of each user's last item, read with nothing of the package."""
    newest = {}
    for line in path.read_text().splitlines()[1:]:
        user, item, time = line.split("\t")
        newest[user] = max(newest.get(user, (0, "")), (int(time), item))
    lines = sorted(json.dumps([user, item]) for user, (_, item) in newest.items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


class TestData:
    @pytest.mark.parametrize(
        ("name", "changes", "kind"),
        [
            ("MPORec", {}, PackedLoader),
            ("MPORec", {"train_mode": "pairwise"}, TrainDataLoader),
            ("BERT4RecFair", {}, HistoryLoader),
            ("SASRec", {}, TrainDataLoader),
        ],
    )
    def test_loaders_are_of_the_kind_that_the_model_trains_on(self, settings, name, changes, kind):
        data = Experiment.of(name, "tiny", (), settings(name, **changes)).data
        assert type(data.loaders[0]) is kind
        assert [type(loader) for loader in data.loaders[1:]] == [FullSortEvalDataLoader] * 2
        assert [len(split) for split in data.splits[1:]] == [40, 40]
        assert [loader._dataset for loader in data.loaders[1:]] == data.splits[1:]

    def test_a_split_that_recbole_does_not_know_is_an_error_of_settings(self, settings):
        wrong = settings("MPORec", eval_args={"split": {"LS": "some"}})
        with pytest.raises(ConfigError, match="eval_args.split.LS is 'some'; choose one of valid_and_test"):
            Experiment.of("MPORec", "tiny", (), wrong)

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"val_interval": {"rating": "[3,inf)"}}, r"Field \[rating\] not defined in dataset"),
            ({"threshold": {"rating": 3}}, r"Field \[rating\] not in inter_feat"),
            ({"load_col": {"inter": ["user_id"]}}, ""),
            ({"load_col": {"foo": ["user_id"]}}, ""),
            ({"benchmark_filename": ["a", "b", "c"]}, "tiny.a.inter not exist"),
            ({"alias_of_item_id": ["foo"]}, "KeyError .*foo"),
            ({"normalize_field": ["foo"]}, r"Field \[foo\] does not exist"),
            ({"numerical_features": ["foo"]}, r"Field \[foo\] not defined"),
            ({"transform": "foo"}, "no transform named 'foo'"),
        ],
    )
    @pytest.mark.parametrize("model", ["MPORec", "SASRec"])
    def test_what_recbole_says_of_the_data_is_one_line_with_the_settings_in_question(
        self, settings, model, changes, words
    ):
        (key,) = changes
        with pytest.raises((ConfigError, DataError), match=rf"{key}.*{words}") as caught:
            Experiment.of(model, "tiny", (), settings(model, **changes)).data  # noqa: B018
        assert "\n" not in str(caught.value)

    def test_a_fault_of_this_package_shows_as_what_it_is(self, settings, monkeypatch):
        def fail(*_):
            raise AssertionError("a fault")

        monkeypatch.setattr(foreign, "_PACKAGE", Path(__file__).resolve().parent)
        monkeypatch.setattr(OneDataset, "_build", fail)
        with pytest.raises(AssertionError, match="a fault"):
            Experiment.of("MPORec", "tiny", (), settings("MPORec")).data  # noqa: B018

    def test_sizes_and_hashes_are_those_of_the_files(self, settings, tiny_path):
        experiment = Experiment.of("MPORec", "tiny", (), settings("MPORec"))
        interactions = len((tiny_path / "tiny" / "tiny.inter").read_text().splitlines()) - 1
        hashes = {name: file_hash(tiny_path / "tiny" / name) for name in ("tiny.inter", "tiny.text")}
        assert experiment.statistics() == {
            "files": hashes,
            "users": 40,
            "items": 30,
            "item_num": 31,
            "targets": {"train": interactions - 3 * 40, "valid": 40, "test": 40},
            "test_pairs": newest_pairs_hash(tiny_path / "tiny" / "tiny.inter"),
        }
        (tiny_path / "tiny" / "tiny.text").unlink()
        assert experiment.file_hashes() == {"tiny.inter": hashes["tiny.inter"]}

    def test_features_are_summed_up_where_the_model_has_them(self, settings):
        experiment = Experiment.of("MPORec", "tiny", (), settings("MPORec"))
        model = experiment.build_model()
        summary = experiment.feature_summary(model)
        assert summary["dimension"] == model.feature_size and summary["hash"] == model.feature_hash
        assert "tfidf-svd" in summary["source"] and summary["items"] == summary["with_text"] == 30
        by_id = Experiment.of("UniSRec", "tiny", (), settings("UniSRec", item_input="id"))
        assert by_id.feature_summary(by_id.build_model()) is None


class TestModel:
    def test_groups_are_frozen_once_weights_are_there(self, settings, tmp_path):
        experiment = Experiment.of("UniSRec", "tiny", (), settings("UniSRec", freeze=["encoder"]))
        model = experiment.build_model()
        frozen = {name.split(".")[0] for name, parameter in model.named_parameters() if not parameter.requires_grad}
        assert frozen == {"trm_encoder"} and model.n_items == 31
        state = {**identity(model), "state_dict": model.state_dict()}
        restored = experiment.restore_model(state, tmp_path / "best.pth")
        assert restored is not model and not restored.trm_encoder.layer[0].feed_forward.dense_1.weight.requires_grad

    def test_training_settings_that_do_not_fit_are_told(self, settings, tmp_path):
        experiment = Experiment.of("UniSRec", "tiny", (), settings("UniSRec", learner="adam", weight_decay=0.0))
        model = experiment.build_model()
        experiment.config.final_config_dict["learning_rate"] = -1.0
        with pytest.raises(ConfigError, match="the training settings do not fit together: Invalid learning rate"):
            experiment.trainer(model, tmp_path)


class TestFromACheckpoint:
    @pytest.fixture
    def path(self, settings, tmp_path):
        record = run("UniSRec", "tiny", (), settings("UniSRec", epochs=1))
        return tmp_path / "saved" / record["run_id"] / "best.pth"

    def test_come_the_settings_the_weights_and_the_file(self, settings, path):
        experiment, model, state = Experiment.from_checkpoint(path)
        assert experiment.spec.name == state["model"] == "UniSRec"
        own, stored = experiment.config.plain(), state["config"]
        assert {key for key in stored if own[key] != stored[key]} == {"cache_dir", "checkpoint_dir"}
        assert same(model.state_dict(), state["state_dict"])
        fresh = built_run("UniSRec", "tiny", (), settings("UniSRec")).model
        assert not same(model.state_dict(), fresh.state_dict())

    def test_settings_given_besides_win(self, path):
        experiment, _, _ = Experiment.from_checkpoint(path, {"eval_batch_size": 3, "topk": [1, 10]})
        assert (experiment.config["eval_batch_size"], experiment.config["topk"]) == (3, [1, 10])
        with pytest.raises(CheckpointError, match="of another architecture"):
            Experiment.from_checkpoint(path, {"hidden_size": 32})

    def test_weights_of_other_data_are_refused(self, path, tiny_path):
        inter = tiny_path / "tiny" / "tiny.inter"
        header, *rows = inter.read_text().splitlines()
        inter.write_text("\n".join([header, *reversed(rows)]) + "\n")
        with pytest.raises(CheckpointError, match="was trained on other items"):
            Experiment.from_checkpoint(path)

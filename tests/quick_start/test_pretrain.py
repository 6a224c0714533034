"""Pre-training on several datasets: recorded, resumed and validated like any run, and a start for others."""

import pytest
import torch
from support import LetterEncoder, built_run, interrupted_in, numbers

from recbole_mpo.common.errors import CheckpointError, ConfigError, DataError
from recbole_mpo.layers.mpo.convert import dense_state_dict
from recbole_mpo.model.task_weighting import WEIGHTINGS
from recbole_mpo.quick_start.evaluate import evaluate_checkpoint
from recbole_mpo.quick_start.pretrain import PRETRAINED_ON, pretrain
from recbole_mpo.quick_start.record import read_record
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.release.merge import merge_checkpoint
from recbole_mpo.release.recommend import Recommender
from recbole_mpo.trainer.checkpoint import load_checkpoint

STRATEGIES = ("UniSRec", "UniSRec_F", "MPORec", "MPORecLight", "MPORecExpand", "LoRA")


@pytest.fixture
def settings(tiny_settings, tiny_path, make_dataset, tmp_path):
    """Settings of a short run on any of three datasets."""
    make_dataset(tiny_path, "other", users=50, items=40, seed=1)
    make_dataset(tiny_path, "target", users=30, items=25, seed=2)
    return {**tiny_settings, "learning_rate": 0.01}


@pytest.fixture(autouse=True)
def small_encoder(monkeypatch):
    """The features of all datasets are in one space."""
    LetterEncoder.replace_all(monkeypatch)


def go(settings, tmp_path, **options):
    return pretrain("UniSRec", ["tiny", "other"], tmp_path / "weights.pth", (), settings, **options)


class TestTheRun:
    def test_is_recorded_with_the_metrics_of_each_domain(self, settings, tmp_path):
        record = go(settings, tmp_path, record_path="copy.json")
        assert read_record("copy.json")["status"] == record["status"] == "completed"
        valid = record["valid"]
        assert valid["ndcg@10"] == pytest.approx((valid["tiny/ndcg@10"] + valid["other/ndcg@10"]) / 2)
        data = record["data"]
        assert record["test"] == {} and data["domains"] == ["tiny", "other"] and record["dataset"] == "tiny+other"
        assert data["targets"]["valid"] == 4 + 5 and data["items"] == 70 and data["users"] == 90
        assert set(data["files"]) == {f"{name}/{name}.{end}" for name in ("tiny", "other") for end in ("inter", "text")}
        assert record["features"]["items"] == 70 and record["features"]["source"] == "letters"

    def test_goes_on_after_an_interruption_bit_for_bit(self, settings, tmp_path):
        settings = {**settings, "epochs": 3, "loss": "sampled", "sampled_items": 20}
        whole = go(settings, tmp_path)
        weights = load_checkpoint(tmp_path / "weights.pth")["state_dict"]

        with interrupted_in(1):
            go(settings, tmp_path)
        assert numbers(go(settings, tmp_path, resume="auto")) == numbers(whole)
        again = load_checkpoint(tmp_path / "weights.pth")["state_dict"]
        assert all(torch.equal(again[name], weight) for name, weight in weights.items())

    def test_of_another_place_and_name_writes_the_same_file(self, settings, tmp_path):
        other = {**settings, "checkpoint_dir": str(tmp_path / "runs"), "run_label": "second", "eval_batch_size": 7}
        pretrain("UniSRec", ["tiny", "other"], tmp_path / "second.pth", (), other)
        go(settings, tmp_path)
        written = (tmp_path / "weights.pth").read_bytes()
        assert written == (tmp_path / "second.pth").read_bytes() and str(tmp_path).encode() not in written

    def test_stops_before_training_when_asked(self, settings, tmp_path):
        assert go(settings, tmp_path, dry_run=True)["status"] == "dry_run"
        assert not (tmp_path / "weights.pth").exists()

    @pytest.mark.parametrize("model", ["MPORec", "LoRA"])
    def test_of_a_model_with_other_layers_starts_a_dense_one_once_merged(self, settings, tmp_path, model):
        pretrain(model, ["tiny", "other"], tmp_path / "weights.pth", (), settings)
        start = {**settings, "pretrained": str(tmp_path / "weights.pth")}
        with pytest.raises(CheckpointError, match="`recbole-mpo merge` writes it as a dense model"):
            run("UniSRec", "target", (), start)
        merge_checkpoint(tmp_path / "weights.pth", tmp_path / "dense.pth")
        dense = run("UniSRec", "target", (), {**start, "epochs": 0, "pretrained": str(tmp_path / "dense.pth")})
        layers = run(model, "target", (), {**start, "epochs": 0})
        assert dense["test"] == pytest.approx(layers["test"])

    def test_trains_an_mpo_model_too(self, settings, tmp_path):
        record = pretrain("MPORec", ["tiny", "other"], tmp_path / "weights.pth", (), settings)
        state = load_checkpoint(tmp_path / "weights.pth")
        assert record["model"] == state["model"] == "MPORec" and any(".cores." in name for name in state["state_dict"])


class TestTheWeights:
    @pytest.fixture
    def weights(self, settings, tmp_path):
        go(settings, tmp_path)
        return tmp_path / "weights.pth"

    def test_are_the_best_ones_and_say_what_they_were_trained_on(self, settings, weights):
        state = load_checkpoint(weights)
        (best,) = weights.parent.glob("saved/*/best.pth")
        assert state[PRETRAINED_ON] == ["tiny", "other"] and "optimizer" not in state
        trained = load_checkpoint(best)["state_dict"]
        assert all(torch.equal(weight, trained[name]) for name, weight in state["state_dict"].items())

    @pytest.mark.parametrize("model", STRATEGIES)
    def test_are_the_function_that_every_strategy_starts_from(self, settings, weights, model):
        """Decomposed after loading, so that nothing is lost before the first step."""
        dense = built_run("UniSRec", "target", (), {**settings, "pretrained": str(weights)}).model.eval()
        other = built_run(model, "target", (), {**settings, "pretrained": str(weights)}).model.eval()
        torch.testing.assert_close(other.encode_items(), dense.encode_items(), atol=1e-5, rtol=1e-4)
        merged, stored = dense_state_dict(other), load_checkpoint(weights)["state_dict"]
        shared = [name for name in stored if name in merged]
        assert len(shared) == len(stored)
        for name in shared:
            torch.testing.assert_close(merged[name], stored[name], atol=1e-5, rtol=1e-4)

    def test_can_be_evaluated_without_training(self, settings, weights):
        zero_shot = run("UniSRec", "target", (), {**settings, "pretrained": str(weights), "epochs": 0})
        scratch = run("UniSRec", "target", (), {**settings, "epochs": 0})
        assert zero_shot["best_epoch"] == -1 and zero_shot["test"] != scratch["test"]

    def test_replace_only_a_file_of_pretraining(self, settings, weights, tmp_path):
        go(settings, tmp_path)
        (best,) = list(weights.parent.glob("saved/*/best.pth"))[:1]
        with pytest.raises(ConfigError, match="best.pth exists and is not of pretrain"):
            pretrain("UniSRec", ["tiny"], best, (), settings)
        with pytest.raises(ConfigError, match="is a folder; name the file"):
            pretrain("UniSRec", ["tiny"], tmp_path, (), settings)

    def test_of_other_features_explain_themselves(self, settings, weights):
        with pytest.raises(CheckpointError, match="is of another architecture: size mismatch for moe_adaptor"):
            run("UniSRec", "target", (), {**settings, "pretrained": str(weights), "hidden_size": 8})


class TestWeightings:
    @pytest.fixture
    def several(self, settings):
        return {**settings, "epochs": 3, "tasks": ["nip", "si", "rel"], "train_batch_size": 128}

    @pytest.mark.parametrize("weighting", [name for name in WEIGHTINGS if name != "static"])
    def test_go_on_bit_for_bit(self, several, tmp_path, weighting):
        several = {**several, "task_weighting": weighting, "weight_decay": 0.01}
        if weighting in ("alternating", "uncertainty"):
            several |= {"tasks": ["nip", "si"], "cross_task": "residual", "fuse": "gated"}
        whole = go(several, tmp_path)

        with interrupted_in(2):
            go(several, tmp_path)
        again = go(several, tmp_path, resume="auto")
        assert numbers(again) == numbers(whole)
        kinds = ("task_losses", "task_weights", "gradient_conflicts", "gradient_lengths")
        measured = [[epoch.get(kind) for kind in kinds] for record in (again, whole) for epoch in record["history"]]
        assert measured[:3] == measured[3:] and all(measured[2][:2])
        assert (measured[2][2] is not None) == (weighting in ("pcgrad", "gradnorm"))
        first, last = (torch.load(path, weights_only=True) for path in tmp_path.glob("saved/*/last.pth"))
        assert all(torch.equal(first["state_dict"][name], weight) for name, weight in last["state_dict"].items())

    @pytest.mark.parametrize("weighting", ["uncertainty", "dwa", "gradnorm", "alternating"])
    def test_stay_out_of_the_weights_for_later_runs(self, several, tmp_path, weighting):
        record = go({**several, "epochs": 1, "task_weighting": weighting, "tasks": ["nip", "mip"]}, tmp_path)
        trained = load_checkpoint(tmp_path / "saved" / record["run_id"] / "best.pth")["state_dict"]
        written = load_checkpoint(tmp_path / "weights.pth")
        dropped = trained.keys() - written["state_dict"].keys()
        assert dropped and all(name.startswith("objective.weighting.") for name in dropped)
        assert "task_weighting" not in written["config"]
        later = {**several, "pretrained": str(tmp_path / "weights.pth"), "tasks": ["nip", "mip"]}
        built_run("UniSRec", "target", (), {**later, "task_weighting": "gradnorm"}).model  # noqa: B018
        # The weights do not say where the data are.
        where = {"data_path": several["data_path"]}
        assert evaluate_checkpoint(tmp_path / "weights.pth", where)["valid"] == pytest.approx(record["valid"])


def test_a_small_domain_holds_out_one_user_and_one_of_a_single_user_none(settings, tiny_path, tmp_path, make_dataset):
    make_dataset(tiny_path, "few", users=8, seed=3)
    make_dataset(tiny_path, "one", users=1, seed=4)
    record = pretrain("UniSRec", ["tiny", "few", "one"], tmp_path / "weights.pth", (), settings)
    assert record["data"]["targets"]["valid"] == 4 + 1
    assert "few/ndcg@10" in record["valid"] and "one/ndcg@10" not in record["valid"]


def test_a_run_that_was_moved_goes_on_where_it_is(settings, tmp_path):
    record = go({**settings, "epochs": 1}, tmp_path)
    (tmp_path / "moved").mkdir()
    moved = tmp_path / "moved" / record["run_id"]
    (tmp_path / "saved" / record["run_id"]).rename(moved)
    go({**settings, "epochs": 2}, tmp_path, resume=str(moved))
    trained, written = (load_checkpoint(path)["state_dict"] for path in (moved / "best.pth", tmp_path / "weights.pth"))
    assert all(torch.equal(trained[name], weight) for name, weight in written.items())


def test_its_checkpoint_recommends_nothing_and_says_what_to_do(settings, tmp_path):
    go(settings, tmp_path)
    with pytest.raises(DataError, match=r"pre-trained on several datasets \(tiny\+other\); adapt it to one"):
        Recommender.from_checkpoint(tmp_path / "weights.pth", {"data_path": settings["data_path"]})


def test_other_features_than_those_of_pre_training_cause_a_warning(settings, tmp_path, caplog):
    go(settings, tmp_path)
    fine_tuned = {**settings, "pretrained": str(tmp_path / "weights.pth"), "feature_center": False}
    built_run("UniSRec", "target", (), fine_tuned).model  # noqa: B018
    assert "what it learned of texts does not apply: feature_center was True, is False" in caplog.text


def test_settings_of_domains_have_no_place_in_a_run(settings):
    with pytest.raises(ConfigError, match="held_out_users and feature_statistics have no effect without domains"):
        run("UniSRec", "tiny", (), {**settings, "held_out_users": 3, "feature_statistics": "joint"})
    with pytest.raises(ConfigError, match=r"domains are for pre-training \(recbole-mpo pretrain --domains=tiny,oth"):
        run("UniSRec", "target", (), {**settings, "domains": ["tiny", "other"]})


@pytest.mark.parametrize(
    ("model", "domains", "changes", "error", "message"),
    [
        ("UniSRec", [], {}, ConfigError, "name the datasets to pre-train on"),
        ("UniSRec", ["tiny", "tiny"], {}, ConfigError, "domains names a dataset twice"),
        ("UniSRec", ["tiny", "nowhere"], {}, DataError, "dataset 'nowhere' not found"),
        ("UniSRec", ["tiny"], {"item_input": "text+id"}, ConfigError, "needs item_input=text"),
        ("UniSRec", ["tiny"], {"evidence": ["covisit"]}, ConfigError, "needs no evidence"),
        ("UniSRec", ["tiny"], {"train_mode": "pairwise"}, ConfigError, "needs train_mode=packed"),
        ("UniSRec", ["tiny"], {"feature_file": "x.npy"}, ConfigError, "needs text_encoder, because a feature_file"),
        ("UniSRec", ["tiny"], {"eval_history": "masked"}, ConfigError, "needs eval_history=kept"),
        ("UniSRec", ["tiny"], {"metrics": ["GAUC", "NDCG"]}, ConfigError, "needs metrics that follow from ranks"),
        ("UniSRec", ["tiny"], {"eval_mode": "recbole"}, ConfigError, "needs eval_mode=ranks"),
        ("UniSRec", ["tiny"], {"epochs": 0}, ConfigError, "needs epochs of at least 1"),
        ("SASRec", ["tiny"], {}, ConfigError, "domains"),
    ],
)
def test_what_cannot_be_mixed_is_refused_in_one_line(settings, tmp_path, model, domains, changes, error, message):
    if model == "SASRec":
        settings = {key: settings[key] for key in ("data_path", "checkpoint_dir", "show_progress", "use_gpu")}
    with pytest.raises(error, match=message) as caught:
        pretrain(model, domains, tmp_path / "weights.pth", (), {**settings, **changes})
    assert "\n" not in str(caught.value) and not (tmp_path / "saved").exists()


def test_an_encoder_that_fits_each_dataset_is_refused(settings, tmp_path, monkeypatch):
    monkeypatch.undo()
    with pytest.raises(ConfigError, match="needs encoders that are not fitted to each dataset"):
        go(settings, tmp_path)

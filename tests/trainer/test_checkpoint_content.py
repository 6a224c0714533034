"""Fields of a checkpoint that hold something else give one line that names the file and the field."""

import copy

import pytest
import torch
from support import built_run, folder_of

from recbole_mpo.common.errors import CheckpointError
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.trainer.checkpoint import load_checkpoint
from recbole_mpo.trainer.checkpoint_content import IDENTITY_KEYS, ResumableContent, check_content


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The settings of a run of one epoch and what its ``last.pth`` holds."""
    from conftest import write_dataset

    root = tmp_path_factory.mktemp("content")
    write_dataset(root / "data")
    settings = {
        **{"data_path": str(root / "data"), "checkpoint_dir": str(root / "saved"), "cache_dir": str(root / "cache")},
        **{"text_encoder": "tfidf-svd", "show_progress": False, "use_gpu": False, "epochs": 1, "seed": 7},
        **{"train_batch_size": 4000, "hidden_size": 8, "inner_size": 8, "n_exps": 2, "n_layers": 1},
    }
    record = run("UniSRec", "tiny", (), settings)
    return settings, load_checkpoint(folder_of(record) / "last.pth")


GONE = object()


def changed(state, place: tuple, value):
    """Return a copy in which the entry at ``place`` is another, or missing."""
    state = copy.copy(state)
    if len(place) > 1:
        state[place[0]] = changed(state[place[0]], place[1:], value)
    elif value is GONE:
        del state[place[0]]
    else:
        state[place[0]] = value
    return state


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("format_version",), "1", "format_version: Input should be a valid integer"),
        (("state_dict",), [], "state_dict: Input should be a valid dictionary"),
        (("state_dict", "LayerNorm.bias"), 5, r"state_dict\.LayerNorm\.bias: Input should be an instance of Tensor"),
        (("state_dict", 7), torch.zeros(2), "state_dict.7.*: Input should be a valid string"),
        (("model",), None, "model: Input should be a valid string"),
        (("config",), None, "config: Input should be a valid dictionary"),
        (("config", "dataset"), GONE, "config.dataset should be a dataset's name"),
        (("config", "dataset"), 3, "config.dataset should be a dataset's name"),
        (("config", "n_layers"), torch.zeros(3), r"config\.n_layers.*"),
        (("epoch",), "0", "epoch: Input should be a valid integer"),
        (("epoch",), True, "epoch: Input should be a valid integer"),
        (("epoch",), 5, "epoch is 5, which is not the last of the history"),
        (("item_num",), 30, "item_tokens has 31 items, but item_num is 30"),
        (("item_num",), GONE, "item_num is missing"),
        (("item_tokens",), "a b", "item_tokens: Input should be an instance of Tensor"),
        (("item_tokens",), torch.zeros(3), r"item_tokens: should be bytes in one dimension, found torch\.float32 .*"),
        (("item_tokens",), torch.tensor([255, 254], dtype=torch.uint8), ".*codec can't decode byte 0xff.*"),
        (("feature_size",), GONE, "feature_size is missing"),
        (("feature_hash",), 5, "feature_hash: Input should be a valid string"),
        (("counts_hash",), [], "counts_hash: Input should be a valid string"),
        (("other_parameter",), 5, "other_parameter: Input should be a valid dictionary"),
        (("other_parameter",), {"item_names": "ab"}, "other_parameter.item_names should be a list of texts"),
        (("optimizer",), [1], "optimizer: Input should be a valid dictionary.*"),
        (("optimizer", "state"), None, r"optimizer\.state: Input should be a valid dictionary"),
        (("optimizer", "param_groups"), {}, r"optimizer\.param_groups: Input should be a valid list"),
        (("cur_step",), GONE, "cur_step: Field required"),
        (("cur_step",), -1, "cur_step: Input should be greater than or equal to 0"),
        (("best_valid_score",), "0.5", "best_valid_score: Input should be a valid number"),
        (("best_valid_result", "hit@10"), None, "best_valid_result.hit@10: Input should be a valid number"),
        (("history",), [{}], r"history\.0\.epoch: Field required \(and 2 more\)"),
        (("history",), [{"epoch": 0, "train_loss": torch.nan, "train_seconds": 1.0}], r"history\.0\.train_loss: .*"),
        (("pretraining",), None, "pretraining: Input should be a valid list"),
        (("rng",), None, "rng: Input should be a valid dictionary.*"),
        (("rng", "threads"), 0, r"rng\.threads: Input should be greater than or equal to 1"),
        (("rng", "torch"), torch.zeros(5056), r"rng\.torch: should be bytes in one dimension.*"),
        # NumPy would read beyond its state.
        (("rng", "numpy", "position"), 10**6, r"rng\.numpy\.position: Input should be less than or equal to 624"),
        (("rng", "numpy", "keys"), torch.zeros(3, dtype=torch.int64), r"rng\.numpy\.keys: should be 624 numbers of.*"),
        (("rng", "numpy", "keys"), torch.full((624,), 2**32), r"rng\.numpy\.keys: should be 624 numbers of 32 bits"),
        (("rng", "numpy", "kind"), "PCG64", r"rng\.numpy\.kind: String should match pattern.*"),
        (("rng", "python"), (3, "x", None), r"rng\.python\.1: Input should be a valid tuple"),
        (("loader_rng",), 5, "loader_rng: Input should be an instance of Tensor"),
        (("history", 0, "epoch"), 3, "epoch is 0, which is not the last of the history"),
    ],
)
def test_a_wrong_field_is_named(trained, tmp_path, place, value, message):
    path = tmp_path / "last.pth"
    torch.save(changed(trained[1], place, value), path)
    advice = r"use another file, such as last\.pth or best\.pth of the same run"
    with pytest.raises(CheckpointError, match=rf"^checkpoint {path} has wrong content: {message}; {advice}$"):
        load_checkpoint(path)


def test_numpys_words_are_all_numbers_of_32_bits(trained):
    place, words = ("rng", "numpy", "keys"), trained[1]["rng"]["numpy"]["keys"].clone()
    words[:2] = torch.tensor([0, 2**32 - 1])
    check_content(changed(trained[1], place, words), "last.pth", resumable=True)
    for wrong in (-1, 2**32):
        words[0] = wrong
        with pytest.raises(CheckpointError, match=r"rng\.numpy\.keys: should be 624 numbers of 32 bits"):
            check_content(changed(trained[1], place, words), "last.pth", resumable=True)


def test_every_field_that_is_needed_to_go_on_is_asked_for(trained):
    state = trained[1]
    check_content(state, "last.pth", resumable=True)
    required = {name for name, field in ResumableContent.model_fields.items() if field.is_required()}
    # Older versions wrote no item_tokens, no other_parameter, no pretraining and nothing fitted to texts.
    needed = required | {*IDENTITY_KEYS} - {"item_tokens"}
    optional = {"item_tokens", "other_parameter", "pretraining", "feature_sketch", "fitted_text", "fitted_words"}
    assert needed == state.keys() - optional
    for name in needed:
        with pytest.raises(CheckpointError, match=rf"has wrong content: {name}(: Field required| is missing)"):
            check_content(changed(state, (name,), GONE), "last.pth", resumable=True)


def test_of_a_foreign_file_only_what_is_read_is_checked():
    weights = {"a": torch.zeros(2)}
    check_content({"state_dict": weights, "optimizer": "adam", "epoch": 3, "history": None}, "x.pth")
    with pytest.raises(CheckpointError, match=r"x\.pth has wrong content: state_dict\.a: Input should be"):
        check_content({"state_dict": {"a": [0.0]}}, "x.pth")
    with pytest.raises(CheckpointError, match=r"x\.pth has wrong content: config: Input should be a valid dictionary"):
        check_content({"state_dict": weights, "config": "SASRec"}, "x.pth")


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("optimizer", "param_groups"), [], "has an optimizer of other parameters"),
        (("optimizer", "param_groups"), [{"lr": 1.0}], "has an optimizer of other parameters"),
        (("optimizer", "state", 0), {}, "has an optimizer whose state of parameter 0 does not fit the model"),
        (("optimizer", "state", 999), {}, "has an optimizer whose state of parameter 999 does not fit the model"),
        (("optimizer", "state", 1, "exp_avg"), torch.zeros(7, 5), "state of parameter 1 does not fit the model"),
        (("optimizer", "state", 1, "exp_avg"), "x", "state of parameter 1 does not fit the model"),
        (("optimizer", "state", 1, "step"), torch.zeros(2), "state of parameter 1 does not fit the model"),
        (("optimizer", "state", 1, "step"), torch.tensor(torch.nan), "does not fit the model or is not finite"),
        (("rng", "torch"), torch.zeros(9, dtype=torch.uint8), "random generators that cannot be restored"),
        (("rng", "torch"), torch.full((5056,), 255, dtype=torch.uint8), "random generators that cannot be restored"),
        (("rng", "python"), (3, (1, 2), None), "random generators that cannot be restored"),
        (("rng", "python"), (9, tuple(range(625)), None), "random generators that cannot be restored"),
        (("loader_rng",), torch.zeros(9, dtype=torch.uint8), "random generators that cannot be restored"),
        (("state_dict", "LayerNorm.bias"), torch.zeros(3), "is of another architecture: size mismatch for LayerNorm"),
    ],
)
def test_resuming_from_wrong_content_is_one_line(trained, tmp_path, place, value, message):
    settings, state = trained
    settings = {**settings, "epochs": 2}
    if place == ("loader_rng",):
        settings["train_mode"] = "pairwise"
    path = tmp_path / "last.pth"
    torch.save(changed(state, place, value), path)
    built = built_run("UniSRec", "tiny", (), settings)
    with pytest.raises(CheckpointError, match=rf"^checkpoint {path} .*{message}"):
        built.trainer(tmp_path).resume(path, built.loaders[0])

"""The model card: figures with their protocol, hashes of data, counts, and how to load it."""

import copy

import pytest

from recbole_mpo.release.model_card import model_card

CONFIG = {
    "model": "UniSRec",
    "candidates": 31,
    "encoders": [{"encoder": "minilm"}],
    "settings": {"item_input": "text", "evidence": ["covisit", "words"]},
    "run": {
        "label": "MPORec + evidence",
        "trained_as": "MPORec",
        "dataset": "tiny",
        "run_id": "MPORec-tiny-1",
        "seed": 7,
        "best_epoch": 3,
        "valid": {"hit@10": 0.25, "ndcg@10": 0.125},
        "test": {"hit@10": 0.24999, "ndcg@10": 0.1},
        "protocol": {
            "eval_history": "kept", "eval_args": {"split": {"LS": "valid_and_test"}}, "valid_metric": "NDCG@10"
        },
        "data": {"users": 40, "items": 30, "targets": {"train": 200, "test": 40}, "files": {"tiny.inter": "ab" * 32}},
        "params": {"total": 1234, "trainable": 1000, "by_group": {"encoder": {"total": 1234, "trainable": 1000}}},
    },
}  # fmt: skip


def card(**changes):
    config = copy.deepcopy(CONFIG)
    config["run"].update(changes)
    return model_card(config, 2_500_000, 'i"3', "Red wooden lamp")


def test_it_says_what_the_model_is_and_what_it_reached():
    text = card()
    assert "# MPORec + evidence on tiny" in text
    assert "the model UniSRec, which reads item text (encoded by minilm), with evidence of covisit, words." in text
    assert "trained as MPORec, whose layers are merged" in text and "30 items" in text and "2.5 MB" in text
    assert "| test | 0.2500 | 0.1000 |" in text and "items of the history are candidates too" in text
    assert "Epoch 3 was chosen by NDCG@10 on valid. Seed 7, one run: `MPORec-tiny-1`." in text
    assert f"| tiny.inter | `{'ab' * 32}` |" in text and "40 users, 30 items." in text
    assert "| encoder | 1,234 | 1,000 |" in text and "the licence of the data is that of their source" in text
    assert 'search("wooden")' in text and 'recommend([["i\\"3"]], topk=5)' in text


def test_what_is_not_known_is_said():
    text = card(test={}, data={}, params={})
    assert "None: no record of a finished run lay beside the checkpoint." in text
    assert text.count("Not known.") == 2


def test_weights_that_training_began_with_are_said():
    assert "began with pre-trained weights: sha256 `cd" in card(pretrained={"file": "x.pth", "sha256": "cd" * 32})
    assert "pre-trained" not in card()


def test_edited_files_and_masked_histories_are_said():
    text = card(data={**CONFIG["run"]["data"], "edited": ["tiny.text"]}, protocol={"eval_history": "masked"})
    assert "Changed since the training: tiny.text." in text and "items of the history are no candidates" in text


@pytest.mark.parametrize("key", [*CONFIG["run"]])
@pytest.mark.parametrize("value", [None, 3, "text", [1], {"a": 1}])
def test_a_foreign_run_costs_no_more_than_its_lines(key, value):
    text = card(**{key: value})
    assert "## How to load it" in text and "## Licence" in text


def test_lines_of_others_stay_lines():
    assert "\n# mine" not in card(label="x\n# mine", dataset="y\n# mine")

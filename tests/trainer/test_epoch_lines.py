"""What a run says per epoch: one line, with the time that is left."""

import pytest

from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.trainer.epoch_lines import duration, epoch_line

TRAINED = {"epoch": 3, "train_loss": 6.43211, "train_seconds": 11.0}
EVALUATED = {**TRAINED, "valid_seconds": 1.0, "valid": {"ndcg@10": 0.054321, "hit@10": 0.2}}


@pytest.mark.parametrize(
    ("last", "epochs", "metric", "is_best", "line"),
    [
        (EVALUATED, 10, "NDCG@10", True, "epoch 3   loss 6.4321   valid ndcg@10 0.0543 best   12.0 s   "),
        (EVALUATED, 100, "NDCG@10", False, "epoch  3   loss 6.4321   valid ndcg@10 0.0543        12.0 s   "),
        (TRAINED, 10, "NDCG@10", False, "epoch 3   loss 6.4321   11.0 s   "),
        (TRAINED, 10, None, False, "epoch 3   loss 6.4321   11.0 s   "),
    ],
)
def test_a_line_has_loss_metric_seconds_and_the_time_left(last, epochs, metric, is_best, line):
    seconds = 12 if "valid" in last and metric else 11
    left = duration((epochs - 4) * seconds)
    assert epoch_line([last], epochs, metric, is_best) == f"{line}at most {left} left"


def test_the_last_epoch_has_none_left():
    assert epoch_line([EVALUATED], 4, "NDCG@10").endswith("12.0 s")


def test_the_time_left_follows_the_newest_five_epochs():
    slow = [{**TRAINED, "epoch": epoch, "train_seconds": 1000.0} for epoch in range(5)]
    fast = [{**TRAINED, "epoch": epoch, "train_seconds": 2.0} for epoch in range(5, 10)]
    assert epoch_line(slow + fast, 20, None).endswith("at most 20 s left")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (130, "2 min 10 s"), (3600, "1 h 0 min"), (9065, "2 h 31 min")],
)
def test_durations_are_words_of_two_units(seconds, words):
    assert duration(seconds) == words


def lines_of(settings, capsys, **changes):
    run("MPORec", "tiny", (), {**settings, **changes})
    captured = capsys.readouterr()
    assert "\x1b" not in captured.out + captured.err
    assert "\r" not in captured.err, "a bar was drawn without a terminal"
    return [line for line in captured.out.splitlines() if line.startswith(("epoch", "stopped"))]


def test_a_run_writes_one_line_per_epoch(tiny_settings, capsys):
    first, second = lines_of(tiny_settings, capsys, epochs=2, show_progress=True)
    assert first.startswith("epoch 0   loss ") and "valid ndcg@10" in first and first.endswith("left")
    assert " best " in first and second.startswith("epoch 1   loss ")


def test_epochs_without_validation_have_their_line_too(tiny_settings, capsys):
    lines = lines_of(tiny_settings, capsys, epochs=4, eval_step=2)
    assert ["valid" in line for line in lines] == [False, True, False, True]


@pytest.mark.parametrize("eval_step", [1, 2])
def test_early_stopping_says_which_epoch_was_best(tiny_settings, capsys, eval_step):
    """An epoch, not an evaluation."""
    settings = {**tiny_settings, "eval_step": eval_step}
    lines = lines_of(settings, capsys, epochs=50, stopping_step=2, learning_rate=0.05)
    best = max(int(line.split()[1]) for line in lines if " best " in line)
    assert lines[-1] == f"stopped: no better ndcg@10 after epoch {best}"

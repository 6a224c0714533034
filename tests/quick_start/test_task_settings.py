"""Settings of tasks that do not fit together, or that would have no effect."""

import pytest

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.quick_start.configure import make_config
from recbole_mpo.quick_start.task_settings import check_tasks

TWO = ["nip", "si"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tasks": ["nip", "si", "nip"]}, "tasks names one of nip, si, nip twice"),
        ({"tasks": ["nip", "ss"], "item_input": "text+id"}, "task ss compares item vectors, which have no ids here"),
        ({"task_weighting": "pcgrad"}, "task_weighting is for several tasks, but tasks names nip alone"),
        ({"tasks": "si", "task_weighting": "average"}, "task_weighting is for several tasks, but tasks names si alone"),
        ({"loss_norm": "logN"}, "loss_norm is for several tasks"),
        ({"cross_task": "residual"}, "cross_task is for several tasks"),
        ({"task_weights": {"nip": 2}}, "task_weights is for several tasks"),
        ({"tasks": TWO, "task_weights": {"ss": 0.1}}, "task_weights names ss, which tasks does not name"),
        *(
            (
                {"tasks": TWO, "task_weighting": name, "task_weights": {"si": 0.1}},
                f"task_weighting={name} has weights of its own; leave task_weights out",
            )
            for name in ("average", "uncertainty", "gradnorm")
        ),
        (
            {"tasks": TWO, "task_weighting": "dwa", "weighting_lr_multiplier": 3.0},
            "weighting_lr_multiplier has no effect without task_weighting=uncertainty or gradnorm",
        ),
        ({"weighting_lr_multiplier": 3.0}, "weighting_lr_multiplier has no effect without"),
        ({"tasks": TWO, "fuse": "mean"}, "fuse=mean has no effect without cross_task"),
        (
            {"tasks": ["nip", "rel"], "cross_task": "attention"},
            "cross_task=attention connects the views of histories: tasks needs two of nip, si, ss, mip",
        ),
        ({"tasks": TWO, "train_mode": "pairwise"}, "tasks other than nip need train_mode=packed"),
        ({"tasks": TWO, "task_weighting": "best"}, "task_weighting"),
    ],
)
def test_what_has_no_effect_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message) as caught:
        make_config("MPORec", "any", (), settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"tasks": "si"},
        {"tasks": TWO, "task_weights": {"si": 0.1}, "task_weighting": "pcgrad", "loss_norm": "logN"},
        {"tasks": TWO, "task_weighting": "gradnorm", "weighting_lr_multiplier": 1.0},
        {"tasks": ["ss", "rel", "mip"], "cross_task": "residual", "fuse": "gated"},
        {"task_weights": {}},
    ],
)
def test_what_has_an_effect_is_not(settings):
    make_config("UniSRec", "any", (), settings)


def test_models_without_tasks_have_nothing_to_check():
    check_tasks("GRU4Rec", {"train_mode": "pairwise", "tasks": None})

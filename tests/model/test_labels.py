"""What tables call a run, from its model and settings."""

import pytest

from recbole_mpo.quick_start.configure import make_config

PETERREC = {"train_stage": "finetune", "pretrained": "other/best.pth"}
ANEW = {"train_stage": "finetune"}


@pytest.mark.parametrize(
    ("model", "settings", "label"),
    [
        ("MPORecExpand", {"mpo_expand": 4}, "MPORecExpand (t = 4)"),
        ("MPORecExpand", {}, "MPORecExpand (t = 2)"),
        ("MPORec", {"mpo_strategy": "expand", "mpo_expand": 6}, "MPORec (t = 6)"),
        ("MPORecLight", {}, "MPORecLight"),
        ("MPORec", {"evidence": ["covisit"]}, "MPORec + co-visits"),
        ("UniSRec_F", {}, "UniSRec_F"),
        ("SASRecCE", {"evidence": ["words", "two_hop"]}, "SASRecCE + words + two hops"),
        ("UniSRec", {"evidence": ["words", "two_hop", "covisit"]}, "UniSRec + evidence"),
        ("CountText", {}, "CountText"),
        ("PeterRec", {**PETERREC, "train_stage": "pretrain"}, "PeterRec-text (pretrain)"),
        ("PeterRec", PETERREC, "PeterRec-text (serial)"),
        ("PeterRec", {**PETERREC, "patch_form": "parallel"}, "PeterRec-text (parallel)"),
        ("PeterRec", {**PETERREC, "finetune_mode": "FineCLS"}, "PeterRec-text (FineCLS)"),
        ("PeterRec", {**PETERREC, "cls_token": False}, "PeterRec-text (serial, last item)"),
        ("PeterRec", {**PETERREC, "item_input": "id"}, "PeterRec (serial)"),
        ("PeterRec", {**ANEW, "finetune_mode": "fineall"}, "PeterRec-text (FineAll, from scratch)"),
        (
            "PeterRec",
            {**ANEW, "finetune_mode": "peterzero", "patch_form": "parallel"},
            "PeterRec-text (PeterZero, parallel)",
        ),
        ("Pop", {}, "Pop"),
        ("SASRec", {}, "SASRec"),
    ],
)
def test_labels(model, settings, label):
    spec, config = make_config(model, "tiny", (), settings)
    assert spec.model_class.label(spec.name, config) == label

"""Nothing that training sees comes from the rows of valid and test."""

import numpy as np
import pandas as pd
import pytest
import torch

from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.quick_start.registry import OWN_MODELS, find_model
from recbole_mpo.trainer import checkpoint

KEYS = ("data_path", "checkpoint_dir", "cache_dir", "text_encoder", "show_progress", "use_gpu", "seed")
CHANGES = {
    "S3RecFixed": {"pretrain_epochs": 1},
    # RecBole's time goes with the length of its rows.
    "S3Rec": {"pretrain_epochs": 1, "MAX_ITEM_LIST_LENGTH": 15},
    "CCDR": {"ccdr_clusters": 4},
}
COUNTING = ("Pop", "CoVisit", "TextKNN", "CountText")
# One text model and one of ids stand for all that have evidence.
CASES = [(name, CHANGES.get(name, {})) for name in OWN_MODELS if name not in COUNTING]
CASES += [("MPORec", {"evidence": ["covisit", "words", "two_hop"]}), ("SASRecCE", {"evidence": ["covisit"]})]
CASES += [(name, CHANGES.get(name, {})) for name in ("SASRec", "GRU4Rec", "BERT4Rec", "S3Rec")]


@pytest.fixture
def settings(tiny_settings, tiny_path):
    """The first user has all items in order, so that later rows cannot change their numbers."""
    path = tiny_path / "tiny" / "tiny.inter"
    lines = path.read_text(encoding="utf-8").splitlines()
    first = [f"all\ti{item}\t{1000 + item}" for item in range(30)]
    path.write_text("\n".join([lines[0], *first, *lines[1:]]) + "\n", encoding="utf-8")
    return {**{key: tiny_settings[key] for key in KEYS}, "epochs": 1, "train_batch_size": 64}


def exchange_held_out_items(path):
    """Gives every other user's last two interactions the items of somebody else's."""
    frame = pd.read_csv(path, sep="\t", dtype=str)
    user, item, time = frame.columns
    others = frame[frame[user] != "all"].assign(when=lambda rows: rows[time].astype(int))
    newest = others.sort_values("when").groupby(user).tail(2).index
    before = frame.loc[newest, item].to_numpy()
    frame.loc[newest, item] = np.roll(before, 5)
    assert (frame.loc[newest, item] != before).mean() > 0.8
    frame.to_csv(path, sep="\t", index=False)


def has_text(name) -> bool:
    return find_model(name).model_class.item_inputs not in ((), ("id",))


def trained_state(name, settings):
    record = run(name, "tiny", (), settings)
    return checkpoint.load_checkpoint(f"{settings['checkpoint_dir']}/{record['run_id']}/last.pth")["state_dict"]


@pytest.mark.parametrize(("name", "changes"), CASES)
def test_editing_rows_of_valid_and_test_changes_no_trained_state(settings, tiny_path, name, changes):
    settings = {**settings, **changes}
    if not has_text(name):
        del settings["text_encoder"]
    before = trained_state(name, settings)
    exchange_held_out_items(tiny_path / "tiny" / "tiny.inter")
    after = trained_state(name, settings)
    assert before.keys() == after.keys()
    changed = [key for key in before if not torch.equal(before[key], after[key])]
    assert not changed

"""A base and what several strategies make of it, on the data of the other tests."""

from recbole_mpo.quick_start.recorded_run import run

# Settings of each strategy; the last two train what belongs to a dataset as well.
FREEZES = ["encoder", "positions"]
STRATEGIES = {
    "light": {"model": "MPORecLight", "freeze": FREEZES},
    "expand": {"model": "MPORecExpand", "freeze": FREEZES},
    "lora": {"model": "LoRA", "freeze": FREEZES},
    "patches": {"model": "UniSRec", "adapter": "patches", "patch_reduction": 4},
    "ids": {"model": "UniSRec_F", "item_input": "text+id", "id_size": 4},
    "evidence": {"model": "MPORecLight", "evidence": ["covisit", "words"], "freeze": FREEZES},
}


def base_of(settings, folder, seed=7):
    """Return the file of a dense model, trained for an epoch."""
    record = run("UniSRec", "tiny", (), {**settings, "epochs": 1, "seed": seed})
    return folder / "saved" / record["run_id"] / "best.pth"


def tuned(settings, folder, base, strategy, dataset="tiny", **others):
    """Return the file of a model that a strategy trained from a base, and its record."""
    chosen = {**STRATEGIES[strategy], **others}
    record = run(chosen.pop("model"), dataset, (), {**settings, "pretrained": str(base), "epochs": 1, **chosen})
    return folder / "saved" / record["run_id"] / "best.pth", record

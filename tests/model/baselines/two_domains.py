"""What the tests of CCDR build on: two small domains, and runs of the model on them."""

import numpy as np
from support import built_run

KEYS = ("data_path", "checkpoint_dir", "cache_dir", "text_encoder", "show_progress", "use_gpu", "seed", "hidden_size")
WORDS = "garden lamp steel cup cotton chair paper brush glass table".split()


def write_domain(folder, name: str, users: int, seed: int, user: str = "u"):
    """Items of ten words, five items a word; histories stay with a word or go to the next one."""
    draw = np.random.default_rng(seed)
    target = folder / name
    target.mkdir(parents=True)
    rows = ["user_id:token\titem_id:token\ttimestamp:float"]
    for number in range(users):
        word = int(draw.integers(10))
        for step in range(8):
            rows.append(f"{user}{number}\t{word * 5 + int(draw.integers(5))}\t{step}")
            word = (word + int(draw.random() < 0.3)) % 10
    (target / f"{name}.inter").write_text("\n".join(rows) + "\n", encoding="utf-8")
    titles = [f"{item}\t{WORDS[item // 5]} {name} {'abcde'[item % 5] * 3}." for item in range(50)]
    text = ["item_id:token\ttext:token_seq", *titles]
    (target / f"{name}.text").write_text("\n".join(text) + "\n", encoding="utf-8")


def two_domain_settings(tiny_settings, folder) -> dict:
    """Write the domains ``few`` and ``many`` into a folder; return the settings of a run on the first."""
    write_domain(folder, "few", 40, 0)
    write_domain(folder, "many", 150, 1, "v")
    kept = {key: tiny_settings[key] for key in KEYS}
    return {**kept, "train_batch_size": 64, "epochs": 1, "ccdr_source": "many", "ccdr_clusters": 6}


def experiment(settings, **changes):
    return built_run("CCDR", "few", (), {**settings, **changes})


def batch_of(parts):
    parts.loaders[0].set_epoch(0)
    return next(iter(parts.loaders[0]))


def taught(model, loss) -> set[str]:
    model.zero_grad()
    loss.backward()
    return {name for name, value in model.named_parameters() if value.grad is not None and value.grad.any()}

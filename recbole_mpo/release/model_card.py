"""The card of a model folder: what the model is, what it was trained on, what it reached, how to load it."""

import json
import re
from collections.abc import Callable

from recbole_mpo.common.terminal import one_line
from recbole_mpo.common.values import as_list

FRONT_MATTER = "---\nlibrary_name: recbole_mpo\ntags: [sequential-recommendation, text-based-recommendation]\n---"
LICENCE = (
    "The code that loads it is under the MIT licence. The weights and vectors were computed from the data above, and "
    "the file `items.jsonl` holds item texts: the licence of the data is that of their source."
)
LOAD = """```python
from recbole_mpo.release import Recommender

recommender = Recommender.from_pretrained("this/folder")
print(recommender.search({word}))
print(recommender.recommend([[{token}]], topk=5))
```"""


def model_card(config: dict, size: int, token: str, title: str) -> str:
    """Return the card of a model folder as Markdown.

    Args:
        config: content of its ``config.json``.
        size: bytes of its files.
        token: token of an item, for the example.
        title: its title.
    """
    run = config["run"]
    trained_as, model = one_line(str(run.get("trained_as", config["model"]))), config["model"]
    heading = f"# {one_line(str(run.get('label', trained_as)))} on {one_line(str(run.get('dataset', '?')))}"
    merged = "" if trained_as == model else f" It was trained as {trained_as}, whose layers are merged into dense ones."
    text = (
        f"A sequential recommender of recbole_mpo: the model {model}, which reads {_reads(config)}.{merged} It ranks "
        f"{config['candidates'] - 1:,} items, and needs no dataset: {size / 1e6:.1f} MB in all."
    )
    word = max(re.findall(r"\w+", title), key=len, default="")
    example = LOAD.format(word=json.dumps(word), token=json.dumps(token))
    parts = [FRONT_MATTER, heading, text, "## Data", _known(_data, run), "## Figures", _known(_figures, run)]
    parts += ["## Parameters", _known(_parameters, run), "## How to load it", example, "## Licence", LICENCE]
    return "\n\n".join(parts)


def _known(part: Callable[[dict], str], run: dict) -> str:
    """Return a part of the card; a folder of others may say of its run what it likes."""
    try:
        return part(run)
    except (AttributeError, LookupError, TypeError, ValueError):
        return "Not known."


def _reads(config: dict) -> str:
    what = {"text": "item text", "text+id": "item text and ids", "id": "item ids"}
    kinds = ", ".join(map(str, as_list(config["settings"].get("evidence"))))
    read = what.get(str(config["settings"].get("item_input")), "histories")
    names = [encoder.get("encoder", "") for encoder in config.get("encoders") or [] if isinstance(encoder, dict)]
    encoded = f" (encoded by {one_line(', '.join(map(str, names)))})" if names else ""
    return f"{read}{encoded}{f', with evidence of {one_line(kinds)}' if kinds else ''}"


def _data(run: dict) -> str:
    data = run.get("data", {})
    targets = data.get("targets", {})
    lines = [f"{data['users']:,} users, {data['items']:,} items."] if {"users", "items"} <= data.keys() else []
    lines += [f"Targets: {', '.join(f'{count:,} {split}' for split, count in targets.items())}."] if targets else []
    rows = [f"| {one_line(name)} | `{value}` |" for name, value in data.get("files", {}).items()]
    table = ["", "| file | sha256 |", "|---|---|", *rows] if rows else []
    edited = data.get("edited") or []
    note = ["", f"Changed since the training: {one_line(', '.join(edited))}."] if edited else []
    source = run.get("pretrained") or {}
    note += ["", f"Training began with pre-trained weights: sha256 `{source['sha256']}`."] if source else []
    return "\n".join([*lines, *table, *note]) or "Not known."


def _figures(run: dict) -> str:
    if not run.get("test"):
        return "None: no record of a finished run lay beside the checkpoint."
    protocol = run.get("protocol", {})
    names = list(run["test"])
    splits = [split for split in ("valid", "test") if run.get(split)]
    cells = {split: [f"{run[split][name]:.4f}" if name in run[split] else "" for name in names] for split in splits}
    rows = [f"| {split} | {' | '.join(cells[split])} |" for split in splits]
    table = [f"| split | {' | '.join(names)} |", f"|---|{'---|' * len(names)}", *rows]
    order = (protocol.get("eval_args") or {}).get("split", {})
    note = (
        f"All items are ranked; items of the history are {_history(protocol)}. Split: `{order}`. Epoch "
        f"{run.get('best_epoch')} was chosen by {protocol.get('valid_metric')} on valid. Seed {run.get('seed')}, one "
        f"run: `{run.get('run_id')}`."
    )
    return "\n".join([*table, "", note])


def _history(protocol: dict) -> str:
    return "no candidates" if protocol.get("eval_history") == "masked" else "candidates too"


def _parameters(run: dict) -> str:
    counts = run.get("params", {})
    if not counts.get("by_group"):
        return "Not known."
    rows = [
        f"| {one_line(group)} | {one['total']:,} | {one['trainable']:,} |" for group, one in counts["by_group"].items()
    ]
    total = f"| all | {counts['total']:,} | {counts['trainable']:,} |"
    return "\n".join(["As it was trained:", "", "| group | total | trained |", "|---|---|---|", *rows, total])

"""Recommenders of small untrained models, and folders of them, for tests of release."""

import json
from pathlib import Path

import torch
from support import built_run

from recbole_mpo.common.files import file_hash
from recbole_mpo.release.recommend import Recommender

HISTORIES = [["i3", "i4", "i9"], ["i7"], [f"i{number % 9}" for number in range(60)], ["i1", "i1", "i20"]]
EVIDENCE = ["covisit", "words", "two_hop"]


def recommender_of(settings: dict, model: str = "UniSRec", dataset: str = "tiny", **changes) -> Recommender:
    """Return a recommender of an untrained model whose weights all differ from their start."""
    one = built_run(model, dataset, (), {**settings, **changes})
    draw = torch.Generator().manual_seed(5)
    # Not as a run begins it: patches would need pre-trained weights.
    train = one.splits[0]
    one.experiment.seed()
    built = one.spec.build(one.config, train)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=draw)
    return Recommender.of(one.experiment, built)


def answers(recommender, histories=HISTORIES, **options):
    """Return tokens, scores and titles that are recommended."""
    found = recommender.recommend(histories, **options)
    return [[(item.token, item.score, item.title) for item in one] for one in found]


def edit(folder: Path, name: str, change):
    """Change a file of a folder, and its size and hash in the manifest: damage that hashes do not show.

    Args:
        folder: the folder.
        name: the file.
        change: function that changes the content of JSON, or the bytes of other files.
    """
    path = folder / name
    if name.endswith(".json"):
        content = json.loads(path.read_text())
        path.write_text(json.dumps(change(content) or content))
    else:
        path.write_bytes(change(path.read_bytes()))
    if name != "manifest.json":
        sign(folder, name)


def sign(folder: Path, name: str):
    """Write the present size and hash of a file into the manifest."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = {"sha256": file_hash(folder / name), "size": (folder / name).stat().st_size}
    (folder / "manifest.json").write_text(json.dumps(manifest))

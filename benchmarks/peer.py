"""Training targets per second against RecTools' UniSRec, on the same histories and item features, in one run.

    python benchmarks/peer.py [--dataset=Scientific] [--steps=8] [--peer_steps_timed=5] [--output=FILE]
                              [--key=value ...]

Needs the environment ``benchmarks/peers/.venv`` (peers/README.md). What is the same and what differs stands in
peers/rectools_unisrec.py.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from recbole_mpo.common.process import prepare_process

prepare_process()

import numpy as np  # noqa: E402 - the process is prepared before PyTorch is loaded
import torch  # noqa: E402
from common import SETTINGS, main, median  # noqa: E402
from peers.export import export  # noqa: E402
from train_step import packed_steps  # noqa: E402

PEERS = Path(__file__).resolve().parent / "peers"


def peer_steps(dataset: str, settings: dict, steps: int) -> dict:
    """RecTools' steps, in its own environment."""
    with tempfile.TemporaryDirectory() as folder:
        histories, features = export(dataset, {**SETTINGS, **settings}, folder)
        output = Path(folder) / "peer.json"
        command = [PEERS / ".venv" / "bin" / "python", PEERS / "rectools_unisrec.py"]
        options = {
            "histories": histories,
            "features": features,
            "output": output,
            "steps": steps,
            "threads": torch.get_num_threads(),
        }
        subprocess.run([*command, *(f"--{key}={value}" for key, value in options.items())], check=True)
        return json.loads(output.read_text(encoding="utf-8"))


def measure(dataset: str = "Scientific", steps: int = 8, peer_steps_timed: int = 5, **settings) -> dict:
    """Return the ratio of seconds per target, RecTools' over packed, which is timed before and after."""
    before = packed_steps(dataset, settings, steps)
    theirs = peer_steps(dataset, settings, peer_steps_timed)
    after = packed_steps(dataset, settings, steps)
    per_target = median(np.concatenate([np.divide(s["seconds"], s["targets"]) for s in (before, after)]))
    return {
        "dataset": dataset,
        "rectools": median(theirs["seconds_per_target"]) / per_target,
        "seconds_per_target": {"packed": per_target, "rectools": median(theirs["seconds_per_target"])},
        "samples": {"packed_before": before, "packed_after": after, "rectools": theirs},
    }


if __name__ == "__main__":
    sys.exit(main(measure, sys.argv[1:]))

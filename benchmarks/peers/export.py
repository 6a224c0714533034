"""Writes what a peer trains on: this package's training histories and item features of one dataset.

    python benchmarks/peers/export.py --folder=DIR [--dataset=Scientific] [--data_path=../shared/data] [--key=value ...]

Runs in this package's environment. Shapes: I interactions, W windows, N items with PAD as item 0, F feature.
"""

import sys
from pathlib import Path

from recbole_mpo.common.process import prepare_process

prepare_process()

import numpy as np  # noqa: E402 - the process is prepared before PyTorch is loaded

from recbole_mpo.common.values import parse_assignments  # noqa: E402
from recbole_mpo.data.sequences import training_windows  # noqa: E402
from recbole_mpo.quick_start.experiment import Experiment  # noqa: E402


def export(dataset: str, settings: dict, folder: str | Path) -> tuple[Path, Path]:
    """Writes the inputs of a dataset for UniSRec with these settings, see :func:`write_inputs`."""
    return write_inputs(Experiment.of("UniSRec", dataset, (), settings), folder)


def write_inputs(experiment: Experiment, folder: str | Path) -> tuple[Path, Path]:
    """Writes ``histories.npz`` and ``features.npy`` into ``folder`` and returns their paths.

    The histories are int64 ``values`` [I], and ``starts`` and ``lengths`` [W]: history w is
    ``values[starts[w] : starts[w] + lengths[w]]``, a training window's inputs and the one item after them. The
    features are the model's own float32 [N, F], row 0 PAD.
    """
    features = experiment.data.dataset.item_features().cpu().numpy()
    train = experiment.data.splits[0]
    windows = training_windows(train.rows(), experiment.config["MAX_ITEM_LIST_LENGTH"])
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    histories_path, features_path = folder / "histories.npz", folder / "features.npy"
    values = train.flat_items.astype(np.int64)
    np.savez(histories_path, values=values, starts=windows.starts, lengths=windows.lengths + 1)
    np.save(features_path, features.astype(np.float32))
    return histories_path, features_path


def main(arguments: list[str]) -> int:
    """Exports the dataset that the arguments name."""
    settings = {"data_path": "../shared/data", "show_progress": False, "use_gpu": False, **parse_assignments(arguments)}
    dataset, folder = settings.pop("dataset", "Scientific"), settings.pop("folder", None)
    if folder is None:
        print("--folder=DIR is missing: the folder to write histories.npz and features.npy into")
        return 2
    print(*export(dataset, settings, folder))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

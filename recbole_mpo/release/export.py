"""Write the model of a checkpoint as a folder that needs no dataset."""

from pathlib import Path

from recbole_mpo.release.folder_files import check_replaceable
from recbole_mpo.release.recommend import Recommender


def export_checkpoint(path: str | Path, output: str | Path, overrides: dict | None = None):
    """Write a model folder for ``Recommender.from_pretrained``; the dataset is read once more, for vectors and titles.

    Args:
        path: file of a checkpoint. The figures of a ``best.pth`` are read from the ``record.json`` beside it.
        output: the folder to write; an existing one is replaced only if it was exported too.
        overrides: settings that override those of the checkpoint.

    Raises:
        CheckpointError: the checkpoint cannot be used, or its model has no folder; or the output is a folder of others,
            or it cannot be written.
        ConfigError: the settings do not fit together.
        DataError: the dataset cannot be read, or the model cannot recommend.
    """
    # Before minutes of encoding are lost.
    check_replaceable(Path(output).resolve())
    Recommender.from_checkpoint(path, overrides).save_pretrained(output)

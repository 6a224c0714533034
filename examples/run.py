"""Run a notebook in a folder of its own and keep its outputs: ``python examples/run.py examples/quickstart.ipynb``."""

import os
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient


def run_notebook(path: str | Path, folder: str | Path) -> nbformat.NotebookNode:
    """Return a notebook with the outputs of running it in ``folder``.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell raised an error.
    """
    notebook = nbformat.read(path, as_version=4)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, kernel_name="python3", resources=resources, coalesce_streams=True).execute()
    for cell in notebook.cells:
        # When a cell ran would be another change at every run.
        cell.metadata.pop("execution", None)
    return notebook


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        nbformat.write(run_notebook(sys.argv[1], folder), sys.argv[1])

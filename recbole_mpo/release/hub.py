"""Model folders on the Hugging Face hub, through its own client (extra ``[hub]``)."""

import re
import tempfile
from pathlib import Path

from recbole_mpo.common.errors import CheckpointError, DependencyError
from recbole_mpo.common.values import shown
from recbole_mpo.release.folder_files import FILES, MANIFEST
from recbole_mpo.text.encoder_folders import first_line

# owner/name or name; not what only a path can be.
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def local_folder(name: str | Path, revision: str | None = None) -> Path:
    """Return the folder of a model: one of this machine if there is one of that name, or else one of the hub.

    Args:
        name: a folder, or a name on the hub such as ``owner/model``.
        revision: branch, tag or commit on the hub.

    Raises:
        CheckpointError: there is no such folder, and the hub does not give it.
        DependencyError: huggingface_hub is missing.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists():
        raise CheckpointError(f"{folder} is a file; give the model folder, or use --checkpoint for a checkpoint")
    if isinstance(name, Path) or not HUB_ID.fullmatch(name):
        raise CheckpointError(f"model folder {folder} does not exist, and {shown(str(name))} is not a name on the hub")
    hub = _client()
    try:
        return Path(hub.snapshot_download(name, revision=revision, allow_patterns=[*FILES, MANIFEST]))
    except Exception as problem:  # unknown name, no network, no access: many unrelated types
        raise CheckpointError(
            f"model folder {name} does not exist here, and the hub does not give it ({first_line(problem)})"
        ) from problem


def push(write, repo_id: str, private: bool | None = None, token: str | None = None, api=None, revision=None) -> str:
    """Write a model folder and upload it; return the address of the commit as the client gives it.

    Args:
        write: function that writes the folder, given its path.
        repo_id: name on the hub, such as ``owner/model``; it is made if it is not there.
        private: whether a new repository is private; the owner's default when left out.
        token: access token; that of ``hf auth login`` when left out.
        api: client to use instead of ``huggingface_hub.HfApi``.
        revision: branch to upload to.

    Raises:
        DependencyError: huggingface_hub is missing.
    """
    api = api or _client().HfApi(token=token)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        write(folder)
        api.create_repo(repo_id, private=private, exist_ok=True)
        done = api.upload_folder(
            repo_id=repo_id, folder_path=str(folder), revision=revision, commit_message="Model of recbole_mpo"
        )
    return str(done)


def _client():
    try:
        import huggingface_hub
    except ImportError as problem:
        raise DependencyError(
            "the Hugging Face hub needs the package huggingface_hub: pip install recbole-mpo[hub] (a folder of this "
            "machine needs nothing more)"
        ) from problem
    return huggingface_hub

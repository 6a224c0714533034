"""Which existing files a command may replace: those that it wrote, and never what it reads."""

from collections.abc import Callable, Mapping
from pathlib import Path

from recbole_mpo.common.errors import CheckpointError


def check_output(output: Path, sources: Mapping[str, str | Path], is_own: Callable[[Path], bool], what: str):
    """Refuse an output that would replace a source, or a file that the command did not write.

    Args:
        output: the file to write.
        sources: files that are read, by what they are.
        is_own: whether the command wrote a file.
        what: what other files are not, for the message, such as "of merge".

    Raises:
        CheckpointError: something would be lost.
    """
    if output.is_dir():
        raise CheckpointError(f"output {output} is a folder; name the file to write")
    if not output.exists():
        return
    for kind, source in sources.items():
        if Path(source).exists() and output.samefile(source):
            raise CheckpointError(f"output {output} is the {kind} itself, which would be lost; name another file")
    if not is_own(output):
        raise CheckpointError(f"output {output} exists and is not {what}; name another file, or move it away first")

"""Finds the raw files of a source: in a folder that the user gives, or else by a download."""

from pathlib import Path

from recbole_mpo.common.errors import DataError
from recbole_mpo.data.prepare import sources
from recbole_mpo.data.prepare.download import Unreachable, fetch
from recbole_mpo.data.prepare.sources import Source


def downloaded(
    source: Source, files: tuple[str, ...], data_path: Path, source_url: str | None, show_progress: bool
) -> list[Path]:
    """Return the raw files of a source, which are downloaded unless they are there.

    Args:
        source: the source.
        files: paths of its files, relative to an address.
        data_path: folder of all datasets.
        source_url: address that replaces the known ones.
        show_progress: whether to show progress bars.

    Raises:
        DataError: no address answers.
    """
    addresses = [source_url] if source_url else source.addresses
    folder = sources.raw_folder(data_path, source.name)
    try:
        return [fetch(file, addresses, folder, source.sha256(Path(file).name), show_progress) for file in files]
    except Unreachable as problem:
        missing = [file for file in files if not (folder / Path(file).name).is_file()]
        missing_addresses = " and ".join(f"{addresses[0].rstrip('/')}/{file}" for file in missing)
        raise DataError(
            f"{problem}. Without a network: get {missing_addresses} on another machine, put the files into "
            f"{folder}/ (or into any folder, given as --raw=FOLDER), and run the same command again; "
            "--source_url=URL gives another address"
        ) from problem


def local(folder: Path, name: str) -> Path | None:
    """Return a raw file in a folder, compressed or not; None if it is absent."""
    return below(folder, name) or below(folder, name.removesuffix(".gz"))


def local_files(folder: Path, source: Source, files: tuple[str, ...]) -> list[Path]:
    """Return a source's raw files in a folder.

    Raises:
        DataError: a file is absent.
    """
    paths = [local(folder, Path(file).name) for file in files]
    for path, file in zip(paths, files, strict=True):
        if path is None:
            raise DataError(
                f"--raw={folder} does not hold {Path(file).name}, which is published at {source.addresses[0] + file}"
            )
    return paths


def below(folder: Path, name: str) -> Path | None:
    """Return a file in a folder or in one of its subfolders, where unpacked archives have it; None if absent."""
    return next((path for path in (folder / name, *sorted(folder.glob(f"*/{name}"))) if path.is_file()), None)

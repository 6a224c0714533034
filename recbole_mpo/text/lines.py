"""Reads text files whole, and finds the line at which a file is damaged."""

from pathlib import Path

from recbole_mpo.common.errors import DataError

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
NUL_ADVICE = "the file is damaged, for example by a power cut or a full disk; get a new copy"


def read_lines(path: Path, what: str) -> list[str]:
    """Return a UTF-8 file's lines without line ends; empty lines at the very end are dropped.

    Only a line feed ends a line: ``str.splitlines`` would also break a text at U+2028, U+0085 and others.

    Args:
        path: the file.
        what: what it holds, for messages.

    Raises:
        DataError: the file cannot be read, is not valid UTF-8 or contains a NUL byte; the message names the line.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot read the {what} ({error.strerror or error})") from error
    raw = raw.removeprefix(_BYTE_ORDER_MARK)
    if (place := raw.find(b"\0")) >= 0:
        raise DataError(f"{path}, line {_line_at(raw, place)}: a NUL byte; {NUL_ADVICE}")
    try:
        content = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}, line {_line_at(raw, error.start)}: not valid UTF-8 (byte 0x{raw[error.start]:02x}); save the "
            "file as UTF-8"
        ) from error
    lines = [line.removesuffix("\r") for line in content.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _line_at(raw: bytes, place: int) -> int:
    return raw.count(b"\n", 0, place) + 1


def undecodable(path: Path, file, encoding: str, problem: UnicodeError) -> DataError:
    """Return the error for a text file that is in another encoding; it names the first line that does not decode.

    Args:
        path: the file, for the message.
        file: the file's bytes, open at its beginning.
        encoding: the encoding that was tried.
        problem: what decoding reported.
    """
    place = str(path)
    # In encodings of two or four bytes per character a line end cannot be found in the bytes.
    if encoding.lower().replace("_", "-").startswith(("utf-8", "utf8", "latin", "iso", "cp", "ascii", "windows")):
        for number, line in enumerate(file, start=1):
            try:
                line.decode(encoding)
            except UnicodeError as one:
                place, problem = f"{path}, line {number}", one
                break
    return DataError(f"{place}: not valid {encoding.removesuffix('-sig')} text ({problem}); give the right encoding")

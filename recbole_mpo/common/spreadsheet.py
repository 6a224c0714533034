"""Texts for CSV files that people open in a spreadsheet."""

from recbole_mpo.common.terminal import one_line

# A spreadsheet computes a cell that begins so, and a formula can start programs and read other files.
FORMULA_STARTS = ("=", "+", "-", "@")


def safe_cell(text: str) -> str:
    """Return a text in one line, with an apostrophe before it if a spreadsheet would take it for a formula.

    Numbers stay as they are, negative ones too.
    """
    text = one_line(text)
    return f"'{text}" if text.startswith(FORMULA_STARTS) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True

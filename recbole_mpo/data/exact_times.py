"""Numbers read from text without loss: times that differ stay different, so that they can be sorted.

Shapes: I values.
"""

from decimal import Decimal, localcontext

import numpy as np
import pandas as pd

from recbole_mpo.common.errors import DataError

# A decimal number of so many digits survives the way through float64 and back.
SAFE_DIGITS = 15
_LARGEST = np.iinfo(np.int64).max


def exact_numbers(cells: np.ndarray) -> np.ndarray:
    """Return cells [I], text or numbers, as numbers in 64 bits in which different values stay different.

    Whole numbers become integers if they fit. Others become float64; if that would make two of them equal, all are
    multiplied by the power of ten that makes them whole, and become int64. A cell that is not a number becomes NaN.

    Raises:
        DataError: different numbers are equal in 64 bits in any form.
    """
    numbers = pd.to_numeric(pd.Series(cells, dtype=object), errors="coerce").to_numpy()
    if numbers.dtype.kind in "iu" or not np.isfinite(numbers.astype(np.float64)).all():
        return numbers
    texts = {cell: str(cell) for cell in set(cells.tolist())}
    if max(map(len, texts.values()), default=0) <= SAFE_DIGITS:
        return numbers
    values = {cell: Decimal(text.strip()) for cell, text in texts.items()}
    floats = {cell: float(value) for cell, value in values.items()}
    if len(set(floats.values())) == len(set(values.values())):
        # Pandas reads only about 16 digits of a number.
        return np.array([floats[cell] for cell in cells.tolist()], dtype=np.float64)
    whole = _whole(values)
    return np.array([whole[cell] for cell in cells.tolist()], dtype=np.int64)


def _whole(values: dict) -> dict:
    """Return the decimal numbers multiplied by the smallest power of ten that makes all of them whole."""
    exponents = [value.as_tuple().exponent for value in values.values()]
    decimals = max(0, -min(exponents))
    if decimals < 100 and max(exponents) < 100:
        with localcontext() as context:
            context.prec = 1000
            whole = {cell: int(value.scaleb(decimals)) for cell, value in values.items()}
        if max(map(abs, whole.values())) <= _LARGEST:
            return whole
    raise DataError("different times are one number in 64 bits; write them with fewer digits")

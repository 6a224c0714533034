"""An array that is written in blocks is read as one."""

import io

import numpy as np
import pytest

from recbole_mpo.common.npy_files import appending_npy


@pytest.mark.parametrize("dtype", [np.int32, np.float16, np.float32])
@pytest.mark.parametrize("shape", [(7,), (7, 3), (0,), (0, 3)])
def test_blocks_make_the_file_that_numpy_would_write(tmp_path, dtype, shape):
    array, whole = np.arange(np.prod(shape)).reshape(shape), io.BytesIO()
    np.save(whole, array.astype(dtype))
    with appending_npy(tmp_path / "a.npy", dtype, shape) as append:
        for begin in range(0, len(array), 2):
            append(array[begin : begin + 2])
    assert (tmp_path / "a.npy").read_bytes() == whole.getvalue()


def test_a_full_disk_is_an_error():
    with pytest.raises(OSError, match="No space left"), appending_npy("/dev/full", np.int32, (1 << 20,)) as append:
        append(np.zeros(1 << 20))

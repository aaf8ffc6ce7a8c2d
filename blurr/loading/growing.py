"""A file of NumPy's that values are appended to, so that no more than a part of them is ever in memory."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

HEADER = 256  # bytes that are kept free for the header, which says how many values there are


class GrowingArray:
    """An array in a `.npy` file, which `numpy.load` reads once it is closed.

    Args:
        file: Made anew.
    """

    def __init__(self, file: Path) -> None:
        self.out = file.open("wb")
        self.out.write(bytes(HEADER))
        self.rows = 0
        self.like: NDArray[Any] = np.empty(0, dtype=np.int64)

    def __len__(self) -> int:
        return self.rows

    def append(self, values: NDArray[Any]) -> None:
        """Write more values, of the type and shape of those before them."""
        if not self.rows:
            self.like = values[:0]
        elif len(values) and (values.dtype, values.shape[1:]) != (self.like.dtype, self.like.shape[1:]):
            raise TypeError(f"{values.dtype} of shape {values.shape} after {self.like.dtype} of {self.like.shape}")
        self.out.write(np.ascontiguousarray(values).data)
        self.rows += len(values)

    def close(self) -> None:
        """Write the header."""
        parts = {"descr": npy.dtype_to_descr(self.like.dtype), "fortran_order": False}
        text = repr({**parts, "shape": (self.rows, *self.like.shape[1:])}).encode("latin1")
        start = npy.magic(1, 0)
        size = HEADER - len(start) - 2
        self.out.seek(0)
        self.out.write(start + size.to_bytes(2, "little") + text.ljust(size - 1) + b"\n")
        self.out.close()

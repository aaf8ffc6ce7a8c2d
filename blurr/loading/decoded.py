"""What is decoded of files, such as the pixels of pictures: made when it is read, and kept for the next epoch."""

import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from blurr.data.media import values_of
from blurr.loading.cache import key_of
from blurr.loading.columns import Made
from blurr.loading.kept import Kept


@dataclass(frozen=True)
class Decoded(Made):
    """A column of arrays, each made of a file when it is read; of one shape, or of different lengths.

    Args:
        files: Structs of `path`, `bytes` and `hash`, as `blurr.data.media` has them.
        numbers: Of the files that are meant, in their order; `None` for all.

    Attributes:
        dtype: Of the arrays.
        kept: What has been made of all files, on the disk; `None` if nothing is kept.
    """

    dtype: ClassVar[type[np.generic]]

    files: Sequence[Mapping[str, Any]]
    numbers: Sequence[int] | None = field(default=None, kw_only=True)
    kept: Kept | None = field(default=None, compare=False, kw_only=True)

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """The shape of each array, without its length where that differs."""

    @property
    def lengths(self) -> NDArray[np.int64] | None:
        """Length of each array, `(rows,)`, known before it is decoded; None where all have one shape."""
        return None

    @property
    @abstractmethod
    def ingredients(self) -> Mapping[str, Any]:
        """All that decides, besides a file, what is made of it, as plain values for a key."""

    @abstractmethod
    def made(self, file: Mapping[str, Any]) -> NDArray[Any]:
        """Decode a file."""

    def __len__(self) -> int:
        return len(self.files if self.numbers is None else self.numbers)

    def __getitem__(self, index: int) -> NDArray[Any]:
        number = index if self.numbers is None else self.numbers[index]
        found = None if self.kept is None else self.kept.get(number)
        if found is not None:
            return found
        made = self.made(self.files[number])
        if self.kept is not None:
            self.kept.put(number, made)
        return made

    def take(self, numbers: Sequence[int]) -> Self:
        chosen = list(numbers) if self.numbers is None else [self.numbers[i] for i in numbers]
        return replace(self, numbers=chosen)

    @property
    def gigabytes(self) -> float:
        """What all arrays take."""
        count = len(self) if self.lengths is None else int(self.lengths.sum())
        return count * float(np.prod(self.shape)) * np.dtype(self.dtype).itemsize / 1e9

    def keeping(self) -> Self:
        """Return the column, kept on disk from now on."""
        hashes = values_of(self.files, "hash")
        about = f"{type(self).__name__} {' x '.join(map(str, self.shape[-2:]))}".strip()
        everything = replace(self, numbers=None)
        shape = (len(hashes), *self.shape)
        key = key_of({**self.ingredients, "files": hashes})
        return replace(self, kept=Kept.open(key, about, shape, self.dtype, lengths=everything.lengths))

    @property
    def seconds_to_make(self) -> float:
        """Seconds of one processor for those that are not kept, by the time that one of them takes."""
        missing = len(self) if self.kept is None else self.kept.missing
        if not missing or not len(self):
            return 0.0
        self.made(self.files[0])
        begun = time.perf_counter()
        self.made(self.files[0])
        return missing * (time.perf_counter() - begun)

"""All malformed inputs: each file beside this one makes those of a kind."""

from collections.abc import Iterator
from pathlib import Path

from tests.bad_input import checkpoints, columns, configs, doors, files, packed, rows, tables, values
from tests.bad_input.case import Case


def cases(good: Path) -> Iterator[Case]:
    """Yield every malformed input.

    Args:
        good: the folder of a checkpoint; it need not be there before a case is given.
    """
    for module in (configs, values, tables, files, packed, columns, rows, checkpoints, doors):
        yield from module.cases(good)

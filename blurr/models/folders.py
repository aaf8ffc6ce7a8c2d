"""Look at a folder of a checkpoint before anything is loaded from it: no pipes, no files elsewhere, no absurd sizes."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from blurr.config.places import check_regular
from blurr.errors import InputError, shortened

INDEX = "*.index.json"  # says which file holds which weights
COUNT = re.compile(r"(^|_)(n_?)?(?<!feature_)layers?$|(^|_)(layers|blocks)(_|$)")
MOST_LAYERS = 1000
SIZE = re.compile(r"(^|_)((?<!chunk_)size|dim|d_model|d_ff|n_embd|n_positions|embeddings|heads|labels)$")
MOST_SIZE = 10_000_000


def check_folder(folder: Path) -> None:
    """Refuse a checkpoint that would never be read, or that reads what lies outside its folder.

    Raises:
        InputError: a file in it is no file, its index names files elsewhere, or its config a size that no model has.
    """
    for file in folder.iterdir():
        try:
            check_regular(file)
        except OSError as error:
            raise InputError(f"{file} cannot be read: {error.strerror}. Copy the whole checkpoint.") from error
    for index in folder.glob(INDEX):
        _check_index(index)
    _check_sizes(folder / "config.json")


def _check_index(index: Path) -> None:
    parsed = _parsed(index)
    files = parsed.get("weight_map") if isinstance(parsed, dict) else None
    if not isinstance(files, dict) or not all(isinstance(name, str) for name in files.values()):
        raise InputError(f"{index} does not say which file holds which weights. Copy the whole checkpoint.")
    for name in sorted(set(files.values())):
        if Path(name).name != name:
            raise InputError(
                f"{index} names the file {shortened(name)}, which does not lie beside it. Take the checkpoint from "
                "elsewhere."
            )
        if not (index.parent / name).is_file():
            raise InputError(f"{index} names the file {shortened(name)}, which is not there. Copy all files.")


def _check_sizes(file: Path) -> None:
    for key, value in _numbers(_parsed(file)):
        most = MOST_LAYERS if COUNT.search(key) else MOST_SIZE if SIZE.search(key) else None
        if most is not None and not 0 <= value <= most:
            raise InputError(f"{file} says {key}={shortened(value)}: no model has that. It must be 0 to {most}.")


def _numbers(config: Any) -> Iterator[tuple[str, int]]:
    """Yield the whole numbers in a config, with their keys; configs of several models are nested."""
    for key, value in config.items() if isinstance(config, Mapping) else ():
        if isinstance(value, Mapping):
            yield from _numbers(value)
        elif isinstance(value, int) and not isinstance(value, bool):
            yield key, value


def _parsed(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} is not readable JSON: {shortened(error)}. Copy the whole checkpoint.") from error

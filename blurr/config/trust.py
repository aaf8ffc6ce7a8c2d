"""Decide what a configuration of somebody else can make happen: nothing but what stands on a list."""

import argparse
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, Sweep

from blurr.config import paths
from blurr.config.moved import current_name
from blurr.errors import InputError

TARGET = "_target_"
TRUST = (
    "A file that others may have written runs no code but blurr's own. If you have read it and the package it names is "
    "yours, say so with --trust PACKAGE: whatever that package reaches can then be called with what the file says."
)
NAMED = re.compile(r"^[^#\n]*\b_target_: ([\w.]+)", re.MULTILINE)
# What README says can be named without a file of ours. Each pattern admits nothing but what its line says, a test
# looks that up in the installed packages: a package as a whole would let `torch.load` and `torch.hub.load` in.
OTHERS = re.compile(
    r"torch\.optim\.[A-Z]\w+"  # optimizers
    r"|fastai\.optimizer\.(Adam|SGD|RMSProp|QHAdam|RAdam|Lamb|Larc|ranger)"
    r"|fastai\.callback\.training\.(GradientClip|GradientAccumulation|ShortEpochCallback|BnFreeze)"
    r"|torchmetrics\.(classification|regression)\.[A-Z]\w+"  # metrics
)
# Keywords of other libraries that would have them run code or read pickles, and the values that do not.
HARMLESS: Mapping[str, tuple[Any, ...]] = {
    "trust_remote_code": (False, None),
    "weights_only": (True,),
    "allow_pickle": (False,),
    "use_kernels": (False, None),
    "attn_implementation": (None, "eager", "sdpa", "flash_attention_2"),
}
REFERENCE = re.compile(r"\$\{\.*[A-Za-z_][\w.]*\}")  # to another value; whatever else `${` begins may call something
OPTION = re.compile(r"[\w-]+([./][\w-]+)*")  # not `../elsewhere`
MULTIRUN = ("-m", "--multirun")


def check_config(config: Any, *, where: str, remedy: str, trusted: Sequence[str] = ()) -> None:
    """Refuse a resolved configuration that would make what is not on the list.

    Args:
        config: plain dicts, lists and scalars.
        where: the file or run that it was read from.
        remedy: what the user can do who trusts it; a sentence.
        trusted: packages whose names are allowed besides.

    Raises:
        InputError: names the key and what it asks for.
    """
    for key, value in _values("", config):
        wrong = _wrong(key, value, trusted)
        if wrong or "${" in str(value):
            raise InputError(f"{where} says {key}={value}, {wrong or 'which is looked up elsewhere'}. {remedy}")


def check_words(words: Sequence[str], *, where: str, remedy: str, trusted: Sequence[str] = ()) -> None:
    """Refuse words of a command line that was recorded, where they would make what is not on the list.

    Args:
        words: of the form `key=value`, and `-m`.
        where: the file or run that they were read from.
        remedy: what the user can do who trusts it; a sentence.
        trusted: packages whose names are allowed besides.

    Raises:
        InputError: names the word.
    """
    for word in words:
        wrong = None if word in MULTIRUN else _wrong_word(word, trusted)
        if wrong:
            raise InputError(f"{where} says {word}, {wrong}. {remedy}")


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Add the flag by which a user vouches for a package of her own."""
    said = "a package of yours that the file may name functions and classes of; all that it reaches can then be called"
    parser.add_argument("--trust", action="append", default=[], metavar="PACKAGE", help=said)


@cache
def shipped_targets() -> frozenset[str]:
    """Return all that blurr's own options name."""
    folders = (paths.config_root(), paths.shipped_folder(paths.EXPERIMENTS))
    files = [file for folder in folders for file in folder.rglob("*.yaml")]
    return frozenset(name for file in files for name in NAMED.findall(file.read_text(encoding="utf-8")))


def is_listed(target: object, trusted: Sequence[str] = ()) -> bool:
    """May a configuration that is not the user's own name this target?"""
    if not isinstance(target, str):
        return False
    own = any(target.startswith(f"{package}.") for package in trusted)
    return own or current_name(target) in shipped_targets() or OTHERS.fullmatch(target) is not None


def _wrong(key: str, value: Any, trusted: Sequence[str]) -> str | None:
    """Say what is wrong with a value of a configuration."""
    name = key.rpartition(".")[2]
    if name == TARGET and not is_listed(value, trusted):
        return "which is not among what a file may have blurr make"
    if name in HARMLESS and value not in HARMLESS[name]:
        return "which would let files run code"
    return None


def _wrong_word(word: str, trusted: Sequence[str]) -> str | None:
    if word.startswith("-"):
        return "which is a flag"
    override = OverridesParser.create().parse_override(word)
    key = override.key_or_group
    if "hydra" in re.split(r"[./]", f"{key}.{override.package}"):
        return "which changes how blurr starts"
    is_group = key in paths.groups() or "/" in key
    for place, value in (each for part in _alternatives(override) for each in _values(key, part)):
        wrong = _wrong(place, value, trusted)
        if wrong or "${" in REFERENCE.sub("", str(value)):
            return wrong or "which is looked up elsewhere"
        if is_group and re.fullmatch(rf"{key}(\.\d+)?", place) and not OPTION.fullmatch(str(value)):
            return "which is the name of no option"
    return None


def _alternatives(override: Override) -> Iterator[Any]:
    """Yield the value of a word as plain Python, or each of its values where a sweep tries several."""
    value = override._value
    if isinstance(value, ChoiceSweep):
        yield from (Override._convert_value(each) for each in value.list)
    elif not isinstance(value, Sweep):  # a range, an interval or a pattern of names holds nothing
        yield override.value()


def _values(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield each scalar of a configuration with its dotted key."""
    if isinstance(value, Mapping):
        for name, child in value.items():
            yield from [(f"{key}.{name}".lstrip("."), child)] if name == TARGET else _values(f"{key}.{name}", child)
    elif isinstance(value, list | tuple):
        for number, child in enumerate(value):
            yield from _values(f"{key}.{number}", child)
    else:
        yield key.lstrip("."), value

"""Restrict configs that somebody else may have written to a list of targets."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
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
    "yours, add --trust PACKAGE: the file can then call anything that the package imports."
)
NAMED = re.compile(r"^[^#\n]*\b_target_: ([\w.]+)", re.MULTILINE)
# Targets of other libraries that README documents. Each pattern admits only what its comment says; a test compares it
# with the installed packages. Admitting a whole package would admit `torch.load` and `torch.hub.load`.
OTHERS = re.compile(
    r"torch\.optim\.[A-Z]\w+"  # optimizers
    r"|fastai\.optimizer\.(Adam|SGD|RMSProp|QHAdam|RAdam|Lamb|Larc|ranger)"
    r"|fastai\.callback\.training\.(GradientClip|GradientAccumulation|ShortEpochCallback|BnFreeze)"
    r"|torchmetrics\.(classification|regression)\.[A-Z]\w+"  # metrics
)
# Keywords that make other libraries run code, read pickles, write elsewhere or use a proxy, with the safe values.
HARMLESS: Mapping[str, tuple[Any, ...]] = {
    "trust_remote_code": (False, None),
    "weights_only": (True,),
    "allow_pickle": (False,),
    "use_kernels": (False, None),
    "attn_implementation": (None, "eager", "sdpa", "flash_attention_2"),
    **dict.fromkeys(("cache_dir", "offload_folder", "proxies"), (None,)),
}
REFERENCE = re.compile(r"\$\{([A-Za-z_][\w.]*)\}")  # to another key; anything else after `${` may call a resolver
OPTION = re.compile(r"[\w-]+([./][\w-]+)*")  # not `../elsewhere`
MULTIRUN = ("-m", "--multirun")


def check_config(config: Any, *, where: str, remedy: str, trusted: Sequence[str] = ()) -> None:
    """Refuse a resolved config that names a target outside the list.

    Args:
        config: plain dicts, lists and scalars.
        where: the file or run that it was read from.
        remedy: a sentence that says what a user who trusts it can do.
        trusted: packages that are allowed, too.

    Raises:
        InputError: names the key and what it asks for.
    """
    for key, value in _values("", config):
        wrong = _wrong(key, value, trusted)
        if wrong or "${" in str(value):
            raise InputError(f"{where} says {key}={value}, {wrong or 'which is looked up elsewhere'}. {remedy}")


def check_plain(config: Any, *, where: str) -> None:
    """Refuse a resolved config that would be interpolated again, since several keys together make a `${…}`.

    Args:
        config: plain dicts, lists and scalars.
        where: the file or run that parts of it were read from.

    Raises:
        InputError: names the key.
    """
    for key, value in _values("", config):
        if "${" in str(value):
            raise InputError(
                f"{where}, with your options, makes {key}={value}, which is looked up elsewhere. A record reads "
                f"nothing of your environment. Give another {key}."
            )


def check_words(words: Sequence[str], *, where: str, remedy: str, trusted: Sequence[str] = ()) -> None:
    """Refuse recorded overrides that name a target outside the list, or change how blurr starts.

    Args:
        words: overrides of the form `key=value`, and `-m`.
        where: the file or run that they were read from.
        remedy: a sentence that says what a user who trusts it can do.
        trusted: packages that are allowed, too.

    Raises:
        InputError: names the override.
    """
    plain = {key_of(word) for word in words if "{" not in word}.difference(paths.groups())
    for word in words:
        wrong = None if word in MULTIRUN else _wrong_word(word, trusted, {"seed", *plain})
        if wrong:
            raise InputError(f"{where} says {word}, {wrong}. {remedy}")


def key_of(word: str) -> str:
    """Return the key of an override."""
    return word.lstrip("+~").partition("=")[0]


def unquoted(value: str) -> str:
    """Return what a value of the command line says that may be quoted for Hydra's parser."""
    return str(OverridesParser.create().parse_override(f"_={value}").value()) if value[:1] in ("'", '"') else value


def quoted(value: Any) -> str:
    """Quote a text, or a list of texts, for Hydra's parser."""
    if not isinstance(value, str):
        return f"[{','.join(quoted(str(each)) for each in value)}]"
    doubled = re.sub(r"\\+(?='|$)", lambda found: 2 * found[0], value)  # backslashes before a quote
    return "'" + doubled.replace("'", "\\'") + "'"


@cache
def shipped_targets() -> frozenset[str]:
    """Return every `_target_` that blurr's own options name."""
    folders = (paths.config_root(), paths.shipped_folder(paths.EXPERIMENTS))
    files = [file for folder in folders for file in folder.rglob("*.yaml")]
    return frozenset(name for file in files for name in NAMED.findall(file.read_text(encoding="utf-8")))


def is_listed(target: object, trusted: Sequence[str] = ()) -> bool:
    """May a config that is not the user's own name this target?"""
    if not isinstance(target, str):
        return False
    own = any(target.startswith(f"{package}.") for package in trusted)
    return own or current_name(target) in shipped_targets() or OTHERS.fullmatch(target) is not None


def _wrong(key: str, value: Any, trusted: Sequence[str]) -> str | None:
    """Return what is wrong with a value of a config; None if nothing is."""
    parts = key.split(".")
    if parts[-1] == TARGET and not is_listed(value, trusted):
        return "which is not among what a file may have blurr make"
    if any(value not in HARMLESS[name] for name in HARMLESS.keys() & set(parts)):
        return "which would let files run code, or choose where data goes"
    return None


def _wrong_word(word: str, trusted: Sequence[str], plain: Collection[str]) -> str | None:
    """Return what is wrong with an override, which may refer to the keys in `plain`; None if nothing is."""
    if word.startswith("-"):
        return "which is a flag"
    override = OverridesParser.create().parse_override(word)
    key = override.key_or_group
    if "hydra" in re.split(r"[./]", f"{key}.{override.package}"):
        return "which changes how blurr starts"
    is_group = key in paths.groups() or "/" in key
    for place, value in (each for part in _alternatives(override) for each in _values(key, part)):
        wrong = _wrong(place, value, trusted)
        refers = REFERENCE.fullmatch(str(value))
        if wrong or "${" in str(value) and not (refers and refers[1] in plain):
            return wrong or "which is looked up elsewhere"
        if is_group and re.fullmatch(rf"{key}(\.\d+)?", place) and not OPTION.fullmatch(str(value)):
            return "which is not the name of an option"
    return None


def _alternatives(override: Override) -> Iterator[Any]:
    """Yield the value of an override as plain Python, or each of its values if a sweep tries several."""
    value = override._value
    if isinstance(value, ChoiceSweep):
        yield from (Override._convert_value(each) for each in value.list)
    elif not isinstance(value, Sweep):  # ranges, intervals and globs hold no nodes
        yield override.value()


def _values(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield each scalar of a config with its dotted key."""
    if isinstance(value, Mapping):
        for name, child in value.items():
            yield from [(f"{key}.{name}".lstrip("."), child)] if name == TARGET else _values(f"{key}.{name}", child)
    elif isinstance(value, list | tuple):
        for number, child in enumerate(value):
            yield from _values(f"{key}.{number}", child)
    else:
        yield key.lstrip("."), value

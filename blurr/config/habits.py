"""Translate what other programs call a setting, such as `--num_train_epochs`, into a key of the config."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from blurr.config import paths

# Words of other programs, and the word that keys and groups have for them.
SAME = {
    **{"bs": "batch_size", "dataset": "data", "dev": "valid", "learning_rate": "lr", "n": "", "optim": "optimizer"},
    **{"samples": "limit", "scheduler": "schedule", "source_lang": "src_lang", "target_lang": "tgt_lang"},
    **{"validation": "valid", "wd": "weight_decay", "warm_up": "warmup"},
}
# Words that say little of what is set.
WEAK = frozenset({"dir", "file", "from", "max", "name", "num", "or", "path", "per", "to", "type", "value"})
# Flags that stand for something else than the key that their words name; `{}` is the value.
FIXED = {
    **{name: f"precision={name}" for name in ("fp16", "bf16", "fp32")},
    "gradient_accumulation_steps": "callbacks=[gradient_accumulation] callbacks.gradient_accumulation.batches={}",
    "load_best_model_at_end": "callbacks=[save_best]",
    "metric_for_best_model": "objective=valid/{}",
    "save_steps": "checkpoint.every_steps={}",
}
ABSENT = frozenset({"eval_steps", "logging_steps", "warmup_steps"})  # other keys of steps are something else
PLACEHOLDER = "…"  # stands for a value


@dataclass(frozen=True)
class Candidate:
    """A key, group or option that a flag may stand for.

    Attributes:
        text: of the command line, up to the value; that of an option is complete.
        words: those that a flag has to have.
        others: those that it may have besides.
        default: the value of the key.
        needs: the override that brings the key, if it is not there by default.
    """

    text: str
    words: frozenset[str]
    others: frozenset[str] = frozenset()
    default: Any = None
    needs: str = ""

    @property
    def is_key(self) -> bool:
        """Does it take a value?"""
        return self.text.endswith("=")


def translated(flag: str, value: str | None, given: Sequence[str] = ()) -> str | None:
    """Return the overrides for a flag of another program; None if nothing is near.

    Args:
        flag: e.g. `--num_train_epochs`, or a key that does not exist.
        value: e.g. `3`; None for a switch.
        given: the other words of the command line, whose options bring keys.
    """
    words = _words(flag)
    plain = flag.lstrip("-").lower().replace("-", "_")
    if plain in FIXED:
        return FIXED[plain].format((value or PLACEHOLDER).removeprefix("eval_"))  # as Trainer names its metrics
    if plain in ABSENT:
        return None
    best, most = None, 0.5
    for each in _candidates(given):
        rank = _rank(each, words, value)
        if rank > most:
            best, most = each, rank
    return None if best is None else _written(best, value)


def _words(text: str) -> list[str]:
    """Split into words, as the config spells them, without the `s` of a plural."""
    plain = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", text.strip("-+~")).lower().replace("-", "_").replace(".", "_")
    for other, ours in SAME.items():
        plain = re.sub(rf"(?<![a-z]){other}(?![a-z])", ours, plain)
    return [word.rstrip("s") for word in re.split(r"[^a-z0-9]+", plain) if word]


def _rank(each: Candidate, words: list[str], value: str | None) -> float:
    """Return how well a candidate fits a flag: by the words that both have, less those that it leaves unsaid."""
    is_switch = value is None or value.lower() in ("true", "false")
    if not each.words <= set(words) or (each.is_key and isinstance(each.default, bool) != is_switch):
        return 0.0
    shared = [i for i, word in enumerate(words) if word in each.words | each.others]
    strong = [i for i in shared if words[i] not in WEAK]
    if not strong:
        return 0.0
    unsaid = sum(word not in WEAK for i, word in enumerate(words) if i not in shared)
    named = len(set(_words(each.needs)) & set(words))  # the option's own words
    tie = 0.01 * shared[-1] + 0.002 * (named - bool(each.needs)) - 0.0001 * len(each.words | each.others)
    return len(strong) + 0.1 * len(shared) - 0.3 * unsaid + tie


def _written(best: Candidate, value: str | None) -> str | None:
    if not best.is_key:
        return best.text
    said = ("true" if isinstance(best.default, bool) else PLACEHOLDER) if value is None else value
    if best.text in ("model=", "model.name="):
        is_option = said in paths.options("model")
        return f"model={said}" if is_option or said == PLACEHOLDER else f"model=auto model.name={said}"
    if best.text == "data=" and (Path(said).suffix or Path(said).exists()):
        return f"data=files data.train={said}"
    group = best.text.removesuffix("=")
    options = paths.options(group) if group in (name for name, *_ in paths.contents()) else {}
    if options and said != PLACEHOLDER and said not in options:
        near = _nearest_option(said, options)
        return None if near is None else best.text + near
    return " ".join(filter(None, [best.needs, best.text + said]))


def _nearest_option(value: str, options: Iterable[str]) -> str | None:
    """Return the option that another program's value begins with, or that begins with it: `adamw` for `adamw_torch`."""
    value = value.lower()
    near = [option for option in options if value.startswith(option) or option.startswith(value)]
    return max(near, key=len, default=None)


def _candidates(given: Sequence[str]) -> Iterator[Candidate]:
    chosen = {group: set(default.split(", ")) for group, default, _ in paths.contents()}
    for word in given:
        group, _, options = word.partition("=")
        if group in chosen:
            chosen[group] = set(options.strip("[]").split(","))
    for key, default in _keys(_read(paths.config_file())):
        yield _of_key(key, default)
    for group in chosen:
        if group != paths.EXPERIMENTS:
            yield Candidate(f"{group}=", frozenset(_words(group)))
        for option, file in paths.options(group).items():
            is_many = group in ("callbacks", "metrics")
            needs = f"{group}=[{option}]" if is_many else f"{group}={option}"
            if is_many:
                yield Candidate(needs, frozenset(_words(option)), frozenset(_words(group)))
            for key, default in _keys_of_option(group, file):
                yield _of_key(key, default, "" if option in chosen[group] else needs)


def _of_key(key: str, default: Any, needs: str = "") -> Candidate:
    parent, _, leaf = key.rpartition(".")
    return Candidate(f"{key}=", frozenset(_words(leaf)), frozenset(_words(parent)), default=default, needs=needs)


def _keys_of_option(group: str, file: Path) -> Iterator[tuple[str, Any]]:
    """Yield the keys that an option brings; one without a target only changes those of others."""
    text = file.read_text(encoding="utf-8")
    if "_target_" in text and group not in ("debug", "experiments"):
        package = re.search(r"^# @package (\S+)", text, re.MULTILINE)
        prefix = group if package is None else package[1]
        yield from _keys(_read(file), "" if prefix == "_global_" else f"{prefix}.")


def _keys(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted key and the value of each leaf."""
    for key, value in node.items() if isinstance(node, Mapping) else ():
        if key in ("defaults", "hydra") or str(key).startswith("_"):
            continue
        if isinstance(value, Mapping) and value:
            yield from _keys(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _read(file: Path) -> Any:
    return yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)  # noqa: S506  # a safe one, in C

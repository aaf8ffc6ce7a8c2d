"""Contract: a number without sense is refused by its type, before anything loads, for every knob there is."""

import math
import re
import typing
from collections.abc import Iterator
from typing import Any

import pytest
from omegaconf import OmegaConf

from blurr.config import annotations, checks, composing, paths, signatures
from blurr.config.values import check_value

WRONG = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf, "-1": -1}
# Negative numbers that mean something.
ALLOWED = {
    ("QuestionAnswering", "no_answer_threshold"): "the score of no answer less that of the best answer",
    ("GenerationConfig", "length_penalty"): "below 0 short texts are preferred",
    **{(name, "positive"): "the name of a class, which may be a number" for name in ("F1", "Precision", "Recall")},
}


def admits_numbers(expected: Any) -> bool:
    if expected in (int, float):
        return True
    return any(admits_numbers(part) for part in typing.get_args(expected))


def own_targets() -> list[str]:
    found = set()
    for group in paths.groups():
        for file in paths.options(group).values():
            _collect(OmegaConf.to_container(OmegaConf.load(file)), found)
    _collect(OmegaConf.to_container(OmegaConf.load(paths.config_root() / "config.yaml")), found)
    return sorted(found)


def _collect(value: Any, found: set[str]) -> None:
    if isinstance(value, dict):
        target = value.get("_target_")
        if isinstance(target, str) and signatures.is_ours(target):
            found.add(target)
        for each in value.values():
            _collect(each, found)


def knobs():
    for target in own_targets():
        for name, parameter in signatures.signature(target).parameters.items():
            if parameter.type is not signatures.UNKNOWN and name not in ("lr", "context"):
                yield target.rpartition(".")[2], name, parameter.type
    for key, expected in checks.KEYS.items():
        yield "config", key, expected
    for target, types in checks.LIBRARY.items():
        for name, expected in types.items():
            yield target.rpartition(".")[2], name, expected
    for name, expected in annotations.TYPES_OF_GENERATION.items():
        yield "GenerationConfig", name, expected


NUMBERS = [(owner, name, expected) for owner, name, expected in knobs() if admits_numbers(expected)]


def test_the_numbers_are_found():
    names = {(owner, name) for owner, name, _ in NUMBERS}
    assert {("Loader", "batch_size"), ("config", "seed"), ("GradientClip", "max_norm"), ("one_cycle", "moms")} <= names
    assert set(ALLOWED) <= names


@pytest.mark.parametrize(("owner", "name", "expected"), NUMBERS, ids=[f"{owner}.{name}" for owner, name, _ in NUMBERS])
def test_a_number_that_is_none_or_negative_is_refused(owner, name, expected):
    for text, value in WRONG.items():
        if text == "-1" and (owner, name) in ALLOWED:
            continue
        for given in (value, [value, value], [value] * 3, {"train": value}):
            with pytest.raises(checks.InputError, match="must be"):
                check_value(name, given, expected)


SENSELESS = {
    "seed=4294967296": r"seed=4294967296: must be a whole number of at least 0 and at most 4294967295",
    "loader.seed=4294967296": "loader.seed",
    "data.seed=4294967296": "data.seed",
    "loader.num_workers=100000": r"loader\.num_workers=100000: must be .* at most",
    "loader.batch_size=1000000000": "loader.batch_size",
    "loader.eval_batch_size=0": "loader.eval_batch_size",
    "loader.pad_to_multiple_of=1000000": "loader.pad_to_multiple_of",
    "threads=100000": "threads",
    "model.scratch_vocab=1000000000": r"model\.scratch_vocab=1000000000: must be .* at most 2000000",
    "model.scratch_vocab=0": "model.scratch_vocab",
    "model.scratch.hidden_size=-128": r"model\.scratch\.hidden_size=-128: must be",
    "model.scratch.hidden_size=1000000000": r"model\.scratch\.hidden_size",
    "+model.scratch.hidden_dropout_prob=1.5": r"model\.scratch\.hidden_dropout_prob=1\.5: must be .* below 1",
    "+model.config_kwargs.attention_dropout=-0.1": r"model\.config_kwargs\.attention_dropout",
    "callbacks=[gradient_clip] callbacks.gradient_clip.max_norm=-1": r"max_norm=-1: must be a number above 0",
    "callbacks=[gradient_clip] callbacks.gradient_clip.max_norm=.nan": "max_norm",
    "callbacks=[ema] callbacks.ema.decay=1": "decay",
    "callbacks=[early_stopping] callbacks.early_stopping.patience=0": "patience",
    "callbacks=[class_balance] callbacks.class_balance.strength=2": "strength",
    "callbacks=[gradient_accumulation] callbacks.gradient_accumulation.batches=0": "batches",
    "callbacks=[mixup] callbacks.mixup.alpha=0": "alpha",
    "augment=standard augment.max_rotate=-1": "max_rotate",
    "augment=standard augment.max_zoom=0.9": "max_zoom",
    "augment=trivial augment.strength=1.1": "strength",
    "callbacks=[cache_frozen_features] callbacks.cache_frozen_features.gigabytes=0": "gigabytes",
    "optimizer.lr=.inf": "optimizer.lr",
    "optimizer.lr=.nan": "optimizer.lr",
    "optimizer.lr=-1e-4": "optimizer.lr",
    "optimizer.betas=[0.9,1]": r"optimizer\.betas",
    "optimizer.weight_decay=-0.1": "weight_decay",
    "optimizer=sgd optimizer.momentum=1": "momentum",
    "schedule.epochs=1000000000": "schedule.epochs",
    "schedule.pct_start=1.1": "pct_start",
    "schedule.moms=[0.9,0.8]": r"schedule\.moms",
    "schedule.moms=[0.9,1.5,0.9]": r"schedule\.moms",
    "schedule=linear_warmup schedule.warmup=2": "warmup",
    "checkpoint.keep=0": r"checkpoint\.keep",
    "checkpoint.every_steps=0": "every_steps",
    "task.label_smoothing=1": "label_smoothing",
    "task.threshold=1": "threshold",
    "task.class_weights=[-1,2]": "class_weights",
    "task.max_length=0": "max_length",
    "task=masked_lm task.mask_prob=0": "mask_prob",
    "task=summarization task.generation.num_beams=0": r"task\.generation\.num_beams=0: must be a whole number of at",
    "task=summarization task.generation.max_new_tokens=0": "max_new_tokens",
    "task=summarization generation=sampling task.generation.temperature=0": "temperature",
    "task=summarization generation=sampling task.generation.top_p=1.5": "top_p",
    "data=files data.splits.folds=1": r"data\.splits\.folds=1: must be a whole number of at least 2",
    "data=files data.splits.index=[-1]": r"data\.splits\.index",
    "data=files +data.limit={trian:3}": r"data\.limit",
    "sweep.workers=0": r"sweep\.workers",
    "sweep.timeout=0": r"sweep\.timeout",
    "sweep.memory=-1": r"sweep\.memory",
    "sweep=asha sweep.pruner.reduction_factor=1": "reduction_factor",
    "output_dir=''": r"output_dir=: must be text that is not empty",
    "objective=[]": r"objective=\[\]: must be text that is not empty or a list, each text that is not empty",
}


def lines() -> Iterator[tuple[str, ...]]:
    """Single values share command lines, on which no key comes twice: composing is what takes long."""
    left = [words for words in SENSELESS if " " not in words and "seed=" not in words]  # a shared value is said once
    while left:
        keys = {word.lstrip("+").partition("=")[0]: word for word in left}
        yield tuple(keys.values())
        left = [word for word in left if word not in keys.values()]


LINE = {word: line for line in lines() for word in line}
SAID: dict[tuple[str, ...], str] = {}  # what each line was answered


@pytest.mark.parametrize("words", SENSELESS, ids=str)
def test_a_value_without_sense_is_refused_before_anything_loads(answer, work, words):
    (work / "a.csv").write_text("text,label\na,b\n")
    given = [word for word in LINE.get(words, words.split()) if not word.startswith("+data.limit")]
    given += ["data.limit={trian:3}"] if "+data.limit" in words else []
    given += ["data.train=a.csv"] if "data=files" in words else []
    line = tuple(given)
    if line not in SAID:
        SAID[line] = answer(*line)
    said = SAID[line]
    assert re.search(SENSELESS[words], said), said


def test_all_mistakes_of_a_line_are_shown_at_once(answer):
    said = answer("seed=-1", "schedule.epochs=0", "loader.batch_size=-4", "task.max_length=0", "+task.knid=auto")
    found = sorted(re.split("[=.:]", line)[0] for line in said.splitlines())
    assert found == ["There is no 'task", "loader", "schedule", "seed", "task"]


def test_what_does_not_go_together_is_said_once_single_values_are_right(answer, work):
    both = ("data=files", "data.train=none.csv", "task=summarization", "model=bert")
    said = answer(*both)
    assert "none.csv: there is no such file" in said
    assert "bert cannot do that" in said
    assert answer(*both, "seed=-1").startswith("seed=-1")


def test_what_the_shipped_options_say_has_sense():
    for words in (["model=bart"], ["task=summarization", "generation=sampling"], ["sweep=asha"], ["sweep=cmaes"]):
        checks.check(composing.compose(words))

"""Command lines: values out of any sense, and words that try Hydra's grammar."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path

from blurr.data import checks
from blurr.sweep import space
from tests.bad_input.case import HANDLED, Case
from tests.bad_input.configs import composed

HUGE = 10**18
TOO_LARGE = {
    "schedule.epochs": (HUGE, 1_000_000),
    "loader.batch_size": (10**12, 1_000_000),
    "loader.eval_batch_size": (10**12, 1_000_000),
    "loader.max_tokens": (10**12, 1_000_000_000),
    "loader.pad_to_multiple_of": (10**6, 8192),
    "loader.seed": (2**65, 2**32 - 1),
    "seed": (2**64, 2**32 - 1),
    "task.max_length": (10**9, 10_000_000),
    "data.rows": (10**12, 10_000_000),
    "checkpoint.every_steps": (10**30, 1_000_000_000),
    "checkpoint.keep": (HUGE, 1_000_000_000),
    "optimizer.lr": ("1e300", 1000),
    "schedule.pct_start": (1.5, 1),
    "data.valid": (1.5, 1),
    "data.seed": (2**33, 2**32 - 1),
    "model.scratch_vocab": (10**9, 2_000_000),
    "model.scratch.hidden_size": (10**9, 10_000_000),
    "model.scratch.num_hidden_layers": (10**6, 1000),
    "sweep.trials": (10**12, 1_000_000_000),
    "sweep.timeout": ("1e300", 1_000_000_000),
}
OF_OTHER_OPTIONS = {
    "a warm-up longer than the training": (["schedule=linear_warmup", "schedule.warmup=2"], "at most 1"),
    "cycles without end": (["schedule=cosine", f"schedule.cycles={10**30}"], "schedule.cycles=10+: must be"),
    "passes without end for the head": (["schedule=fine_tune", f"schedule.freeze_epochs={HUGE}"], "at most 1000000"),
    "a summary without end": (["task=summarization", f"task.max_target_length={10**9}"], "at most 10000000"),
    "generation without end": (["task=summarization", f"task.generation.max_new_tokens={10**12}"], "at most 10000000"),
    "a million beams": (["task=summarization", "task.generation.num_beams=1000000"], "at most 1000"),
    "a window without end": (["task=question_answering", f"task.max_length={HUGE}"], "at most 10000000"),
    "blocks without end": (["task=causal_lm", f"task.block_size={HUGE}"], "at most 10000000"),
    "a million worker processes": (["loader.num_workers=1000000"], "loader.num_workers=1000000: must be .*at most"),
    "a hundred workers a core": (["loader.num_workers=999"], "loader.num_workers=999: must be .*at most"),
    "a thousand threads a core": (["threads=100000"], "threads=100000: must be .*at most"),
    "batches without end": (
        ["callbacks=[gradient_accumulation]", f"callbacks.gradient_accumulation.batches={10**30}"],
        "at most 1000000000",
    ),
    "memory without end": (
        ["callbacks=[cache_frozen_features]", "callbacks.cache_frozen_features.gigabytes=1e300"],
        "at most",
    ),
    "a number of 5000 digits": ([f"seed={'9' * 5000}"], "seed=9+"),
    "a list for a text": (["model.name=[a,b]"], r"model\.name=.*must be text"),
    "a mapping for a number": (["seed={a:1}"], "seed=.*must be a whole number"),
    "nothing for a number": (["seed="], "seed=.*must be a whole number"),
    "null for a number": (["seed=null"], "seed=null: must be a whole number"),
    "a truth value for a number": (["loader.batch_size=true"], "must be a whole number"),
    "a half batch": (["loader.batch_size=2.5"], "must be a whole number"),
    "negative zero": (["optimizer.lr=-0.0"], r"optimizer\.lr=-0\.0: must be"),
    "a batch in hexadecimal": (["loader.batch_size=0x10"], "must be a whole number"),
}
WORDS: dict[str, tuple[list[str], str]] = {
    "an empty word": ([""], "not of the form key=value"),
    "an equals sign alone": (["="], "[Nn]o match"),
    "two equals signs": (["seed==1"], "seed"),
    "a comma alone": ([","], "not of the form key=value"),
    "a quote alone": (["'"], "not of the form key=value"),
    "a dot at the end": (["seed.=1"], "seed"),
    "dots alone": (["...=1"], r"\.\.\."),
    "a key that begins with a number": (["1seed=1"], "1seed"),
    "an emoji as a key": (["😀=1"], "😀"),
    "an emoji added as a key": (["+😀=1"], "😀"),
    "letters of another script as a key": (["семя=1"], "семя"),
    "a NUL byte in a value": (["model.name=a\0b"], "NUL"),
    "a NUL byte in a key": (["se\0ed=1"], "NUL"),
    "a line end in a key": (["se\ned=1"], "se"),
    "a half of a surrogate pair": (["model.name=\ud800"], "not text in UTF-8"),
    "ten thousand nested lists": (["optimizer.lr=" + "[" * 10_000 + "]" * 10_000], "optimizer.lr=.*nested too deeply"),
    "ten thousand open lists": (["optimizer.lr=" + "[" * 10_000], "optimizer.lr=.*nested too deeply"),
    "three hundred nested mappings": (["+a=" + "{a:" * 300 + "1" + "}" * 300], "nested too deeply"),
    "three hundred nested interpolations": (["+a=" + "${a" * 300 + "}" * 300], "nested too deeply"),
    "a hundred thousand quotes": (["model.name=" + "'" * 100_000], "model.name='+"),
    "a megabyte": (["model.name=" + "a" * (1 << 20)], "model.name=a+.*letters"),
    "a hundred thousand numbers": (["optimizer.lr=[" + "1," * 100_000 + "1]"], "optimizer.lr=.*letters"),
    "an option above the group": (["task=../x"], "task=../x: there is no such option"),
    "an option of the system": (["task=/etc/passwd"], "task=.*no such option"),
    "an option with a dot": (["task=mine.yaml"], "no such option"),
    "several options of one group": (["task=[masked_lm,causal_lm]"], "task"),
    "a list of models": (["model=bert,bart"], "several values"),
    "a group taken out": (["~task"], "task"),
    "a group taken out that is another": (["~model=bart"], "model"),
    "a key taken out that is not there": (["~nothing"], "nothing"),
    "a key added below a number": (["+seed.a.b.c=1"], "seed"),
    "a key added where there is none": (["+a.b.c.d=1"], HANDLED),
    "keys that name each other": (["+a=${b}", "+b=${a}"], "cannot be resolved|[Rr]ecursi"),
    "three keys in a circle": (["+a=${b}", "+b=${c}", "+c=${a}"], "cannot be resolved|[Rr]ecursi"),
    "an interpolation of the whole": (["+a=${.}"], "a=.*extraneous input"),
    "an environment variable of a nested name": (["seed=${oc.env:NO_${seed}}"], "cannot be resolved|[Rr]ecursi|NO_"),
    "an environment variable that is no number": (["seed=${oc.env:PATH}"], "seed=.*must be a whole number"),
    "a range where one value is asked": (["seed=range(1,1000000000000)"], "several values|seed|-m"),
    "a choice without values": (["seed=choice()"], "seed"),
    "a glob of options": (["model=glob(*)"], "model|-m"),
    "a group at a place of its own": (["model@=bert"], "model"),
    "a package that is not there": (["model@nowhere.at.all=bert"], "model"),
    "Hydra's own part taken out": (["~hydra"], "hydra"),
    "a target without a name": (["schedule._target_="], "schedule._target_"),
    "a target of dots": (["schedule._target_=blurr..x"], "schedule._target_=blurr..x"),
    "a target above the package": (["schedule._target_=blurr.../etc"], "schedule._target_"),
}
LONG = "a" * 5000
# name: (data.train, answer)
PLACES: dict[str, tuple[Any, str]] = {
    "an address": ("http://127.0.0.1:9/rows.csv", "is an address.*[Dd]ownload"),
    "an address of a bucket": ("s3://bucket/rows.csv", "is an address.*[Dd]ownload"),
    "an address of the Hub": ("hf://datasets/a/b", "data=hub data.name=a/b"),
    "a path of Windows": (r"C:\data\rows.csv", "there is no such file"),
    "a path of 5000 letters": (LONG, "data.train=a+.*too long"),
    "a path of 5000 folders": ("a/" * 5000 + "b.csv", "data.train=.*too long"),
    "a path with a NUL byte": ("a\0b.csv", "NUL"),
    "a file as a folder": ("r.csv/rows.csv", "there is no such file"),
    "an empty path": ("", "data.train=: An empty text"),
    "a path of blanks": ("  ", "data.train= +: An empty text"),
    "an empty list of paths": ([], r"data.train=\[\] names no file"),
    "an empty path in a list": (["r.csv", ""], "data.train=: An empty text"),
    "a home of nobody": ("~nobody-of-that-name/r.csv", "data.train=~nobody-of-that-name.*not known here"),
    "an environment variable of the shell": ("$HOME/r.csv", r"data.train=\$HOME/r.csv: there is no such file"),
    "a device": ("/dev/zero", "/dev/zero is a device"),
    "the null device": ("/dev/null", "/dev/null is a device"),
}
GRIDS = {
    "a range of a trillion": ["seed=range(1,1000000000000)"],
    "two ranges of a thousand": ["seed=range(1,1000)", "data.seed=range(1,1000)"],
}


def too_large(key: str, most: float) -> str:
    """Return the pattern of the answer to a value that is too large."""
    return rf"{re.escape(key)}=\S+: must be [^\n]*(at most|below) {most}"


def _grid(words: list[str]) -> Callable[[Path], object]:
    return lambda _: space.parse(words, ConfigLoaderImpl(create_config_search_path(None))).grid()


def _composed(words: list[str]) -> Callable[[Path], object]:
    return lambda _: composed(*words)


def _place(train: Any) -> Callable[[Path], None]:
    def give(folder: Path) -> None:
        (folder / "r.csv").write_text("text,label\nx,a\n")
        checks.check_files({"data": {"_target_": checks.LOAD_FILES, "train": train}})

    return give


def cases(good: Path) -> Iterator[Case]:
    """Yield command lines."""
    for key, (value, most) in TOO_LARGE.items():
        says = too_large(key, most)
        yield Case("value", f"{key} is too large", _composed([f"{key}={value}"]), says, slow=True)
    for name, (words, says) in OF_OTHER_OPTIONS.items():
        yield Case("value", name, _composed(words), says)
    for name, (words, says) in WORDS.items():
        yield Case("word", name, _composed(words), says)
    for name, words in GRIDS.items():
        yield Case("word", name, _grid(words), "has more than 100000 trials")
    for name, (train, says) in PLACES.items():
        yield Case("place", name, _place(train), says)

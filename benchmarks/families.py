"""Try every architecture that transformers has a head for a task of texts for: `python -m benchmarks.families`.

Of each architecture and task, in a process of its own, a tiny checkpoint with random weights is saved in a folder and
loaded as pretrained, where there is one that of the language model, so that the head is new. Then:

- each weight is in one parameter group by layers, and where all others are frozen, the last alone is trained;
- a few steps on one repeated batch give a finite and falling loss;
- predictions are one for each item and have their fields, and each item has the same one alone. Generated texts, too,
  whose prompts are padded on the left in a batch;
- the exported and loaded learner predicts the same.

`by length` is a yes, too: of a model that reads pads, see `blurr.training.inference`. Results go line by line into
`--results`, and what is there already is not tried again: a stopped benchmark goes on. `--only bert,t5` takes some of
the architectures, `--task translation` some tasks. A model with a vision tower is given texts alone.
"""

import argparse
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import transformers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from benchmarks.architectures import HEARS, NO_TEXT
from benchmarks.commands import markdown, show
from benchmarks.forks import in_processes
from benchmarks.predictions import CheckError, RefusedError
from benchmarks.trials import BY_LENGTH, YES, Passed, settings_of, try_out
from blurr.config import paths
from blurr.config.building import build
from blurr.models.groups import HEAD
from blurr.process.setup import hide_progress_bars
from blurr.runs.jsonlines import read_lines
from blurr.tasks.base import Task

NO_HEAD, NO, REFUSED, OF_OTHERS = "–", "**no**", "refused", "no text"


@dataclass(frozen=True)
class Result:
    """What is to be said of an architecture and a task.

    Args:
        arch: Hugging Face's name of the architecture.
        task: Its name in `conf/task`.
        answer: `yes`, `by length`, `refused` or `no`.
        reason: Of the latter two.
        groups: Number of parameter groups, by layers.
        frozen: What is trained where all groups but the last are frozen.
        seconds: How long it took.
    """

    arch: str
    task: str
    answer: str
    reason: str = ""
    groups: int = 0
    frozen: str = ""
    seconds: float = 0.0


@cache
def of_texts() -> list[str]:
    """Return the tasks that read texts, but for chats, whose models are those of `causal_lm`."""
    names = [name for name in paths.options("task") if ".text." in settings_of(name)._target_]
    return [name for name in names if name != "chat"]


@cache
def heads(task_name: str) -> frozenset[str]:
    """Return the architectures that transformers has a head for this task for."""
    return frozenset(mapping_of(task_name)._model_mapping)


def of_no_text(task_name: str) -> frozenset[str]:
    """Return those of them whose models need more than plain text."""
    writes = task_name in ("summarization", "translation")
    return frozenset(arch for arch in heads(task_name) if arch in NO_TEXT or (writes and arch in HEARS))


def mapping_of(task_name: str) -> Any:
    """Return transformers' mapping of configs to the models that have a head for this task."""
    task: Task = build(settings_of(task_name))
    return getattr(transformers, task.model_cls)._model_mapping


def examine(task_name: str, arch: str) -> Result:
    """Try one architecture and task, in this process."""
    started = time.monotonic()
    try:
        with tempfile.TemporaryDirectory() as folder:
            passed: Passed = try_out(task_name, arch, Path(folder))
    except CheckError as e:
        answer = REFUSED if isinstance(e, RefusedError) else NO
        return Result(arch, task_name, answer, str(e).replace(folder, "(folder)"))
    seconds = round(time.monotonic() - started, 1)
    return Result(arch, task_name, passed.answer, "", passed.groups, passed.frozen, seconds)


def examine_all(pairs: Sequence[tuple[str, str]], results: Path, workers: int, *, again: bool) -> Iterator[Result]:
    """Try all that is not among the results yet, and add to them.

    Args:
        pairs: Architectures and tasks.
        results: A file of JSON lines.
        workers: Processes at a time.
        again: What has not passed is tried again.
    """
    rows = [Result(**row) for row in (read_lines(results) if results.exists() else [])]
    known = {(each.arch, each.task): each for each in rows}  # the last of several counts
    if again:
        known = {pair: each for pair, each in known.items() if each.answer in (YES, BY_LENGTH)}
    fresh = [pair for pair in pairs if pair not in known]
    works = ((pair, _work(*pair)) for pair in fresh)
    with results.open("a", encoding="utf-8") as file:
        for (arch, task), answer in in_processes(works, workers):
            result = answer if isinstance(answer, Result) else Result(arch, task, NO, str(answer))
            file.write(json.dumps(asdict(result)) + "\n")
            file.flush()
            known[arch, task] = result
            yield result
    yield from (known[pair] for pair in pairs if pair not in fresh)


def _work(arch: str, task: str) -> Callable[[], Result]:
    mapping_of(task)[CONFIG_MAPPING[arch]]  # imports its module, for the processes of all tasks
    return partial(examine, task, arch)


# -- tables


def summary(results: Iterable[Result], tasks: Sequence[str]) -> str:
    """Return the table of the counts of each task."""
    rows, total = [], Counter[str]()
    for task in tasks:
        tried = [result for result in results if result.task == task]
        counts = Counter({"registered": len(heads(task)), "no text": len(of_no_text(task))})
        counts.update({"tried": len(tried), "passed": sum(each.answer in (YES, BY_LENGTH) for each in tried)})
        counts.update({"by length": sum(each.answer == BY_LENGTH for each in tried)})
        counts.update({"refused": sum(each.answer == REFUSED for each in tried)})
        counts.update({"failed": sum(each.answer == NO for each in tried)})
        total += counts
        rows.append([task, *_told(counts)])
    names = ["registered", "read no text", "tried", "passed", "of them by length", "refused", "failed", "share passed"]
    return markdown(["task", *names], [*rows, ["all", *_told(total)]])


def _told(counts: Counter[str]) -> list[str]:
    names = ("registered", "no text", "tried", "passed", "by length", "refused", "failed")
    return [*(str(counts[name]) for name in names), f"{counts['passed'] / max(counts['tried'], 1):.1%}"]


def by_architecture(results: Iterable[Result], tasks: Sequence[str]) -> str:
    """Return the table of all architectures: an answer for each task, groups, and what frozen models train."""
    found = {(each.arch, each.task): each for each in results}
    rows = []
    for arch in sorted({arch for arch, _ in found}):
        of_arch = [found[arch, task] for task in tasks if (arch, task) in found]
        groups = sorted({each.groups for each in of_arch if each.groups})
        frozen: dict[str, list[str]] = {}
        for each in of_arch:
            if each.frozen not in ("", HEAD):
                frozen.setdefault(each.frozen, []).append(each.task)
        trained = "; ".join(f"{name} ({', '.join(of)})" for name, of in frozen.items())
        answers = [found[arch, task].answer if (arch, task) in found else NO_HEAD for task in tasks]
        rows.append([arch, *answers, ", ".join(map(str, groups)), trained or HEAD])
    return markdown(["architecture", *tasks, "groups", "frozen, trains"], rows)


def reasons(results: Iterable[Result]) -> str:
    """Return the table of what is refused or fails, and why."""
    bad = sorted((each.arch, each.task, each.answer, each.reason) for each in results if each.reason)
    return markdown(["architecture", "task", "answer", "reason"], bad)


def main() -> None:
    """Try all, say how each ended, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="architectures, separated by commas; all where none is given")
    parser.add_argument("--task", default=",".join(of_texts()), help="tasks, separated by commas")
    parser.add_argument("--results", type=Path, default=Path("families.jsonl"), help="where they go, line by line")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes at a time")
    parser.add_argument("--again", action="store_true", help="try again what has not passed")
    given = parser.parse_args()
    tasks, only = given.task.split(","), set(filter(None, given.only.split(",")))
    pairs = [
        (arch, task)
        for arch in CONFIG_MAPPING
        for task in tasks
        if arch in heads(task) - of_no_text(task) and (not only or arch in only)
    ]
    hide_progress_bars()
    results = []
    for result in examine_all(pairs, given.results, given.workers, again=given.again):
        results.append(result)
        show(f"{len(results)} of {len(pairs)}: {result.arch} {result.task} {result.answer} {result.reason}".rstrip())
    for table in (summary(results, tasks), by_architecture(results, tasks), reasons(results)):
        show(f"\n{table}")


if __name__ == "__main__":
    main()

"""Write down what a sweep found: a trial as a YAML file that runs it again, all trials as a description."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from blurr.config import paths
from blurr.sweep.ledger import Ledger, Trial
from blurr.sweep.objectives import Goal, constant, worst_last
from blurr.sweep.space import words_of

NOT_ITS_OWN = ("output_dir", "hydra", "tracking")  # where it is run and recorded is no part of what it is
NOTED = 20  # trials, in the description of a sweep


def experiment_yaml(ledger: Ledger, trial: Trial) -> str:
    """Give the text of an option of the group `experiments` that runs a trial again.

    Args:
        ledger: of the trial's sweep.
        trial: which.
    """
    words = words_of(ledger.head["fixed"], trial.point)
    overrides = OverridesParser.create().parse_overrides(words)
    ours = [each for each in overrides if not is_about_the_place(str(each.input_line))]
    deleted = [each for each in ours if each.is_delete()]
    chosen = [each for each in ours if each.key_or_group in paths.groups() and each not in deleted]
    values: dict[str, Any] = {}
    for each in ours:
        if each not in chosen and each not in deleted:
            _put(values, each.key_or_group.split("."), each.value())
    if ledger.head["weights"] != "auto" and values.get("model", {}).get("weights", "auto") == "auto":
        _put(values, ["model", "weights"], ledger.head["weights"])  # what the sweep decided on
    scores = zip(ledger.head["goals"], trial.values, strict=False)
    said = ", ".join(f"{name} {value:.4g}" for (name, _), value in scores)
    lines = [
        "# @package _global_",
        f"# Trial {trial.number} of the sweep {ledger.head['name']}: {said}.",
        "# python -m blurr.run experiments=best",
        *(f"# To be given on the command line, which alone can delete a key: {each.input_line}" for each in deleted),
    ]
    defaults = yaml.safe_dump({"defaults": list(_defaults(chosen))}, allow_unicode=True) if chosen else ""
    rest = yaml.safe_dump(values, sort_keys=False, allow_unicode=True) if values else ""
    return "\n".join(lines) + "\n" + defaults + rest


def note(trials: Sequence[Trial], goals: Sequence[Goal]) -> str:
    """Describe a sweep in Markdown, as the page of its run in MLflow shows it: its best trials, at most 20."""
    finished = [trial for trial in trials if trial.state == "finished"]
    ranked = sorted(finished, key=lambda trial: worst_last(-goals[0].sign * trial.values[0]))[:NOTED]
    keys = list(dict.fromkeys(key for trial in ranked for key in trial.point))
    names = ["trial", *keys, *(goal.name for goal in goals)]
    rows = [
        [str(trial.number), *(trial.point.get(key, "") for key in keys), *(f"{value:.4g}" for value in trial.values)]
        for trial in ranked
    ]
    table = [f"| {' | '.join(cells)} |" for cells in (names, ["---"] * len(names), *rows)]
    counts = ", ".join(f"{n} {state}" for state, n in Counter(trial.state for trial in trials).items())
    worthless = [f"\n**Worth nothing:** {line}." for line in constant(trials, goals)]
    return "\n".join([f"{len(trials)} trials: {counts}.", *worthless, "", *(table if rows else [])])


def is_about_the_place(word: str) -> bool:
    """Is this word no part of an experiment, but of where it is run and recorded?"""
    return word.lstrip("+~").partition("=")[0].split(".")[0] in NOT_ITS_OWN


def _defaults(chosen: Iterable[Override]) -> Iterable[Any]:
    """Give the entries of a defaults list: the experiment it was based on first, what overrides it after."""
    bases = [each.value() for each in chosen if each.key_or_group == paths.EXPERIMENTS]
    yield from bases
    for each in chosen:
        if each.key_or_group != paths.EXPERIMENTS:
            yield {f"override /{each.key_or_group}": each.value()}


def _put(values: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        values = values.setdefault(key, {})
    values[keys[-1]] = value

"""Write down the results of a sweep: a trial as a YAML file that runs it again, all trials as a description."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from blurr.config import paths
from blurr.config.trust import key_of
from blurr.runs.markdown import plain
from blurr.sweep.ledger import Ledger, Trial
from blurr.sweep.objectives import Objective, constant, worst_last
from blurr.sweep.space import overrides_of

# keys that say where a trial runs and is recorded, not what it is
WHERE_IT_RUNS = ("output_dir", "hydra", "tracking", "sweep")
UNSAID = "Give this on the command line, since a file cannot delete a key"
MOST_NOTED = 20  # trials in the description of a sweep


def experiment_yaml(ledger: Ledger, trial: Trial) -> str:
    """Return the text of an option of the group `experiments` that runs a trial again."""
    parsed = OverridesParser.create().parse_overrides(overrides_of(ledger.head["fixed"], trial.point))
    ours = [each for each in parsed if not says_where_it_runs(str(each.input_line))]
    deleted = [each for each in ours if each.is_delete()]
    chosen = [each for each in ours if each.key_or_group in paths.groups() and each not in deleted]
    values: dict[str, Any] = {}
    for each in ours:
        if each not in chosen and each not in deleted:
            _put(values, each.key_or_group.split("."), each.value())
    if ledger.head["weights"] != "auto" and values.get("model", {}).get("weights", "auto") == "auto":
        _put(values, ["model", "weights"], ledger.head["weights"])  # as the sweep resolved it
    scores = zip(ledger.head["goals"], trial.values, strict=False)
    shown = ", ".join(f"{name} {value:.4g}" for (name, _), value in scores)
    lines = [
        "# @package _global_",
        _comment(f"Trial {trial.number} of the sweep {ledger.head['name']}: {shown}."),
        "# python -m blurr.run experiments=best",
        *map(_comment, (f"{UNSAID}: {each.input_line}" for each in deleted)),
    ]
    defaults = yaml.safe_dump({"defaults": list(_defaults(chosen))}, allow_unicode=True) if chosen else ""
    rest = yaml.safe_dump(values, sort_keys=False, allow_unicode=True) if values else ""
    return "\n".join(lines) + "\n" + defaults + rest


def note(trials: Sequence[Trial], objectives: Sequence[Objective]) -> str:
    """Describe a sweep and its 20 best trials in Markdown, for the page of its run in MLflow."""
    finished = [trial for trial in trials if trial.state == "finished"]
    ranked = sorted(finished, key=lambda trial: worst_last(-objectives[0].sign * trial.values[0]))[:MOST_NOTED]
    keys = list(dict.fromkeys(key for trial in ranked for key in trial.point))
    names = ["trial", *keys, *(objective.name for objective in objectives)]
    rows = [
        [str(trial.number), *(trial.point.get(key, "") for key in keys), *(f"{value:.4g}" for value in trial.values)]
        for trial in ranked
    ]
    table = [f"| {' | '.join(map(plain, cells))} |" for cells in (names, ["---"] * len(names), *rows)]
    counts = ", ".join(f"{n} {state}" for state, n in Counter(trial.state for trial in trials).items())
    worthless = [f"\n**Worth nothing:** {plain(line)}." for line in constant(trials, objectives)]
    return "\n".join([f"{len(trials)} trials: {counts}.", *worthless, "", *(table if rows else [])])


def says_where_it_runs(override: str) -> bool:
    """Does this override say where an experiment runs and is recorded, which is not part of the experiment?"""
    return re.split(r"[./@]", key_of(override))[0] in WHERE_IT_RUNS


def _comment(text: str) -> str:
    """Return a comment of one line: what follows a line end would be read as keys."""
    return f"# {' '.join(text.split())}"


def _defaults(chosen: Iterable[Override]) -> Iterable[Any]:
    """Yield the entries of a defaults list: the experiments it is based on must come before what overrides them."""
    yield from (each.value() for each in chosen if each.key_or_group == paths.EXPERIMENTS)
    for each in chosen:
        if each.key_or_group != paths.EXPERIMENTS:
            yield {f"override /{each.key_or_group}": each.value()}


def _put(values: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        values = values.setdefault(key, {})
    values[keys[-1]] = value

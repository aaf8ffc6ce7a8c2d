"""Write down the results of a sweep: a configuration as a YAML file that runs it again, and a description of all."""

import math
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
from blurr.sweep.configurations import Configuration, compared, configurations_of, repeated_values
from blurr.sweep.ledger import Ledger, Trial
from blurr.sweep.objectives import Objective, constant, worst_last
from blurr.sweep.space import overrides_of

# keys that say where a trial runs and is recorded, not what it is
WHERE_IT_RUNS = ("output_dir", "hydra", "tracking", "sweep")
UNSAID = "Give this on the command line, since a file cannot delete a key"
MOST_NOTED = 20  # configurations in the description of a sweep


def experiment_yaml(ledger: Ledger, chosen_one: Configuration) -> str:
    """Return the text of an option of the group `experiments` that runs a configuration again.

    Seeds and folds that the sweep repeated it with are left out: those of the base config apply.
    """
    parsed = OverridesParser.create().parse_overrides(overrides_of(ledger.head["fixed"], chosen_one.point))
    ours = [each for each in parsed if not says_where_it_runs(str(each.input_line))]
    deleted = [each for each in ours if each.is_delete()]
    chosen = [each for each in ours if each.key_or_group in paths.groups() and each not in deleted]
    values: dict[str, Any] = {}
    for each in ours:
        if each not in chosen and each not in deleted:
            _put(values, each.key_or_group.split("."), each.value())
    if ledger.head["weights"] != "auto" and values.get("model", {}).get("weights", "auto") == "auto":
        _put(values, ["model", "weights"], ledger.head["weights"])  # as the sweep resolved it
    lines = [
        "# @package _global_",
        *map(_comment, _headline(ledger, chosen_one)),
        "# blurr run experiments=best",
        *map(_comment, (f"{UNSAID}: {each.input_line}" for each in deleted)),
    ]
    defaults = yaml.safe_dump({"defaults": list(_defaults(chosen))}, allow_unicode=True) if chosen else ""
    rest = yaml.safe_dump(values, sort_keys=False, allow_unicode=True) if values else ""
    return "\n".join(lines) + "\n" + defaults + rest


def _headline(ledger: Ledger, chosen: Configuration) -> list[str]:
    """Say which configuration it is, how well it does, and which seeds and folds are left out."""
    scores = zip(ledger.head["goals"], chosen.scores(), strict=False)
    shown = ", ".join(f"{name} {score}" for (name, _), score in scores)
    repeated = repeated_values(chosen.trials)
    if not repeated:
        return [f"Trial {chosen.trials[0].number} of the sweep {ledger.head['name']}: {shown}."]
    over = ", ".join(f"{key}={','.join(values)}" for key, values in repeated.items())
    trials = ", ".join(map(str, chosen.numbers))
    return [
        f"Trials {trials} of the sweep {ledger.head['name']}: {shown} (mean ± standard deviation, n={chosen.count}).",
        f"They differ in {over}, which stands nowhere here: the base config's counts.",
    ]


def note(trials: Sequence[Trial], objectives: Sequence[Objective]) -> str:
    """Describe a sweep and its 20 best configurations in Markdown, for the page of its run in MLflow."""
    found = configurations_of(trials)
    finished = [each for each in found if any(trial.state == "finished" for trial in each.trials)]
    ranked = sorted(finished, key=lambda each: _rank(each, found, objectives))[:MOST_NOTED]
    keys = list(dict.fromkeys(key for each in ranked for key in each.point))
    repeated = repeated_values(trials)
    names = ["trial", *keys, *(["n"] if repeated else []), *(objective.name for objective in objectives)]
    rows = [_cells(each, keys, shows_count=bool(repeated)) for each in ranked]
    table = [f"| {' | '.join(map(plain, cells))} |" for cells in (names, ["---"] * len(names), *rows)]
    counts = ", ".join(f"{n} {state}" for state, n in Counter(trial.state for trial in trials).items())
    over = ", ".join(f"{key}={','.join(values)}" for key, values in repeated.items())
    said = [f"\nMean ± standard deviation over {plain(over)}; n is how many have finished."] if over else []
    worthless = [f"\n**Worth nothing:** {plain(line)}." for line in constant(trials, objectives)]
    return "\n".join([f"{len(trials)} trials: {counts}.", *said, *worthless, "", *(table if rows else [])])


def _rank(
    each: Configuration, found: Sequence[Configuration], objectives: Sequence[Objective]
) -> tuple[bool, tuple[bool, float]]:
    """Return a key for sorting: the best mean first, those with fewer finished repetitions behind, NaN last."""
    value = each.means[0] if each.means else math.nan
    return each not in compared(found), worst_last(-objectives[0].sign * value)


def _cells(each: Configuration, keys: Sequence[str], *, shows_count: bool) -> list[str]:
    scores = each.scores() or [f"{value:.4g}" for value in each.trials[-1].values]
    numbers = ", ".join(str(trial.number) for trial in each.trials)
    return [numbers, *(each.point.get(key, "") for key in keys), *([each.count] if shows_count else []), *scores]


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

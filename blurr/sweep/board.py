"""Show a sweep in the terminal: a live table while it runs, and a closing table."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from blurr.process.terminal import terminal
from blurr.runs.naming import short_keys
from blurr.sweep.configurations import Configuration, best, configurations_of, not_compared, repeated_values
from blurr.sweep.ledger import Ledger, Trial
from blurr.sweep.objectives import Objective

STYLES = {"finished": "green", "pruned": "yellow", "failed": "red", "running": "cyan"}
MOST_ROWS = 12
DETAIL_LINES = 4  # the end of a traceback, below the closing table; error.txt has all of it


class Board:
    """What a sweep prints: a live table in a terminal, elsewhere a line for each trial that ends.

    Args:
        objectives: what trials are compared by.
        total: number of trials.
        workers: number of trials that run at the same time.
        console: where to write; standard output by default.
    """

    def __init__(
        self, objectives: Sequence[Objective], total: int, workers: int, console: Console | None = None
    ) -> None:
        self.console = console or terminal()
        self._objectives, self._total, self._workers = objectives, total, workers
        self._live: Live | None = None

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the live table during the `with` block."""
        if not self.console.is_terminal:
            yield
            return
        with Live(console=self.console, refresh_per_second=2, transient=True) as self._live:
            yield

    def show(self, ledger: Ledger, running: Mapping[int, float]) -> None:
        """Update the live table; for `running` see `Scheduler`."""
        if self._live:
            trials = list(ledger.trials.values())
            now = time.monotonic()
            elapsed = {number: now - started for number, started in running.items() if started <= now}
            shown = _latest(configurations_of(trials), running)
            self._live.update(Group(self.table(shown, elapsed), Text(self._progress(trials, elapsed))))

    def say(self, trial: Trial) -> None:
        """Print a line about a trial that has ended, if there is no live table."""
        if not self.console.is_terminal:
            what = _numbers(trial.values) or trial.reason
            self.console.print(f"trial {trial.number} {trial.state}: {what}  {trial}", soft_wrap=True)

    def close(self, ledger: Ledger, *, by_trial: bool = False) -> None:
        """Print the closing table, the errors and the best trials.

        Args:
            ledger: of the sweep.
            by_trial: a row for each trial, also for those that differ in a seed or fold alone.
        """
        trials = list(ledger.trials.values())
        found = configurations_of(trials)
        self.console.print()
        shown = [Configuration(trial.point, (trial,)) for trial in trials] if by_trial else found
        self.console.print(self.table(shown, {}))
        repeated = repeated_values(trials)
        if repeated and not by_trial:
            over = ", ".join(f"{short_keys(repeated)[key]}={','.join(values)}" for key, values in repeated.items())
            self.console.print(f"\nmean ± standard deviation over {over}", soft_wrap=True)
        for trial in trials:
            if trial.state == "failed":
                self._say_failed(trial, ledger)
        self._say_best(found, names_trials=bool(repeated))

    def _say_failed(self, trial: Trial, ledger: Ledger) -> None:
        lines = [line for line in trial.details.splitlines() if line.strip()][-DETAIL_LINES:]
        self.console.print(f"\ntrial {trial.number} failed: {trial.reason}", soft_wrap=True)
        self.console.print("\n".join(f"  {line}" for line in lines), soft_wrap=True)
        self.console.print(f"  all of it: {ledger.folder / str(trial.number)}/error.txt", soft_wrap=True)

    def _say_best(self, found: Sequence[Configuration], *, names_trials: bool) -> None:
        winners = best(found, self._objectives)
        if winners:
            named = [f"{_named(each, is_repeated=names_trials)} ({each.said()})" for each in winners]
            names = ", ".join(objective.name for objective in self._objectives)
            self.console.print(f"\nbest by {names}: {', '.join(named)}", soft_wrap=True)
        for each in not_compared(found, self._objectives):
            self.console.print(f"not compared, since fewer have finished: {each} ({each.said()})", soft_wrap=True)

    def table(self, shown: Sequence[Configuration], elapsed: Mapping[int, float]) -> Table:
        """Return a table of configurations; `elapsed` has the seconds since the start of each running trial."""
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
        keys = list(dict.fromkeys(key for each in shown for key in each.point))
        is_repeated = any(each.is_repeated for each in shown)
        names = [short_keys(keys)[key] for key in keys] + (["n"] if is_repeated else [])
        first = "trials" if is_repeated else "trial"
        for name in [first, *names, "state", *(each.name for each in self._objectives), "seconds"]:
            table.add_column(name, overflow="fold")
        for each in shown:
            values = [each.point.get(key, "") for key in keys] + ([each.count] if is_repeated else [])
            state = _state(each.trials, elapsed)
            scores = _scores(each)[: len(self._objectives)]
            scores += [""] * (len(self._objectives) - len(scores))
            seconds = sum(elapsed.get(trial.number, trial.seconds) for trial in each.trials)
            styled = Text(state, style=STYLES.get(state, ""))
            table.add_row(numbers_of(each.trials), *values, styled, *scores, f"{seconds:.0f}" if seconds else "")
        return table

    def _progress(self, trials: Sequence[Trial], elapsed: Mapping[int, float]) -> str:
        done = [trial for trial in trials if trial.state != "running"]
        line = f"{len(done)} of {self._total} trials"
        if not done and not elapsed:
            line += ", loading what they need"
        found = configurations_of(trials)
        winners = best(found, self._objectives)
        if winners and len(self._objectives) == 1:
            who = _named(winners[0], is_repeated=any(each.is_repeated for each in found))
            line += f", best {self._objectives[0].name} {winners[0].said()} ({who})"
        return line + self._time_left(done, elapsed)

    def _time_left(self, done: Sequence[Trial], elapsed: Mapping[int, float]) -> str:
        """Estimate the remaining time from the mean time of the ended trials."""
        took = [trial.seconds for trial in done if trial.seconds]
        if not took:
            return ""
        mean = sum(took) / len(took)
        work = mean * (self._total - len(done)) - sum(min(seconds, mean) for seconds in elapsed.values())
        return f", about {timedelta(seconds=round(max(work, 0) / self._workers))} left"


def numbers_of(trials: Sequence[Trial]) -> str:
    """Return the numbers of trials in short: `0-2, 5`."""
    spans: list[list[int]] = []
    for number in sorted(trial.number for trial in trials):
        if spans and number == spans[-1][-1] + 1:
            spans[-1][1:] = [number]
        else:
            spans.append([number])
    return ", ".join("-".join(map(str, span)) for span in spans)


def _latest(found: Sequence[Configuration], running: Mapping[int, float]) -> list[Configuration]:
    """Return the configurations that are running and, where there is room, those that ended last."""
    chosen = [each for each in found if any(trial.number in running for trial in each.trials)][:MOST_ROWS]
    others = [each for each in found if each not in chosen]
    ended = [each for each in others if any(trial.state != "running" for trial in each.trials)]
    return (ended[-(MOST_ROWS - len(chosen)) :] if len(chosen) < MOST_ROWS else []) + chosen


def _state(trials: Sequence[Trial], elapsed: Mapping[int, float]) -> str:
    """Return the state of all trials, or how many are in which."""
    states = Counter(
        trial.state if trial.number in elapsed or trial.state != "running" else "waiting" for trial in trials
    )
    return next(iter(states)) if len(states) == 1 else ", ".join(f"{n} {state}" for state, n in states.items())


def _scores(each: Configuration) -> list[str]:
    """Return the scores of a configuration; those of its last report if none of its trials has finished."""
    last = each.trials[-1]
    return each.scores() or [f"{value:.4g}" for value in last.values or list(last.reports.values())[-1:]]


def _named(each: Configuration, *, is_repeated: bool) -> str:
    """Name a configuration: by its trial, or by its values where there are repetitions."""
    if not is_repeated:
        return f"trial {each.trials[0].number}"
    return f"{each}, trials {numbers_of(each.finished)}"


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)

"""Show a sweep in the terminal: a live table while it runs, and a closing table."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from blurr.process.terminal import terminal
from blurr.sweep.ledger import Ledger, Trial
from blurr.sweep.objectives import Objective, best

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
            chosen = [trial for trial in trials if trial.number in running][:MOST_ROWS]
            ended = [trial for trial in trials if trial.state != "running"]
            rows = (ended[-(MOST_ROWS - len(chosen)) :] if len(chosen) < MOST_ROWS else []) + chosen
            now = time.monotonic()
            elapsed = {number: now - started for number, started in running.items() if started <= now}
            self._live.update(Group(self.table(rows, elapsed), Text(self._progress(trials, elapsed))))

    def say(self, trial: Trial) -> None:
        """Print a line about a trial that has ended, if there is no live table."""
        if not self.console.is_terminal:
            what = _numbers(trial.values) or trial.reason
            self.console.print(f"trial {trial.number} {trial.state}: {what}  {trial}", soft_wrap=True)

    def close(self, ledger: Ledger) -> None:
        """Print the closing table, the errors and the best trials."""
        trials = list(ledger.trials.values())
        self.console.print()
        self.console.print(self.table(trials, {}))
        for trial in trials:
            if trial.state == "failed":
                lines = [line for line in trial.details.splitlines() if line.strip()][-DETAIL_LINES:]
                self.console.print(f"\ntrial {trial.number} failed: {trial.reason}", soft_wrap=True)
                self.console.print("\n".join(f"  {line}" for line in lines), soft_wrap=True)
                self.console.print(f"  all of it: {ledger.folder / str(trial.number)}/error.txt", soft_wrap=True)
        winners = best(trials, self._objectives)
        if winners:
            named = ", ".join(f"trial {trial.number} ({_numbers(trial.values)})" for trial in winners)
            names = ", ".join(objective.name for objective in self._objectives)
            self.console.print(f"\nbest by {names}: {named}", soft_wrap=True)

    def table(self, trials: Sequence[Trial], elapsed: Mapping[int, float]) -> Table:
        """Return a table of trials; `elapsed` has the seconds since the start of each running one."""
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
        keys = list(dict.fromkeys(key for trial in trials for key in trial.point))
        for name in ["trial", *keys, "state", *(each.name for each in self._objectives), "seconds"]:
            table.add_column(name, overflow="fold")
        for trial in trials:
            is_running = trial.number in elapsed
            state = trial.state if is_running or trial.state != "running" else "waiting"
            values = [f"{value:.4g}" for value in trial.values or list(trial.reports.values())[-1:]]
            values += [""] * (len(self._objectives) - len(values))
            seconds = elapsed.get(trial.number, trial.seconds)
            cells = [str(trial.number), *(trial.point.get(key, "") for key in keys)]
            styled = Text(state, style=STYLES.get(state, ""))
            table.add_row(*cells, styled, *values[: len(self._objectives)], f"{seconds:.0f}" if seconds else "")
        return table

    def _progress(self, trials: Sequence[Trial], elapsed: Mapping[int, float]) -> str:
        done = [trial for trial in trials if trial.state != "running"]
        line = f"{len(done)} of {self._total} trials"
        if not done and not elapsed:
            line += ", loading what they need"
        winners = best(trials, self._objectives)
        if winners and len(self._objectives) == 1:
            line += f", best {self._objectives[0].name} {_numbers(winners[0].values)} (trial {winners[0].number})"
        return line + self._time_left(done, elapsed)

    def _time_left(self, done: Sequence[Trial], elapsed: Mapping[int, float]) -> str:
        """Estimate the remaining time from the mean time of the ended trials."""
        took = [trial.seconds for trial in done if trial.seconds]
        if not took:
            return ""
        mean = sum(took) / len(took)
        work = mean * (self._total - len(done)) - sum(min(seconds, mean) for seconds in elapsed.values())
        return f", about {timedelta(seconds=round(max(work, 0) / self._workers))} left"


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)

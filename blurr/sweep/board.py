"""Show a sweep in the terminal: a table that lives while it runs, and one that stays."""

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
from blurr.sweep.objectives import Goal, best

STYLES = {"finished": "green", "pruned": "yellow", "failed": "red", "running": "cyan"}
MOST_ROWS = 12
DETAIL_LINES = 4  # of a traceback, in the closing table; the file has it all


class Board:
    """What a sweep shows while it runs.

    Where the output is no terminal there is no live table, only a line for each trial that ends.

    Args:
        goals: the objectives.
        total: trials in all.
        workers: trials at once.
        console: where to write.
    """

    def __init__(self, goals: Sequence[Goal], total: int, workers: int, console: Console | None = None) -> None:
        self.console = console or terminal()
        self._goals, self._total, self._workers = goals, total, workers
        self._live: Live | None = None

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the live table for the duration of a `with` block."""
        if not self.console.is_terminal:
            yield
            return
        with Live(console=self.console, refresh_per_second=2, transient=True) as self._live:
            yield

    def show(self, ledger: Ledger, running: Mapping[int, float]) -> None:
        """Bring the live table up to date.

        Args:
            ledger: of the sweep.
            running: number of a trial to the moment it was started, by `time.monotonic`; infinity where it waits for
                a process.
        """
        if self._live:
            trials = list(ledger.trials.values())
            chosen = [trial for trial in trials if trial.number in running][:MOST_ROWS]
            ended = [trial for trial in trials if trial.state != "running"]
            rows = (ended[-(MOST_ROWS - len(chosen)) :] if len(chosen) < MOST_ROWS else []) + chosen
            now = time.monotonic()
            elapsed = {number: now - started for number, started in running.items() if started <= now}
            self._live.update(Group(self.table(rows, elapsed), Text(self._progress(trials, elapsed))))

    def say(self, trial: Trial) -> None:
        """Write a line on a trial that has ended, where there is no live table."""
        if not self.console.is_terminal:
            what = _numbers(trial.values) or trial.reason
            self.console.print(f"trial {trial.number} {trial.state}: {what}  {trial}", soft_wrap=True)

    def close(self, ledger: Ledger) -> None:
        """Write the closing table, and what went wrong."""
        trials = list(ledger.trials.values())
        self.console.print()
        self.console.print(self.table(trials, {}))
        for trial in trials:
            if trial.state == "failed":
                lines = [line for line in trial.details.splitlines() if line.strip()][-DETAIL_LINES:]
                self.console.print(f"\ntrial {trial.number} failed: {trial.reason}", soft_wrap=True)
                self.console.print("\n".join(f"  {line}" for line in lines), soft_wrap=True)
                self.console.print(f"  all of it: {ledger.folder / str(trial.number)}/error.txt", soft_wrap=True)
        winners = best(trials, self._goals)
        if winners:
            named = ", ".join(f"trial {trial.number} ({_numbers(trial.values)})" for trial in winners)
            self.console.print(f"\nbest by {', '.join(goal.name for goal in self._goals)}: {named}", soft_wrap=True)

    def table(self, trials: Sequence[Trial], elapsed: Mapping[int, float]) -> Table:
        """Make a table of trials.

        Args:
            trials: the rows.
            elapsed: seconds since those that run were started.
        """
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
        keys = list(dict.fromkeys(key for trial in trials for key in trial.point))
        for name in ["trial", *keys, "state", *(goal.name for goal in self._goals), "seconds"]:
            table.add_column(name, overflow="fold")
        for trial in trials:
            is_running = trial.number in elapsed
            state = trial.state if is_running or trial.state != "running" else "waiting"
            values = [f"{value:.4g}" for value in trial.values or list(trial.reports.values())[-1:]]
            values += [""] * (len(self._goals) - len(values))
            seconds = elapsed.get(trial.number, trial.seconds)
            cells = [str(trial.number), *(trial.point.get(key, "") for key in keys)]
            styled = Text(state, style=STYLES.get(state, ""))
            table.add_row(*cells, styled, *values[: len(self._goals)], f"{seconds:.0f}" if seconds else "")
        return table

    def _progress(self, trials: Sequence[Trial], elapsed: Mapping[int, float]) -> str:
        done = [trial for trial in trials if trial.state != "running"]
        line = f"{len(done)} of {self._total} trials"
        if not done and not elapsed:
            line += ", loading what they need"
        winners = best(trials, self._goals)
        if winners and len(self._goals) == 1:
            line += f", best {self._goals[0].name} {_numbers(winners[0].values)} (trial {winners[0].number})"
        return line + self._time_left(done, elapsed)

    def _time_left(self, done: Sequence[Trial], elapsed: Mapping[int, float]) -> str:
        """Estimate by what the ended trials took on the average."""
        took = [trial.seconds for trial in done if trial.seconds]
        if not took:
            return ""
        mean = sum(took) / len(took)
        work = mean * (self._total - len(done)) - sum(min(seconds, mean) for seconds in elapsed.values())
        return f", about {timedelta(seconds=round(max(work, 0) / self._workers))} left"


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)

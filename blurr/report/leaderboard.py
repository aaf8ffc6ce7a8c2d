"""List runs, the best first."""

from pathlib import Path

import pandas as pd

from blurr.errors import InputError, nearest
from blurr.report.record import read_record, runs_in

LESS_IS_BETTER = ("loss", "perplexity", "rmse")


def leaderboard(folder: Path, *, by: str | None = None) -> pd.DataFrame:
    """Give the runs below a folder that have ended, with their final metrics, the best first.

    Args:
        folder: such as `outputs`.
        by: the metric to sort by; `None` takes the objective of the latest run.

    Raises:
        InputError: there are no such runs, or none has that metric.
    """
    records = [record for run in runs_in(folder) if (record := read_record(run)).scores]
    if not records:
        raise InputError(f"There are no runs with final scores below {folder}. Give the folder that they are in.")
    objective = records[-1].config.get("objective")
    chosen = by or (objective if isinstance(objective, str) else next(iter(records[-1].scores)))
    names = sorted({name for record in records for name in record.scores})
    if chosen not in names:
        raise InputError(f"No run has the metric {chosen}.{nearest(chosen, names)} There are {names}.")
    rows = [
        {"run": str(r.folder.relative_to(folder.absolute())), "what": r.title, **r.scores}
        for r in records
        if chosen in r.scores
    ]
    first = ["run", "what", chosen]
    frame = pd.DataFrame(rows)
    frame = frame[[*first, *(name for name in frame if name not in first)]].dropna(axis=1, how="all")
    is_less_better = chosen.rpartition("/")[2] in LESS_IS_BETTER
    return frame.sort_values(chosen, ascending=is_less_better).reset_index(drop=True)

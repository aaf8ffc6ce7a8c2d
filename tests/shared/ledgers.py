"""Ledgers of sweeps that never ran."""

from blurr.sweep.ledger import Ledger, Trial
from blurr.sweep.objectives import Objective

ACCURACY = [Objective("valid/accuracy", "maximize")]
BOTH = [Objective("valid/accuracy", "maximize"), Objective("valid/loss", "minimize")]
LUCKY = [("1e-4", "1", [0.80]), ("1e-4", "2", [0.82]), ("3e-4", "1", [0.95]), ("3e-4", "2", [0.55])]


def trials_of(rows, key="seed"):
    """One trial for each learning rate, seed and values; no values: it failed, `None`: it was pruned."""
    made = []
    for number, (lr, seed, values) in enumerate(rows):
        state = "pruned" if values is None else "finished" if values else "failed"
        made.append(Trial(number, str(number), {"optimizer.lr": lr, key: seed}, state, 1, values or []))
    return made


def ledger_of(folder, rows, *, key="seed", objectives=ACCURACY, **head):
    """A sweep's ledger with these trials, as one that has run them leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(folder)
    ledger.begin(name=folder.name, argv=["-m"], words=[], weights="scratch", fixed=["task=summarization"], **head)
    ledger.begin(goals=[(each.name, each.direction) for each in objectives], total=len(rows))
    for trial in trials_of(rows, key):
        ledger.propose(trial.number, trial.hash, trial.point)
        ledger.start(trial.number)
        ledger.end(trial.number, trial.state, values=trial.values, reason="" if trial.values else "it broke")
    return ledger

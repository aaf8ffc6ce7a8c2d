"""Leave what describes a finished run in its folder and in MLflow: facts, description, model card and report."""

import shlex
from typing import Any

from blurr.errors import dispensable
from blurr.process.terminal import phase
from blurr.report.overview import note, write_card
from blurr.report.page import write_report
from blurr.runs.record import Record
from blurr.tracking.run import Run


def _artifacts(run: Run) -> str | None:
    """Return the address of a run's artifacts within MLflow's pages; None without MLflow."""
    return f"#{run.url.partition('#')[2]}/artifacts" if run.url else None


def describe_run(run: Run, facts: dict[str, Any], *, report: bool) -> None:
    """Write the facts of a run, its description in MLflow, the card of its model, and its report.

    Args:
        run: still open.
        facts: see `blurr.report.facts`.
        report: whether to write the report, too.
    """
    run.write_facts(facts)
    record = Record(run.folder)
    run.tag(**{"mlflow.note.content": note(record, page=_artifacts(run) if report else None)})
    run.artifact(write_card(record), "model")
    if report:
        phase("Writing the report")
        with dispensable(
            "The report", f"The run has finished; to make it: blurr report {shlex.quote(str(run.folder))}"
        ):
            for path in write_report(record):
                run.artifact(path)

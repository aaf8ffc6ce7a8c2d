"""Score the trained model of a run, and leave its scores, predictions and weights in the run's folder."""

import shutil
from pathlib import Path

from fastai.learner import Learner

from blurr.data.core import RawData
from blurr.metrics.outcome import Outcome
from blurr.metrics.streamed import directed
from blurr.models.objects import HFObjects
from blurr.runs.checksums import put, seal
from blurr.runs.folder import LR_FIND, LR_PLOT, MODEL, MODEL_ASIDE, TABLES
from blurr.runs.journal import writing
from blurr.tasks.saved import SavedTask, save_model
from blurr.tracking.run import Run
from blurr.tracking.sink import ModelForm


def evaluate_and_save(saved: SavedTask, learner: Learner, raw: RawData, hf: HFObjects, run: Run) -> Outcome:
    """Score the final model on each split that is held out, and save it.

    Returns:
        The scores, and what is to be said of them.
    """
    outcome = Outcome()
    outcome.ask(directed(learner.metrics))
    for split, table in TABLES.items():
        if split in raw.splits:
            result = saved.task.evaluate(learner, raw, split)
            outcome.add(split, result)
            run.table(Path(table).stem, result.rows)
            for name, text in saved.task.target.text_reports(result.rows).items():
                report = run.folder / f"{split}_{name}"
                with writing(report):
                    report.write_text(text, encoding="utf-8")
                run.artifact(report)
    _save(saved, hf, run)
    for path in filter(Path.exists, (run.folder / LR_FIND, run.folder / LR_PLOT)):
        run.artifact(path)
    run.tag(**outcome.tags())
    run.finish(outcome.scores)
    return outcome


def _save(saved: SavedTask, hf: HFObjects, run: Run) -> None:
    """Write the model aside and rename it, so that what has its name is whole."""
    folder, aside, task = run.folder / MODEL, run.folder / MODEL_ASIDE, saved.task
    with writing(folder):
        shutil.rmtree(aside, ignore_errors=True)  # of a process that was killed
        save_model(aside, saved, hf)
        seal(aside, identity=run.identity)
        put(aside, folder)
    required = {role: value for role, value in task.example(hf).items() if role in task.schema.required}
    optional = [role for role in task.schema.inputs if role not in required]
    run.model(folder, ModelForm(required, optional, task.target.options))

"""Score the trained model of a run, and leave its scores, predictions and weights in the run's folder."""

import shlex
import shutil
from pathlib import Path

from fastai.learner import Learner

from blurr.data.cells import content_of
from blurr.data.core import RawData
from blurr.errors import ResourceError
from blurr.metrics.outcome import Outcome
from blurr.metrics.streamed import directed
from blurr.models.adapted import Adapter
from blurr.models.adapter_files import save_adapter
from blurr.models.objects import HFObjects
from blurr.process.setup import home
from blurr.process.terminal import phase
from blurr.runs.asides import new_aside, usual_tempdir
from blurr.runs.checksums import put, seal
from blurr.runs.folder import ADAPTER, AUGMENTED, LR_FIND, LR_PLOT, MODEL, TABLES
from blurr.runs.journal import writing
from blurr.runs.not_kept import NOT_KEPT
from blurr.tasks.previews import previews_of
from blurr.tasks.saved import SavedTask, save_model
from blurr.tracking.run import Run
from blurr.tracking.sink import ModelForm
from blurr.training.distributed import current
from blurr.training.sharding import put_together


def evaluate_and_save(saved: SavedTask, learner: Learner, raw: RawData, hf: HFObjects, run: Run) -> Outcome:
    """Score the final model on each split that is held out, and save it.

    Returns:
        The scores, and what is to be said of them.
    """
    outcome, described = Outcome(), {}
    outcome.ask(directed(learner.metrics))
    for split, table in TABLES.items():
        if split in raw.splits:
            phase(f"Evaluating {split}")
            result = saved.task.evaluate(learner, raw, split)
            if not current().is_first:
                continue
            outcome.add(split, result)
            described[split] = result.rows
            run.table(Path(table).stem, result.rows)
            for name, text in saved.task.target.text_reports(result.rows).items():
                report = run.folder / f"{split}_{name}"
                with writing(report):
                    report.write_text(text, encoding="utf-8")
                run.artifact(report)
    put_together(learner.model)
    if not current().is_first:
        return outcome
    if saved.task.schema.media:
        _write_augmented(saved, learner, run)
        run.write_previews(previews_of(saved.task.schema, raw, described, saved.task.target.preview))
    phase("Saving the model")
    _save(saved, hf, run)
    for path in filter(Path.exists, (run.folder / LR_FIND, run.folder / LR_PLOT)):
        run.artifact(path)
    run.tag(**outcome.tags())
    run.finish(outcome.scores, outcome.intervals)
    return outcome


def _write_augmented(saved: SavedTask, learner: Learner, run: Run) -> None:
    """Leave a sheet of augmented training rows among the plots, where there are any."""
    sheet = saved.task.augmented_sheet(learner.dls)
    if sheet is not None:
        with writing(run.folder / AUGMENTED):
            (run.folder / AUGMENTED).parent.mkdir(exist_ok=True)
            (run.folder / AUGMENTED).write_bytes(sheet)


def _save(saved: SavedTask, hf: HFObjects, run: Run) -> None:
    """Write the model aside and rename it, so that what has its name is whole; and beside it its adapter, if any.

    Raises:
        ResourceError: it cannot be written there; names the folder that it was written to instead, if there is one.
    """
    folder, task = run.folder / MODEL, saved.task
    try:
        with writing(folder), new_aside(folder) as aside:
            _write(aside, saved, hf, run)
            put(aside, folder)
            (folder / NOT_KEPT).unlink(missing_ok=True)  # of an earlier run, by the same number of a trial
    except ResourceError as error:
        elsewhere = _saved_elsewhere(saved, hf, run)
        raise ResourceError(f"{error} {elsewhere}" if elsewhere else str(error)) from error
    if hf.adapter is not None and hf.adapter.base is not None:
        _save_adapter(hf.adapter, run)
    media = task.schema.media
    required = {
        role: content_of(value, media[role]) if role in media else value
        for role, value in task.example(hf).items()
        if role in task.schema.required
    }
    optional = [role for role in task.schema.inputs if role not in required]
    run.model(folder, ModelForm(required, optional, task.target.options, task.target.interface))


def _save_adapter(adapter: Adapter, run: Run) -> None:
    """Write the adapter alone, for peft and for whoever has the base already."""
    folder = run.folder / ADAPTER
    with writing(folder), new_aside(folder) as aside:
        save_adapter(aside, adapter)
        seal(aside, identity=run.identity)
        put(aside, folder)
    run.artifact(folder)


def _write(folder: Path, saved: SavedTask, hf: HFObjects, run: Run) -> None:
    save_model(folder, saved, hf)
    seal(folder, identity=run.identity)


def _saved_elsewhere(saved: SavedTask, hf: HFObjects, run: Run) -> str | None:
    """Write the model where there is room for it, so that the training is not lost; return what to say of it."""
    for place in (usual_tempdir(), home(), Path.cwd()):
        folder = place / f"blurr-model-{run.identity}"
        try:
            with writing(folder):
                _write(folder, saved, hf, run)
        except ResourceError:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            moved = f"mv {shlex.quote(str(folder))} {shlex.quote(str(run.folder / MODEL))}"
            return f"The trained model is in {folder}, whole; `blurr predict` reads it there, or, with room: {moved}"
    return None

"""Find a run by its folder, its identity or the id of its MLflow run."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from blurr.config.store import store_uri
from blurr.errors import InputError
from blurr.runs.folder import CONFIG, DIFF, ENVIRONMENT, FACTS, OVERRIDES, RECORD, SCORES
from blurr.runs.journal import Journal
from blurr.runs.jsonlines import to_json
from blurr.runs.record import Record, find_folder, is_run, latest_runs
from blurr.runs.secrets import mask_text
from blurr.tracking.sink import IDENTITY_TAG

if TYPE_CHECKING:
    from mlflow.entities import Run

# What a run is run again by; MLflow has a copy of each.
COPIED = (CONFIG, OVERRIDES, ENVIRONMENT, FACTS, SCORES, DIFF)


def find_run(name: str | Path, *, uri: str | None = None) -> Path:
    """Find the folder of a run.

    Args:
        name: the path of the folder or of one of its checkpoints, the identity of the run, or the id of its MLflow run.
        uri: of the MLflow store; for None see `config.store`.

    Raises:
        InputError: there is no such run, its folder is gone, or its folder holds another run now.
        ResourceError: MLflow does not answer.
    """
    folder = find_folder(name)
    if folder is not None:
        return folder
    there = Path(_in_mlflow(str(name), uri).data.tags.get("blurr.output_dir", ""))
    if not is_run(there):
        raise InputError(f"The folder of the run {name} is gone: {there}. There are {latest_runs()}.")
    _check_holds(there, str(name))
    return there.absolute()


@contextmanager
def record_of(name: str | Path, *, uri: str | None = None) -> Iterator[Record]:
    """Yield the record of a run: from its folder, or from MLflow's copy of its files, which lives as long as the block.

    Args:
        name: see `find_run`.
        uri: see `find_run`.

    Raises:
        InputError: there is no such run.
        ResourceError: MLflow does not answer.
    """
    folder = find_folder(name)
    if folder is not None:
        yield Record(folder)
        return
    run = _in_mlflow(str(name), uri)
    with tempfile.TemporaryDirectory() as copy:
        _copy(run, uri, Path(copy))
        yield Record(Path(copy))


def _in_mlflow(name: str, uri: str | None) -> "Run":
    from blurr.tracking.store import is_missing, run_with  # MLflow takes seconds to import

    found = run_with(name, uri)
    if found is None:
        where = f"{'no MLflow store' if is_missing(uri) else 'no run of that id or identity in'} {store_uri(uri)}"
        raise InputError(
            f"There is no run {name}: no folder of that name, and {mask_text(where)} (--uri or tracking.uri names the "
            f"store). There are {latest_runs()}."
        )
    return found


def _copy(run: "Run", uri: str | None, folder: Path) -> None:
    """Fetch what MLflow has of a run, and write it as the folder of the run has it."""
    from blurr.tracking.store import download_files

    download_files(run, COPIED, folder, uri)
    tags = run.data.tags
    Journal(identity=tags.get(IDENTITY_TAG), run_id=run.info.run_id, tags=dict(tags)).write(folder)
    digests = [each.dataset.digest for each in run.inputs.dataset_inputs] if run.inputs else []
    if digests and not (folder / FACTS).exists():  # the run did not come to its end
        (folder / FACTS).write_text(to_json({"fingerprint": digests[0]}), encoding="utf-8")


def _check_holds(folder: Path, name: str) -> None:
    """Check that a folder still holds the run that MLflow says it does.

    Raises:
        InputError: it holds another one.
    """
    if not (folder / RECORD).is_file():
        return
    now = Journal.read(folder)
    if name not in (now.identity, now.run_id):
        raise InputError(
            f"The run {name} was in {folder}, which holds the run {now.identity or now.run_id} now. Its checkpoints "
            "are gone; begin anew, in a folder of its own."
        )

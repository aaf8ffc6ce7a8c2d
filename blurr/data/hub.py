"""Load rows from the Hugging Face Hub, or from a local folder laid out like a data set there."""

import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import NamedTuple, TypeAlias
from urllib.error import HTTPError
from urllib.request import urlopen

import datasets
import pyarrow as pa
from datasets.exceptions import DatasetsError

from blurr.data.core import Columns, Limit, RawData, Schema, Step, known_splits, raw_data
from blurr.data.formats.content import ROWS
from blurr.data.formats.spooled import LARGE, on_disk
from blurr.data.formats.tables import dataset_of
from blurr.data.known_labels import UnknownLabels
from blurr.data.media import Broken
from blurr.data.naming import chosen_columns
from blurr.data.splits import DEFAULT_SPLITS, Splits
from blurr.errors import InputError, ResourceError, chain, is_no_answer, nearest, resource_error

log = logging.getLogger(__name__)

ANSWER_SECONDS = 3
Split: TypeAlias = "datasets.Dataset | datasets.IterableDataset"


class HubSource(NamedTuple):
    """A data set: its name, configuration and revision."""

    name: str
    config: str | None
    revision: str | None


def load_hub(
    schema: Schema,
    *,
    name: str,
    config: str | None = None,
    revision: str | None = None,
    streaming: bool = False,
    train_split: str = "train",
    valid_split: str | None = "auto",
    test_split: str | None = None,
    columns: Columns | None = None,
    splits: Splits = DEFAULT_SPLITS,
    limit: Limit = None,
    preprocess: Step | Sequence[Step] | None = None,
    unknown_labels: UnknownLabels = "refuse",
    broken: Broken = "refuse",
) -> RawData:
    """Load a data set by `datasets.load_dataset`.

    Args:
        schema: What the task needs of its rows.
        name: Id on the Hub, or a local folder.
        config: One of the data set's configurations, if it has several.
        revision: Branch, tag or commit on the Hub.
        streaming: Download the rows of the chosen splits as they are read, a few at a time, and keep them on the disk
            for this run alone, in place of whole files and all splits in the cache of `datasets`.
        train_split: Name of the split to train on.
        valid_split: Name of the split to validate on; `auto` takes the one called validation, valid, val or dev.
            If there is none, for None, and if `splits.by` is not `auto`, the training split is split.
        test_split: Name of the split for the final test, if any.
        columns: Role to column; a role that is not named here has a column of its own name.
        splits: How to take validation rows from the training split.
        limit: Rows per split to keep, drawn at random: a number, or one for each split.
        preprocess: What to do first to the rows of each split: a function from a Dataset to a Dataset, or several.
        unknown_labels: `refuse` rows with labels that no training row has, or `drop` these rows.
        broken: `refuse` files of media, such as pictures, that cannot be opened, or `drop` their rows.

    Raises:
        InputError: There is no such data set or split, or its rows are not what the task needs.
        ResourceError: The Hub does not answer, or memory or disk do not suffice.
    """
    chosen_columns(schema, columns or {})  # says whether task and data fit, before anything is downloaded
    source = HubSource(name, config, revision)
    loaded = _load(source, streaming=streaming)
    if valid_split == "auto" and splits.by != "auto":
        valid_split = None
    wanted = {"train": train_split, "valid": valid_split, "test": test_split}
    rows: dict[str, Split] = {}
    for part, split in wanted.items():
        if split == "auto":
            rows |= {found: part_rows for found, part_rows in known_splits(loaded, name).items() if found == part}
        elif split is not None:
            rows[part] = _split(loaded, split, f"data.{part}_split")
    with _answered(source):
        read = {part: _read(split, f"{name} ({part})") for part, split in rows.items()}
    return raw_data(
        read,
        schema,
        columns=columns,
        source=f"hub:{name}",
        splits=splits,
        limit=limit,
        preprocess=preprocess,
        unknown_labels=unknown_labels,
        broken=broken,
    )


def _load(source: HubSource, *, streaming: bool) -> Mapping[str, Split]:
    """Load all splits; `datasets` alone would try for half a minute to reach a Hub that does not answer."""
    name = source.name
    if not Path(name).exists() and not datasets.config.HF_HUB_OFFLINE and not _does_hub_answer():
        if not Path(datasets.config.HF_DATASETS_CACHE, name.replace("/", "___")).exists():
            raise ResourceError(
                f"There is no folder data.name={name}, and the Hub ({datasets.config.HF_ENDPOINT}) does not answer. "
                "Check the path, or the network; a data set that was loaded before is in the cache."
            )
        log.warning("The Hub does not answer; %s comes from the cache. HF_HUB_OFFLINE=1 spares the wait.", name)
    with _answered(source), _encoder_of_sounds():
        loaded: Mapping[str, Split] = datasets.load_dataset(
            name, source.config, revision=source.revision, streaming=streaming
        )
    return loaded


def _read(split: Split, where: str) -> datasets.Dataset:
    """Return the rows of a split; those that come as they are read are kept on the disk."""
    if isinstance(split, datasets.Dataset):
        return split

    def batches() -> Iterator[pa.RecordBatch]:
        for table in split.with_format("arrow").iter(ROWS):
            yield from table.to_batches()

    kept = on_disk(where, LARGE, batches)
    return dataset_of(pa.Table.from_batches(batches()) if kept is None else kept, split.features)


@contextmanager
def _answered(source: HubSource) -> Iterator[None]:
    """Turn what `datasets` raises into one message."""
    try:
        yield
    except (OSError, ValueError, RuntimeError, DatasetsError) as error:
        failure = resource_error(error)
        if failure is not None:
            raise failure from error
        if not datasets.config.HF_HUB_OFFLINE and any(map(is_no_answer, chain(error))):
            raise ResourceError(
                f"The Hub ({datasets.config.HF_ENDPOINT}) does not give data.name={source.name}: {error} Try again "
                "later."
            ) from error
        raise InputError(_refusal(error, source)) from error


@contextmanager
def _encoder_of_sounds() -> Iterator[None]:
    """Let `datasets` list sound files without torchcodec, whose encoder it imports, and uses for arrays alone."""
    names = ("torchcodec", "torchcodec.encoders")
    if find_spec(names[0]) is not None:
        yield
        return
    for name in names:
        sys.modules[name] = ModuleType(name)
    vars(sys.modules[names[1]])["AudioEncoder"] = None
    try:
        yield
    finally:
        for name in names:
            sys.modules.pop(name, None)


def _refusal(error: Exception, source: HubSource) -> str:
    if isinstance(error, RuntimeError):
        return (
            f"The data set data.name={source.name} cannot be loaded: {error}. The Hub keeps a copy of most such data "
            "sets as tables; set data.revision=refs/convert/parquet and data.config=null."
        )
    return (
        f"The data set data.name={source.name} (data.config={source.config}, data.revision={source.revision}) cannot "
        f"be loaded: {error} Check its name and its configuration; a local folder works without a network."
    )


def _does_hub_answer() -> bool:
    try:
        with urlopen(datasets.config.HF_ENDPOINT, timeout=ANSWER_SECONDS):  # nosec B310  # named by the user
            return True
    except HTTPError:
        return True
    except OSError:
        return False


def _split(loaded: Mapping[str, Split], split: str, key: str) -> Split:
    if split not in loaded:
        raise InputError(
            f"{key}={split} is not a split of this data set.{nearest(split, loaded)} It has {sorted(loaded)}."
        )
    return loaded[split]

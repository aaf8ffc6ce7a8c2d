"""Raw rows, before any tokenizer has seen them: named by the task's roles, checked, and split."""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

import datasets
from datasets.features.features import require_decoding

from blurr.data.distinct import Distinct
from blurr.data.examining import Examined, Places, examined
from blurr.data.formats.picked import in_one_piece, picked
from blurr.data.formats.tables import with_array
from blurr.data.known_labels import UnknownLabels, known_only, labels_in, sorted_labels
from blurr.data.labels import LabelOptions, Labels, read_labels
from blurr.data.limits import Limit, limited
from blurr.data.media import Broken, hashes, media_columns, undecoded
from blurr.data.naming import WEIGHT, Columns, chosen_columns, split_name
from blurr.data.roles import (
    Schema,
    check_filled,
    check_texts,
    label_names,
    under_roles,
    with_found_media,
    with_weights,
)
from blurr.data.shaping import shaped, with_aliases
from blurr.data.splits import DEFAULT_SPLITS, Splits, split_rows
from blurr.errors import InputError

__all__ = [
    "Columns",
    "LabelOptions",
    "Limit",
    "RawData",
    "Schema",
    "UnknownLabels",
    "known_splits",
    "raw_data",
    "with_known_labels",
]

log = logging.getLogger(__name__)

FINGERPRINT_ROWS = 1000

T = TypeVar("T")
Step = Callable[[datasets.Dataset], datasets.Dataset]
"""A step of preprocessing: takes the rows of a split as their source has them, and returns other rows."""


@dataclass(frozen=True)
class RawData:
    """The rows of an experiment.

    Attributes:
        splits: `train`, `valid` and maybe `test`; columns named by role, all others under their own name.
        label_names: Names of the classes if the source has them, else None.
        source: Where the rows are from, for messages and the record of the run.
        kind: What the labels are: `multiclass`, `multilabel`, `regression` or `tags`; None if none of these.
        reason: Why they are read as that kind, for messages.
        unknown_labels: What to do with rows whose labels cannot be predicted: `refuse` or `drop`.
        sources: Split to where its rows are from, if that differs from `source`.
        columns: Role to column, where a notebook gave the rows.
        broken: Split to name and mistake of each file of media, or row, that was left out.
    """

    splits: datasets.DatasetDict
    label_names: list[str] | None
    source: str
    kind: str | None = None
    reason: str = ""
    unknown_labels: UnknownLabels = "refuse"
    sources: Mapping[str, str] = field(default_factory=dict)
    columns: Columns = field(default_factory=dict)
    broken: Mapping[str, list[str]] = field(default_factory=dict)

    @property
    def train(self) -> datasets.Dataset:
        """The rows to train on."""
        return self.splits["train"]

    @property
    def valid(self) -> datasets.Dataset:
        """The rows to validate on."""
        return self.splits["valid"]

    @property
    def test(self) -> datasets.Dataset | None:
        """The rows held back until the end, if there are any."""
        return self.splits.get("test")

    @property
    def ordered_splits(self) -> dict[str, datasets.Dataset]:
        """The splits in the order of the loaders: `train`, `valid`, `test`, and `tune`, which a task sets aside."""
        return {name: self.splits[name] for name in ("train", "valid", "test", "tune") if name in self.splits}

    def where(self, split: str) -> str:
        """Name a split and where its rows are from, for messages."""
        return f"{self.sources.get(split, self.source)} ({split})"

    def __str__(self) -> str:
        sizes = ", ".join(f"{len(rows)} {name}" for name, rows in self.splits.items())
        return f"Rows: {sizes}, from {self.source}."

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the contents, 32 hexadecimal digits, the same on every machine.

        Files of media, such as pictures, count by the hash of their content.
        """
        digest = hashlib.blake2b(json.dumps(self.label_names).encode(), digest_size=16)
        for name in sorted(self.splits):
            digest.update(name.encode())
            rows, files = self.splits[name], media_columns(self.splits[name])
            for column in files:
                digest.update(json.dumps({column: hashes(rows, column)}).encode())
            rows = rows.remove_columns(files)
            media = _media(rows)
            plain = rows.remove_columns(media).with_format(None)
            for batch in plain.iter(FINGERPRINT_ROWS) if plain.column_names else ():  # else datasets knows no rows
                digest.update(json.dumps(batch, sort_keys=True, default=repr).encode())
            # as stored: the repr of a decoded image holds an address, another one in each process
            for stored in rows.select_columns(media).with_format("arrow").iter(FINGERPRINT_ROWS) if media else ():
                digest.update(json.dumps(stored.to_pydict(), sort_keys=True, default=_hash_or_repr).encode())
        return digest.hexdigest()


def _media(rows: datasets.Dataset) -> list[str]:
    """Name the columns of bytes that are decoded when they are read, such as images and sounds."""
    return [
        field.name
        for field in rows.features.arrow_schema
        if "binary" in str(field.type) and require_decoding(rows.info.features[field.name])
    ]


def _hash_or_repr(value: Any) -> str:
    return hashlib.blake2b(value, digest_size=16).hexdigest() if isinstance(value, bytes) else repr(value)


def raw_data(
    rows: Mapping[str, datasets.Dataset],
    schema: Schema,
    *,
    columns: Columns | None = None,
    source: str,
    sources: Mapping[str, str] | None = None,
    splits: Splits = DEFAULT_SPLITS,
    limit: Limit = None,
    preprocess: Step | Sequence[Step] | None = None,
    unknown_labels: UnknownLabels = "refuse",
    broken: Broken = "refuse",
    places: Mapping[str, Places] | None = None,
    folders: Sequence[Path] = (),
    seed: int = 42,
) -> RawData:
    """Name the columns by role, check every row, and split; all loaders end here.

    Args:
        rows: The rows of `train`, and of `valid` and `test` if given.
        schema: What the task wants of its rows.
        columns: Role to column; a role that is not named here is looked for under its own name.
        source: Where the rows are from, for messages.
        sources: Split to where its rows are from; None where all are from `source`.
        splits: How to take validation rows from `train` when there is no `valid`.
        limit: Rows per split to keep, drawn at random, with at least one of each label if possible.
        preprocess: What to do first to the rows of each split: a function from a Dataset to a Dataset, or several.
        unknown_labels: `refuse` rows with labels that no training row has, or `drop` these rows.
        broken: `refuse` files of media, such as pictures, that cannot be opened, and bad chats, or `drop` their rows.
        places: Split to the folders where its relative paths start, see `Places`.
        folders: More folders where relative paths of media may start.
        seed: Decides which rows `limit` keeps.

    Returns:
        The splits `train`, `valid` and maybe `test`.

    Raises:
        InputError: When a column is missing, a split is empty, a row lacks a value, a label cannot be read or is
            unknown, a file of media is broken, or validation rows are given and to be taken from the training rows,
            too.
    """
    if "valid" in rows:
        _check_not_split(splits, source)
    where = {name: f"{(sources or {}).get(name, source)} ({name})" for name in rows}
    parts = {}
    for name, given in rows.items():
        parts[name] = in_one_piece(preprocessed(undecoded(given), preprocess, where[name]))
        if not parts[name].num_rows:
            raise InputError(f"{where[name]} has no rows. Check the file or the split that was given for it.")
    columns = with_aliases(parts["train"], schema, with_found_media(parts["train"], schema, columns or {}))
    chosen = chosen_columns(schema, columns)
    named = {name: under_roles(part, schema, chosen, where[name]) for name, part in parts.items()}
    found = partial(examined, broken=broken, folders=folders)
    named, left_out = _with_media(named, schema, where=where, places=places or {}, examine=found)
    if schema.shaper is not None:
        made = {name: shaped(part, schema, where=where[name], broken=broken) for name, part in named.items()}
        named, left_out = {name: each.rows for name, each in made.items()}, _without_empty(made)
    named = dict(named if schema.reader is None else schema.reader(named, where))
    named, labels = _with_labels(named, schema, chosen, where)
    for name, part in named.items():
        check_filled(part, schema, where[name])
        check_texts(part, schema, where[name])
        named[name] = with_weights(part, where[name])
    whole = None if "valid" in named else named["train"]
    if whole is not None:
        known = set(named["train"].column_names) - {schema.label, WEIGHT}
        inputs = [role for role in schema.roles if role in known]
        others = {name: part for name, part in named.items() if name != "train"}
        named = split_rows(whole, splits, label=schema.label, inputs=inputs) | others
    if limit is not None:
        # where the source names its classes, or rows of unknown ones are dropped, any row will do
        learns = labels is not None and labels.names is None and labels.kind != "regression"
        learns = learns and unknown_labels == "refuse"
        label = None if schema.label in schema.media else schema.label
        named = limited(named, limit, label=label, seed=seed, learns_labels=learns)
    raw = RawData(datasets.DatasetDict(named), None, source, sources=sources or {}, broken=left_out)
    if labels is None:
        return raw
    raw = replace(raw, label_names=labels.names, kind=labels.kind, reason=labels.reason, unknown_labels=unknown_labels)
    is_to_learn = schema.labels is not None and schema.labels.known is None
    return with_known_labels(raw, schema, whole=whole) if is_to_learn else raw


def _with_media(
    parts: dict[str, datasets.Dataset],
    schema: Schema,
    *,
    where: Mapping[str, str],
    places: Mapping[str, Places],
    examine: Callable[..., Examined],
) -> tuple[dict[str, datasets.Dataset], dict[str, list[str]]]:
    """Examine the files of all splits, and return what was left out of each."""
    left_out: dict[str, list[str]] = {}
    for name, rows in parts.items():
        for role in [role for role in schema.media if role in rows.column_names]:
            known = places.get(name, {})
            made = examine(parts[name], role, schema.media[role], where=where[name], places=known)
            parts = {**parts, name: made.rows}
            left_out[name] = [*left_out.get(name, []), *made.broken]
    return parts, {name: names for name, names in left_out.items() if names}


def _without_empty(made: Mapping[str, Examined]) -> dict[str, list[str]]:
    return {name: each.broken for name, each in made.items() if each.broken}


def _with_labels(
    parts: dict[str, datasets.Dataset],
    schema: Schema,
    chosen: Mapping[str, str | list[str]],
    where: Mapping[str, str],
) -> tuple[dict[str, datasets.Dataset], Labels | None]:
    """Read the labels of all splits by one rule, and put them in place of what the source has."""
    role = schema.classes
    if role is None or schema.labels is None or any(role not in part.column_names for part in parts.values()):
        return parts, None
    labels = read_labels(parts, role, schema.labels, names=label_names(parts["train"], schema, chosen), where=where)
    column = chosen.get(role)
    are_names = isinstance(column, str) and labels.kind != "regression"
    if are_names and column in labels_in(labels.columns["train"].values):
        said = "%s has %r both as the name of a column and as a label in it. If that line is a row, write a header."
        log.warning(said, where["train"], column)
    value = datasets.Value("float64" if labels.kind == "regression" else "string")
    are_lists = labels.kind in ("multilabel", "tags")
    feature = datasets.List(value) if are_lists else value
    return {
        name: with_array(part, role, labels.columns[name].array(feature), feature) for name, part in parts.items()
    }, labels


def with_known_labels(raw: RawData, schema: Schema, *, whole: datasets.Dataset | None = None) -> RawData:
    """Refuse or drop rows with labels that cannot be learnt from the training rows, or that a trained model lacks.

    Args:
        raw: The rows; those of every split are looked at.
        schema: How they were read; its `labels.known` are a trained model's.
        whole: The rows that the splits were drawn from, where they were.

    Raises:
        InputError: There are such rows, or no others in a split.
    """
    role, options = schema.classes, schema.labels
    if role is None or options is None or raw.kind in (None, "regression"):
        return raw
    columns = {name: Distinct.of(part, role) for name, part in raw.splits.items()}
    if options.known is not None:
        known, who = list(options.known), "the model does not know"
    else:
        known, who = raw.label_names or sorted_labels(labels_in(columns["train"].values)), "no training row has"
    where = {name: raw.where(name) for name in raw.splits}
    undrawn = None if whole is None else partial(Distinct.of, whole, role)
    kept = known_only(columns, known, unknown=raw.unknown_labels, where=where, who=who, whole=undrawn)
    splits = {name: picked(part, kept[name]) if name in kept else part for name, part in raw.splits.items()}
    return replace(raw, splits=datasets.DatasetDict(splits))


def known_splits(parts: Mapping[str, T], source: str) -> dict[str, T]:
    """Pick the training, validation and test rows from named splits, whatever the source calls them."""
    known: dict[str, T] = {}
    for name, rows in parts.items():
        meant = split_name(name)
        if meant is not None:
            known.setdefault(meant, rows)
    if "train" not in known:
        raise InputError(f"{source} has no split 'train'. It has {sorted(parts)}; name the one to train on.")
    return known


def _check_not_split(splits: Splits, source: str) -> None:
    if splits.by != "auto":
        raise InputError(
            f"data.splits.by={splits.by} takes validation rows from the training rows, but {source} comes with some. "
            "Leave one of the two out: set data.splits.by=auto, or data.valid=null (data.valid_split=null on the Hub)."
        )


def preprocessed(rows: datasets.Dataset, steps: Step | Sequence[Step] | None, where: str) -> datasets.Dataset:
    """Apply the steps of `data.preprocess` in order.

    Raises:
        InputError: A step returns something other than a Dataset.
    """
    for step in [] if steps is None else [steps] if callable(steps) else steps:
        rows = step(rows)
        if not isinstance(rows, datasets.Dataset):
            raise InputError(
                f"{where}: a function of data.preprocess gave a {type(rows).__name__}. It takes the datasets.Dataset "
                "of a split, and must give one."
            )
    return rows

"""Read the labels of rows by one rule for all splits: classes, lists of labels or numbers; see docs/data.md."""

import logging
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import datasets
import numpy as np

from blurr.data.distinct import Distinct
from blurr.data.known_labels import NUMBER, is_number, label_ids, labels_in
from blurr.data.spelling import SCALARS, are_whole, is_missing, spell
from blurr.errors import InputError

log = logging.getLogger(__name__)

Kind = Literal["auto", "multiclass", "multilabel", "regression", "tags"]
LabelsAre = Literal["auto", "names", "ids", "multi_hot"]

INDEX = re.compile(r"\d+", re.ASCII)
MOST_SHOWN = 5  # pairs of labels that a warning names
BITS = {"0": False, "1": True, "false": False, "true": True}

Label = str | list[str] | float
Columns = Mapping[str, Distinct]


@dataclass(frozen=True)
class LabelOptions:
    """How the labels of rows are to be read.

    Attributes:
        kind: One class for each row, several labels, a number, or a tag for each word; `auto` decides by the rows.
        are: What a label is: its name; an id, which counts from 0 in `names`; or, for several labels, a list with a
            0 or 1 for each that there is. `auto` tells names from ids, and refuses what could be either.
        separator: What stands between several labels in one text.
        names: Names of the labels in the order of their ids; None for those that the rows have.
        known: Names of the labels that a trained model knows, in the order of their ids.
    """

    kind: Kind = "auto"
    are: LabelsAre = "auto"
    separator: str | None = None
    names: tuple[str, ...] | None = None
    known: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Labels:
    """The labels of all splits, read by one rule.

    Attributes:
        columns: Split to labels: a text, a list of texts or a number for each row; None where a row has none.
        kind: What was decided.
        reason: Why, in words.
        names: Names of the classes where something other than the rows says them.
    """

    columns: Columns
    kind: str
    reason: str
    names: list[str] | None


def read_labels(
    given: Mapping[str, datasets.Dataset],
    role: str,
    options: LabelOptions,
    *,
    names: list[str] | None,
    where: Mapping[str, str],
) -> Labels:
    """Read the labels of all splits by one rule.

    Args:
        given: Split to rows, whose labels stand under `role`.
        role: The column of the labels.
        options: How they are to be read.
        names: Names of the classes where the source knows them.
        where: Split to its name and where its rows are from, for messages.

    Raises:
        InputError: A label cannot be read, or not in one way only; names its row.
    """
    first = next(iter(where.values()))
    may_be_several = options.kind == "auto" and names is None and options.names is None
    columns: Columns = {split: _values(rows, role) for split, rows in given.items()}
    for split, column in columns.items():
        _check_shapes(column, where[split])
    columns = _spelled(columns)
    columns = {split: _parted(column, options.separator, where[split]) for split, column in columns.items()}
    kind, reason = kind_of(columns, options, has_names=names is not None)
    if may_be_several and kind == "multiclass":
        _check_single(labels_in(label for column in columns.values() for label in column.values), first)
    for split, column in columns.items():
        _check_kind(column, kind, where[split])
    if kind == "regression":
        return Labels({split: _numbers(c, where[split]) for split, c in columns.items()}, kind, reason, None)
    _warn_of_spellings(labels_in(label for column in columns.values() for label in column.values), first)
    columns, names, declared = _declared(columns, options, names, first)
    if kind == "multilabel" and names is None:
        columns, declared = _several(columns, options, declared, where)
    if names is None:
        columns = _named(columns, options, declared)
    return Labels(columns, kind, reason, declared)


def kind_of(columns: Columns, options: LabelOptions, *, has_names: bool) -> tuple[str, str]:
    """Decide whether labels are classes, lists of labels or numbers, and say why.

    Args:
        columns: Split to labels, spelled.
        options: What was asked for.
        has_names: The source knows the names of the classes.
    """
    labels = [label for column in columns.values() for label in column.values if label is not None]
    if options.kind != "auto":
        return options.kind, f"task.kind={options.kind}" if options.kind != "tags" else "a label for each word"
    if any(isinstance(label, list) for label in labels):
        return "multilabel", "each row has a list of labels"
    if has_names:
        return "multiclass", "the data set names its classes"
    if options.names or not all(map(is_number, labels)):
        return "multiclass", "the labels are names"
    fractions = [label for label in labels if not is_whole(label)]
    if any(NUMBER.fullmatch(label) for label in fractions):
        count = sum(column.count(lambda label: label is not None) for column in columns.values())
        not_whole = set(fractions)
        broken = sum(column.count(lambda label: label in not_whole) for column in columns.values())
        found = f"all {count} labels are numbers, and {broken} of them, such as {fractions[0]}, not whole"
        return "regression", f"{found}; task.kind=multiclass takes each for the name of a class"
    if fractions:
        return "multiclass", "the labels are names"
    return "multiclass", "all labels are whole numbers; task.kind=regression takes them for numbers to predict"


def is_whole(label: str) -> bool:
    """Return whether a label is a whole number, such as `7`, `7.0` and `7e3`."""
    return bool(NUMBER.fullmatch(label)) and math.isfinite(float(label)) and float(label).is_integer()


def _values(rows: datasets.Dataset, role: str) -> Distinct:
    """Return the labels of a split; classes by name where the source has numbers, which mean nothing away from it."""
    values = Distinct.of(rows, role)
    feature = rows.info.features[role]
    inner = feature.feature if isinstance(feature, datasets.List | datasets.LargeList) else feature
    if isinstance(inner, datasets.ClassLabel):
        return values.changed(lambda value: _each(value, lambda number: _class_name(number, inner)))
    if isinstance(inner, datasets.Value) and inner.dtype in ("float16", "float32"):
        narrow = np.dtype(inner.dtype).type  # as Python floats they would show digits that nobody wrote
        return values.changed(lambda value: _each(value, narrow))
    return values


def _each(value: Any, change: Any) -> Any:
    """Change a label, or each label of a list; a missing one is None."""
    if isinstance(value, list):
        return [_each(each, change) for each in value]
    return None if is_missing(value) else change(value)


def _class_name(number: int, feature: datasets.ClassLabel) -> str | None:
    return feature.int2str(number) if 0 <= number < feature.num_classes else None  # -1 stands for no label


def _check_shapes(column: Distinct, where: str) -> None:
    """Refuse what is neither a value nor a list of values."""
    for row, label in column.firsts():
        each = label if isinstance(label, list) else [label]
        if not all(isinstance(value, SCALARS) or is_missing(value) for value in each):
            raise InputError(
                f"{where}: row {row} (counted from 1) has {label!r:.80} for a label. A label is a text, a number, a "
                "truth value or a list of these; a dot reaches into an object, as in data.columns.label=label.name."
            )
        if isinstance(label, list) and any(is_missing(value) for value in label):
            raise InputError(
                f"{where}: row {row} (counted from 1) has a label that is null, or a class that is none, in its "
                f"list: {label!r:.80}. Take it out; a row without labels has an empty list."
            )


def _spelled(columns: Columns) -> Columns:
    """Spell the labels of all splits alike."""
    labels = (label for column in columns.values() for label in column.values)
    whole = are_whole(x for label in labels for x in (label if isinstance(label, list) else [label]))
    return _changed(columns, lambda label: _each(label, partial(spell, whole=whole)))


def _changed(columns: Columns, change: Callable[[Any], Any]) -> Columns:
    return {split: column.changed(change) for split, column in columns.items()}


def _parted(column: Distinct, separator: str | None, where: str) -> Distinct:
    """Split texts that name several labels."""
    if separator is None:
        return column

    def part(label: Any) -> Any:
        is_text = isinstance(label, str) and label != ""
        return [name.strip() for name in label.split(separator)] if is_text else label

    for row, label in column.firsts():
        if isinstance(label, str) and "" in part(label):
            raise InputError(
                f"{where}: row {row} (counted from 1) has a label without a name in {label!r:.80}, separated by "
                f"task.label_separator={separator!r}. Correct the row."
            )
    return column.changed(part)


def _check_kind(column: Distinct, kind: str, where: str) -> None:
    """Refuse lists where one label is wanted, and one label where lists are."""
    for row, label in column.firsts():
        if label is None or label == "" or isinstance(label, list) == (kind in ("multilabel", "tags")):
            continue
        has = f"{where}: row {row} (counted from 1) has {label!r:.60} for a label,"
        if isinstance(label, list):
            raise InputError(f"{has} and task.kind={kind} needs one label per row; task.kind=multilabel reads lists.")
        if kind == "multilabel":
            raise InputError(
                f"{has} and task.kind=multilabel needs a list of labels per row. Give lists; or several columns of 0 "
                "and 1, data.columns.label=[toxic,rude]; or say what stands between labels in a text, "
                "task.label_separator='|'."
            )
        raise InputError(
            f"{has} and not a list of labels, one for each word. Give lists, as conll and jsonl files hold them."
        )


def _check_single(labels: set[str], where: str) -> None:
    """Refuse names that could be several in one text, each of whose parts is found in another label, and numbers."""
    if any("," in label for label in labels) and all(NUMBER.fullmatch(label.replace(",", ".")) for label in labels):
        example = next(label for label in sorted(labels) if "," in label)
        raise InputError(
            f"{where} has labels such as {example!r}, numbers with a decimal comma. Write"
            " a point for numbers to predict, or say task.kind=multiclass for names."
        )
    for sign in "|;,":
        parted = {label: {part.strip() for part in label.split(sign)} for label in labels}
        counts = Counter(part for parts in parted.values() for part in parts)
        joined = sorted(label for label, parts in parted.items() if len(parts) > 1)
        if joined and all(counts[part] > 1 for label in joined for part in parted[label]):
            raise InputError(
                f"{where} has labels such as {joined[0]!r:.60}, whose parts are labels or parts of others, too. Say "
                f"what they are: task.label_separator='{sign}' for several labels in one text, or "
                "task.kind=multiclass for one name each."
            )


def _warn_of_spellings(labels: set[str], where: str) -> None:
    """Warn of labels that are probably one class, spelled in several ways."""
    alike: dict[str, list[str]] = {}
    for label in sorted(labels):
        alike.setdefault(" ".join(label.casefold().split()), []).append(label)
    several = [" and ".join(map(repr, names)) for names in alike.values() if len(names) > 1]
    if several:
        said = "%s has labels that differ in case or spaces alone, and are different classes: %s. Spell them alike."
        log.warning(said, where, "; ".join(several[:MOST_SHOWN]) + (" …" if len(several) > MOST_SHOWN else ""))


def _numbers(column: Distinct, where: str) -> Distinct:
    for row, label in column.firsts():
        if label not in (None, "") and not (NUMBER.fullmatch(label) and math.isfinite(float(label))):
            raise InputError(
                f"{where}: row {row} (counted from 1) has the label {label!r:.60}, which is not a finite number. "
                "Correct it or leave the row out; for classes, set task.kind=multiclass."
            )
    return column.changed(lambda label: None if label in (None, "") else float(label))


def _several(
    columns: Columns, options: LabelOptions, names: list[str] | None, where: Mapping[str, str]
) -> tuple[Columns, list[str] | None]:
    """Name the labels of lists, and the labels that there are where the lists say it."""
    lists = [label for column in columns.values() for label in column.values if label is not None]
    if not any(lists):
        raise InputError(f"{next(iter(where.values()))}: no row has a label, all lists are empty. Check the column.")
    if options.are == "multi_hot":
        first = next(label for label in lists if label)
        chosen = names or list(options.known or map(str, range(len(first))))
        return {split: _from_bits(column, chosen, where[split]) for split, column in columns.items()}, chosen
    if options.are == "auto" and _could_be_multi_hot(lists):
        example = next(label for label in lists if label)
        raise InputError(
            f"{next(iter(where.values()))}: the lists of labels hold 0 and 1 alone, as {_list(example)}. Say what they "
            "are: task.labels_are=multi_hot (a 0 or 1 for each label), or task.labels_are=ids (the ids of a row's "
            "labels); task.label_names=[…] names them."
        )
    return columns, names


def _could_be_multi_hot(lists: Sequence[list[str]]) -> bool:
    """Return whether lists of 0 and 1 are all of one length, or one repeats a value, which a set of ids never does."""
    if not all(bit in BITS for label in lists for bit in label):
        return False
    lengths = {len(label) for label in lists}
    return (len(lengths) == 1 and max(lengths) > 1) or any(len(set(label)) < len(label) for label in lists)


def _from_bits(column: Distinct, names: Sequence[str], where: str) -> Distinct:
    for row, label in column.firsts():
        if label is not None and (len(label) != len(names) or not all(bit in BITS for bit in label)):
            raise InputError(
                f"{where}: row {row} (counted from 1) has the labels {_list(label)}. With task.labels_are=multi_hot "
                f"each row is a list of {len(names)} values, each 0 or 1."
            )
    return column.changed(
        lambda label: None if label is None else [name for name, bit in zip(names, label, strict=True) if BITS[bit]]
    )


def _declared(
    columns: Columns, options: LabelOptions, names: list[str] | None, where: str
) -> tuple[Columns, list[str] | None, list[str] | None]:
    """Bring together the names that the source has and those of `task.label_names`; return labels, and both."""
    wanted = list(options.names) if options.names else None
    if names is None or wanted is None or set(names) == set(wanted):
        return columns, names, wanted or names
    if len(names) != len(wanted):
        raise InputError(
            f"task.label_names has {len(wanted)} names, {wanted}, and {where} has {len(names)} labels: {names}. Give "
            "a name for each, or leave it out."
        )
    new = dict(zip(names, wanted, strict=True))
    return _changed(columns, lambda label: _each(label, lambda x: new.get(x, x))), wanted, wanted


def _list(label: Sequence[str]) -> str:
    return f"[{', '.join(label)}]"[:80]


def _named(columns: Columns, options: LabelOptions, names: list[str] | None) -> Columns:
    """Put names where the labels are ids that count in names which somebody declared."""
    placeholders = options.known if options.known and len(label_ids(options.known)) > len(options.known) else None
    chosen = names or placeholders
    if chosen is None or options.are not in ("auto", "ids"):
        return columns
    seen = labels_in(label for column in columns.values() for label in column.values)
    are_ids = all(INDEX.fullmatch(label) for label in seen) and not seen & set(chosen)
    if options.are == "auto" and not (are_ids and all(int(label) < len(chosen) for label in seen)):
        return columns
    by_id = {label: chosen[int(label)] for label in seen if INDEX.fullmatch(label) and int(label) < len(chosen)}
    return _changed(columns, lambda label: _each(label, lambda x: by_id.get(x, x)))

"""Show rows by the files that they hold, such as pictures: what is confused, near-duplicates, slices by measures."""

import base64
import html
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from blurr.loading.sheets import sheet
from blurr.loading.shown import data_url
from blurr.metrics.alignment import edits
from blurr.report.parts import Part
from blurr.runs.folder import AUGMENTED
from blurr.runs.record import Record, Rows

EACH = 4  # pictures of a pair of classes
MOST = 24  # pairs of classes, and near-duplicates
LOSSES = 20  # rows with the highest losses
SUSPECTS = 20  # rows whose label may be wrong
FEWEST = 5  # rows in a slice
GONE = "no preview"
COLUMNS = 8  # pictures side by side in a file
WIDE, QUALITY = 1120, 85  # pixels of the longer side of a sheet in a page, and its quality as JPEG
FILES = "files"  # the first column of a sheet
Line = Mapping[str, Any]


@dataclass(frozen=True)
class FileCell:
    """Files as a page shows them, side by side; one without a preview by its name.

    Attributes:
        lines: Of previews.jsonl, see `runs.shapes.Preview`.
        labels: What is said of each to those who cannot see it.
        is_wide: It is a sheet by itself.
    """

    lines: Sequence[Line]
    labels: Sequence[str]
    is_wide: bool = False

    def __str__(self) -> str:
        return ", ".join(name_of(line) for line in self.lines)

    def __html__(self) -> str:
        """Return the elements of a page."""
        made = "".join(map(_element, self.lines, self.labels))
        return made.replace("<img ", '<img class="wide" ') if self.is_wide else made

    def pictures(self) -> list[Image.Image]:
        """Return those that are pictures, decoded."""
        urls = [str(line.get("url") or "") for line in self.lines]
        return [_decoded(url) for url in urls if url.startswith("data:image/")]


def _decoded(url: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))


def write_sheet(part: Part, path: Path) -> bool:
    """Write the pictures of a part as one picture; return whether there are any."""
    pictures: list[Image.Image] = []
    captions: list[str] = []
    for row in part.frame.to_dict("records"):
        made = row[FILES].pictures()
        names = [f"{row['true']} → {row['predicted']}"] * len(made) if "true" in row else _splits(row[FILES])
        pictures, captions = [*pictures, *made], [*captions, *names[: len(made)]]
    if pictures:
        sheet(pictures, captions, columns=COLUMNS).save(path)
    return bool(pictures)


def _splits(files: FileCell) -> list[str]:
    return [str(line["split"]) for line in files.lines]


def augmented_parts(record: Record) -> list[Part]:
    """Return the part that shows augmented training rows, if the run has left a sheet of them."""
    file = record.file(AUGMENTED)
    if file is None:
        return []
    picture = Image.open(file).convert("RGB")
    picture.thumbnail((WIDE, WIDE))
    url = data_url(picture, "JPEG", quality=QUALITY)
    said = "Training rows, each beside what augmentation makes of it in the first epochs"
    shown = FileCell([{"url": url, "name": AUGMENTED}], [said], is_wide=True)
    return [Part("augmented", "Augmented rows", pd.DataFrame({FILES: [shown]}), f"{said}.", is_sheet=True)]


def _element(line: Line, label: str) -> str:
    name, said, url = (html.escape(text) for text in (str(line.get("name", "")), label, line.get("url") or ""))
    if not url:
        return f'<span class="dim" title="{name}">{GONE}: {html.escape(name_of(line))}</span>'
    if url.startswith("data:audio/"):
        return f'<audio controls src="{url}" title="{name}" aria-label="{said}"></audio>'
    picture = f'<img src="{url}" alt="{said}" title="{name}">'
    return picture + _player(line, name) if line.get("sound") else picture


def _player(line: Line, name: str) -> str:
    """Return the element that plays a sound, with what is said of it."""
    note = f"<small>{html.escape(line['note'])}</small>" if line.get("note") else ""
    return f'<audio controls preload="metadata" src="{html.escape(line["sound"])}" aria-label="{name}"></audio>{note}'


def name_of(line: Line) -> str:
    """Return how a file is called for short: the end of its path, or the number of its row."""
    name = str(line.get("name") or "")
    if not name or name.startswith("without a name"):
        return f"row {line['row']} of {line['split']}"
    return "/".join(PurePath(name).parts[-2:])


def previews_of_either(first: Record, second: Record, split: str) -> dict[int, Line]:
    """Return what two runs on the same rows have to show of a split: of each row what has a preview, if one has."""
    found: dict[int, Line] = dict(first.previews.get(split, {}))
    for number, line in second.previews.get(split, {}).items():
        if number not in found or not found[number].get("url"):
            found[number] = line
    return found


def file_parts(record: Record, split: str, rows: Rows, kind: str) -> list[Part]:
    """Return the parts that show the files of a split; none if its rows hold none.

    Args:
        record: of the run.
        split: one of its tables.
        rows: those of the table, checked.
        kind: what was predicted, see `blurr.report.rows.predicted`.
    """
    previews = record.previews.get(split)
    if not previews:
        return []
    parts = [confused_part(rows, previews)] if kind == "classes" else []
    parts.append(top_losses_part(rows, previews))
    parts += [suspects_part(rows, previews)] if kind == "classes" else []
    parts += [near_part(record, split, rows), measured_part(rows, previews)]
    return [part for part in parts if len(part.frame)]


def confused_part(rows: Rows, previews: Mapping[int, Line]) -> Part:
    """Return the part that shows what was confused: the most frequent pairs of classes first."""
    pairs: dict[tuple[str, str], list[int]] = {}
    for number, row in enumerate(rows):
        if row["target"] != row["prediction"]:
            pairs.setdefault((str(row["target"]), str(row["prediction"])), []).append(number)
    found = []
    for (true, predicted), numbers in sorted(pairs.items(), key=lambda pair: -len(pair[1]))[:MOST]:
        worst = sorted(numbers, key=lambda i: -float(rows[i]["loss"]))
        lines = [previews[i] for i in worst if i in previews and previews[i].get("url")][:EACH]
        said = [f"{true} predicted as {predicted}: {name_of(line)}" for line in lines]
        found.append({FILES: FileCell(lines, said), "true": true, "predicted": predicted, "rows": len(numbers)})
    note = f"The most frequent first; of each, up to {EACH} with the highest loss."
    if len(pairs) > MOST:
        note += f" {MOST} of {len(pairs)} pairs of classes."
    return Part("confused", "What was confused", pd.DataFrame(found), note, is_sheet=True)


def suspects_part(rows: Rows, previews: Mapping[int, Line]) -> Part:
    """Return the part that shows rows whose label may be wrong."""
    numbers = suspects(rows)
    found = [{**_told(rows, number, previews), "loss": float(rows[number]["loss"])} for number in numbers[:SUSPECTS]]
    note = (
        f"{len(numbers)} rows whose prediction is another class, with at least the probability that rows of that class "
        "have on average; the most certain first. After Northcutt et al. 2021, Confident Learning (arXiv:1911.00068). "
        "Look at them: either the label is wrong, or the model is."
    )
    return Part("label_errors", "Labels to check", pd.DataFrame(found), note, is_sheet=True)


def suspects(rows: Rows) -> list[int]:
    """Return the numbers of rows that are confidently predicted to be of another class, the most certain first.

    Source: Northcutt et al. 2021, Confident Learning (arXiv:1911.00068), equation 1.
    """
    of_class: dict[str, list[float]] = {}
    for row in rows:
        of_class.setdefault(str(row["target"]), []).append(row["probs"].get(str(row["target"]), 0.0))
    usual = {name: float(np.mean(values)) for name, values in of_class.items()}
    certain = {}
    for number, row in enumerate(rows):
        predicted = str(row["prediction"])
        probability = row["probs"].get(predicted, 0.0)
        if predicted != str(row["target"]) and probability >= usual.get(predicted, math.inf):
            certain[number] = probability
    return sorted(certain, key=lambda number: -certain[number])


def _told(rows: Rows, number: int, previews: Mapping[int, Line]) -> dict[str, Any]:
    """Return the cells of a sheet for a row: its file, both labels, the probability of the predicted one."""
    row, line = rows[number], previews.get(number, {"row": number, "split": "", "name": ""})
    true, predicted = text_of(row["target"]), text_of(row["prediction"])
    said = f"{true} predicted as {predicted}: {name_of(line)}"
    told = {FILES: FileCell([line], [said]), "true": true, "predicted": predicted, "file": name_of(line)}
    probability = row.get("probs", {}).get(str(row["prediction"])) if isinstance(row["prediction"], str) else None
    return told if probability is None else {**told, "probability": probability}


def text_of(value: Any) -> str:
    """Return a target or a prediction as a text."""
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def top_losses_part(rows: Rows, previews: Mapping[int, Line]) -> Part:
    """Return the part that shows the rows with the highest losses."""
    worst = sorted(range(len(rows)), key=lambda number: -float(rows[number]["loss"]))[:LOSSES]
    found = [{**_told(rows, number, previews), "loss": float(rows[number]["loss"])} for number in worst]
    return Part("top_losses", "Top losses", pd.DataFrame(found), is_sheet=True)


def near_part(record: Record, split: str, rows: Rows) -> Part:
    """Return the part that shows files that are nearly the same as one of another split."""
    lines = [line for line in record.previews[split].values() if line.get("near")]
    found: list[dict[str, Any]] = []
    for line in sorted(lines, key=lambda line: -line["near"]["likeness"]):
        near = line["near"]
        other = record.previews.get(near["split"], {}).get(near["row"])
        if other and other.get("url") and line.get("url") and len(found) < MOST:
            names = {line["split"]: name_of(line), other["split"]: name_of(other)}
            labels = {f"true in {each['split']}": str(each["label"]) for each in (line, other) if each.get("label")}
            said = [f"in {each['split']}: {name_of(each)}" for each in (line, other)]
            found.append({FILES: FileCell([line, other], said), **names, **labels, "likeness": near["likeness"]})
    note = (
        f"{len(lines)} of {len(rows)} rows hold nearly the same as a row of a split before (train, valid, test), by a "
        "difference hash and the correlation of small copies. Scores on them say little of new rows."
    )
    return Part("near_duplicates", "Near-duplicates in other splits", pd.DataFrame(found), note, is_sheet=True)


def measured_part(rows: Rows, previews: Mapping[int, Line]) -> Part:
    """Return the part that compares quarters of the rows by what is measured of their files."""
    frame = by_measure(rows, previews)
    interval = ", with the 95 % interval of the accuracy (Wilson 1927)" if "accuracy" in frame else ""
    note = f"Quarters of the rows by each property, if they have at least {FEWEST} rows{interval}."
    return Part("measures", "Scores by properties of the files", frame, note)


def by_measure(rows: Rows, previews: Mapping[int, Line]) -> pd.DataFrame:
    """Return the mean loss of quarters of the rows by each measure, such as `brightness`.

    Returns:
        `measure`, `from`, `to`, `rows`, `loss`, and where a row is either right or wrong `accuracy` and the ends of its
        interval, `low` and `high`.
    """
    numbers = [number for number in range(len(rows)) if previews.get(number, {}).get("measures")]
    has_classes = all(type(row["target"]) is str and "probs" in row for row in rows)
    found = []
    for name in previews[numbers[0]]["measures"] if numbers else ():
        values = pd.Series([previews[number]["measures"].get(name, math.nan) for number in numbers], dtype=float)
        if values.nunique() < 2:
            continue
        for _, part in values.groupby(pd.qcut(values, 4, duplicates="drop"), observed=True):
            chosen = [rows[numbers[i]] for i in part.index]
            if len(chosen) >= FEWEST:
                loss = float(np.mean([float(row["loss"]) for row in chosen]))
                ends = {"measure": name, "from": part.min(), "to": part.max(), "rows": len(chosen), "loss": loss}
                found.append({**ends, **(_accuracy(chosen) if has_classes else {}), **_rate(chosen)})
    return pd.DataFrame(found)


def _accuracy(rows: Rows) -> dict[str, float]:
    right = sum(row["target"] == row["prediction"] for row in rows)
    low, high = wilson(right, len(rows))
    return {"accuracy": right / len(rows), "low": low, "high": high}


def _rate(rows: Rows) -> dict[str, float]:
    return {"word error rate": error_rate(rows)} if "alignment" in rows[0] else {}


def error_rate(rows: Rows) -> float:
    """Return the word error rate of transcripts: the errors of all, by all words that are said."""
    return sum(edits(row["alignment"]) for row in rows) / max(sum(map(spoken, rows)), 1)


def spoken(row: Mapping[str, Any]) -> int:
    """Return how many words are said in the sound of a transcript."""
    return sum(true is not None for true, _ in row["alignment"])


def wilson(right: int, rows: int, z: float = 1.96) -> tuple[float, float]:
    """Return the ends of the 95 % interval of a share.

    Source: Wilson 1927, Probable Inference, the Law of Succession, and Statistical Inference (JASA 22:158).
    """
    share = right / rows
    middle = (share + z**2 / (2 * rows)) / (1 + z**2 / rows)
    half = z / (1 + z**2 / rows) * math.sqrt(share * (1 - share) / rows + z**2 / (4 * rows**2))
    return max(0.0, middle - half), min(1.0, middle + half)

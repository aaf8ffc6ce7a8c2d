"""Write the report of a run: one page with all tables and plots, and the plots as files."""

import io
import re
import warnings
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from blurr.errors import writing
from blurr.report.baselines import baselines
from blurr.report.boxes import box_parts
from blurr.report.chats import chat_parts
from blurr.report.classes import class_parts
from blurr.report.curves import curve_parts, length_parts, unit_of
from blurr.report.losses import loss_parts
from blurr.report.masks import mask_parts
from blurr.report.numbers import number_parts, perplexity_parts
from blurr.report.overview import address, command, overview
from blurr.report.parts import INK, LINE, Part, Passage
from blurr.report.previews import FileCell, augmented_parts, file_parts, write_sheet
from blurr.report.rows import checked
from blurr.report.spans import answer_parts, entity_parts
from blurr.report.texts import text_parts
from blurr.report.transcripts import transcript_parts, worst_part
from blurr.runs.checksums import write_whole
from blurr.runs.folder import PLOTS, REPORT, TABLES
from blurr.runs.record import Record, Rows, interval_text

HEADINGS = {"training": "Training", "tokens": "Tokens", "valid": "Validation", "test": "Test"}
LOOKS: Any = {  # one font instead of a list of 13 beside each text
    "svg.fonttype": "none",
    "svg.hashsalt": "blurr",
    "font.sans-serif": ["DejaVu Sans"],
}
LONG = 60  # characters from which a text gets a wide column
# What a task predicts, see `blurr.report.rows`, and the function that shows it.
SHOWN: dict[str, Callable[[Rows], list[Part]]] = {
    "classes": class_parts,
    "labels": class_parts,
    "numbers": number_parts,
    "words": entity_parts,
    "answers": answer_parts,
    "texts": text_parts,
    "transcripts": transcript_parts,
    "chats": chat_parts,
    "tokens": perplexity_parts,
    "masks": mask_parts,
    "boxes": box_parts,
}


def sections(record: Record) -> dict[str, list[Part]]:
    """Return the parts of a run's report, by the keys of `HEADINGS`."""
    made = {"training": [*curve_parts(record), *augmented_parts(record)], "tokens": length_parts(record)}
    made |= {split: _split_parts(record, split) for split in record.tables}
    return {key: parts for key, parts in made.items() if parts}


def headings(record: Record) -> dict[str, str]:
    """Return the headings of a run's report."""
    return {**HEADINGS, "tokens": unit_of(record).capitalize()}


def _split_parts(record: Record, split: str) -> list[Part]:
    rows, kind = checked(record.tables[split], record.predicts)
    if kind is None:
        return []
    files = file_parts(record, split, rows, kind)
    if kind == "transcripts":
        files = [worst_part(rows, record.previews.get(split, {})), *files]
    shown_by_files = {part.name for part in files}
    return [part for part in _parts(rows, kind) if part.name not in shown_by_files] + files


def parts_of(rows: Rows, recorded: str = "") -> list[Part]:
    """Return the parts that show the described rows of a split.

    Args:
        rows: as `Task.evaluate` describes them.
        recorded: what the run says that its task predicts, see `blurr.report.rows.predicted`.
    """
    rows, kind = checked(rows, recorded)
    return [] if kind is None else _parts(rows, kind)


def _parts(rows: Rows, kind: str) -> list[Part]:
    return [*(SHOWN[kind](rows) if kind else []), *loss_parts(rows, kind)]


def frames(record: Record) -> dict[str, pd.DataFrame]:
    """Return the numbers behind a report: a table for each name of a part, such as `valid/classes`."""
    return {f"{key}/{part.name}": part.frame for key, parts in sections(record).items() for part in parts}


def write_report(record: Record) -> list[Path]:
    """Write `report.html` and `plots/*.png` into a run's folder.

    The page is a single file that loads nothing: style and plots are part of it, light or dark as the reader's system.

    Returns:
        The paths of the page and of the folder of the plots.

    Raises:
        ResourceError: a file cannot be written.
    """
    with writing(record.folder):
        return _write(record)


def _write(record: Record) -> list[Path]:
    made, folder, named = sections(record), record.folder / PLOTS, headings(record)
    shown = {
        "record": record,
        "command": command(record),
        "sections": made,
        "headings": named,
        **overview(record),
    }
    shown |= {"baselines": baselines(record), "address": address(record)}
    # all of the record is read by now, so that a broken file is refused before anything is written
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # of glyphs that the font lacks
        figures = {(key, part.name): part.figure() for key, parts in made.items() for part in parts if part.draw}
        titles = {(key, part.name): f"{part.title}, {named[key]}" for key, parts in made.items() for part in parts}
        template = templates().get_template(f"{REPORT}.jinja")
        page = template.render(**shown, plots={each: svg(figure, titles[each]) for each, figure in figures.items()})
        folder.mkdir(exist_ok=True)
        for (key, name), figure in figures.items():
            prefix = f"{HEADINGS[key].lower()}_" if key in TABLES else ""
            write_png(figure, folder / f"{prefix}{name}.png")
        for key in made.keys() & TABLES:
            for part in (part for part in made[key] if part.is_sheet):
                write_sheet(part, folder / f"{HEADINGS[key].lower()}_{part.name}.png")
    write_whole(record.folder / REPORT, page)
    return [record.folder / REPORT, folder]


def templates() -> Environment:
    """Return the templates of pages, and the filters that they use."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"cells": cells, "number": number, "interval": interval_text}
    return made


def svg(figure: Figure, title: str) -> str:
    """Return a figure as SVG in the colours of the page, with its title for those who cannot see it."""
    out = io.StringIO()
    figure.set_facecolor("none")
    canvas: Any = FigureCanvasSVG(figure)
    with mpl.rc_context(LOOKS):  # not print_figure, which draws everything twice, the first time to see how large it is
        canvas.print_svg(out, metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor").replace(LINE, "var(--line)")
    text = re.sub(r' (d|x|y)="[^"]*"', lambda found: re.sub(r"(\.\d\d)\d+", r"\1", found[0]), text)
    named = f'<svg role="img" aria-label="{escape(title)}"'
    text = text.replace("<svg", named, 1)
    return re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)


def write_png(figure: Figure, path: Path) -> None:
    """Write a figure as an image on white."""
    figure.set_facecolor("white")
    figure.dpi = 100
    canvas: Any = FigureCanvasAgg(figure)
    canvas.print_png(path)


def cells(frame: pd.DataFrame) -> Iterator[tuple[tuple[str, str | Passage | FileCell], ...]]:
    """Yield the rows of a table, the header first; a cell is the CSS class and the text."""
    named = frame if isinstance(frame.index, pd.RangeIndex) else frame.reset_index()
    columns = []
    for name in named:
        is_number = pd.api.types.is_numeric_dtype(named[name])
        values = [("number", number(value)) if is_number else _cell(value) for value in named[name].tolist()]
        columns.append([("number" if is_number else "", str(name)), *values])
    return zip(*columns, strict=True)


def _cell(value: Any) -> tuple[str, str | Passage | FileCell]:
    if isinstance(value, Passage | FileCell):
        return "files" if isinstance(value, FileCell) else "long", value
    text = "" if value is None or value != value else str(value)  # NaN: this row lacks the field
    return "long" if len(text) > LONG else "", text


def number(value: float) -> str:
    """Return a number with four digits, an integer with all of them; an empty text for NaN."""
    if value != value:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.4g}"

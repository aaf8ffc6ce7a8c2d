"""Put all that there is to say of a run on one page, and its plots into files."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg

from blurr.errors import writing
from blurr.report.classes import class_parts
from blurr.report.curves import curve_parts, length_parts
from blurr.report.html import page, svg
from blurr.report.losses import loss_parts
from blurr.report.numbers import number_parts, perplexity_parts
from blurr.report.overview import overview
from blurr.report.parts import Part
from blurr.report.spans import answer_parts, entity_parts
from blurr.report.texts import text_parts
from blurr.runs.folder import PLOTS, REPORT
from blurr.runs.record import Record, Rows

NAMES = {"valid": "Validation", "test": "Test"}
# Each looks at the rows, and says nothing of rows that are not of its kind.
KINDS: tuple[Callable[[Rows], list[Part]], ...] = (
    class_parts,
    number_parts,
    entity_parts,
    answer_parts,
    text_parts,
    perplexity_parts,
    loss_parts,
)


def sections(record: Record) -> dict[str, list[Part]]:
    """Give the parts of a run's report under the headings of the page."""
    made = {"Training": curve_parts(record), "Tokens": length_parts(record)}
    for split, rows in record.tables.items():
        made[NAMES[split]] = parts_of(rows)
    return {heading: parts for heading, parts in made.items() if parts}


def parts_of(rows: Rows) -> list[Part]:
    """Give what there is to say of the described rows of a split, such as `Task.evaluate` makes them."""
    if not {"target", "prediction", "loss"} <= set(rows[0]):
        return []
    return [part for kind in KINDS for part in kind(rows)]


def frames(record: Record) -> dict[str, pd.DataFrame]:
    """Give the numbers behind a report: name of a part, such as `valid/classes`, to its table."""
    made = sections(record)
    splits = {NAMES[split]: split for split in record.tables}
    return {
        f"{splits.get(heading, heading.lower())}/{p.name}": p.frame for heading, parts in made.items() for p in parts
    }


def write_report(record: Record) -> list[Path]:
    """Write `report.html` and `plots/*.png` into a run's folder.

    Returns:
        The page, and the folder of the plots.

    Raises:
        ResourceError: they cannot be written.
    """
    with writing(record.folder):
        return _write(record)


def _write(record: Record) -> list[Path]:
    made = sections(record)
    plots = record.folder / PLOTS
    plots.mkdir(exist_ok=True)
    drawn: dict[str, str] = {}
    for heading, parts in made.items():
        for part in parts:
            if part.draw is not None:
                figure = part.figure()
                drawn[f"{heading}/{part.name}"] = svg(figure)
                prefix = "" if heading in ("Training", "Tokens") else f"{heading.lower()}_"
                FigureCanvasAgg(figure).print_figure(plots / f"{prefix}{part.name}.png", dpi=100)
    report = record.folder / REPORT
    report.write_text(page(record, overview(record), made, drawn), encoding="utf-8")
    return [report, plots]

"""Write a page that needs nothing but itself: tables and vector plots, light or dark as the reader's system is."""

import html
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from blurr.report.overview import command
from blurr.report.parts import INK, LINE, Part, Passage
from blurr.runs.record import Record

STYLE = Path(__file__).with_name("style.css")
OPEN = ("Scores", "Run")  # at the head; the rest is folded


def page(
    record: Record, head: Mapping[str, pd.DataFrame], sections: Mapping[str, Sequence[Part]], drawn: Mapping[str, str]
) -> str:
    """Write the page.

    Args:
        record: of the run.
        head: tables on the run as a whole; see `overview`.
        sections: heading to parts.
        drawn: `heading/name` of a part to its plot, as SVG.
    """
    links = " ".join(f'<a href="#{_id(heading)}">{heading}</a>' for heading in sections)
    body = [
        f"<h1>{html.escape(record.title)}</h1>",
        f'<p class="dim">{html.escape(record.name)}</p>',
        _scores(record),
        *(f'<p class="doubt"><b>Worth nothing?</b> {html.escape(line)}</p>' for line in record.doubts),
        f"<nav>{links}</nav>",
        "<h2>What was run</h2>",
        f"<pre>{html.escape(command(record))}</pre>",
        f'<div class="parts" style="margin-top: 14px">{_card("Run", head["Run"], "wide")}</div>',
        *(_folded(name, frame) for name, frame in head.items() if name not in OPEN),
        *(_folded_text(name, text) for name, text in record.texts.items()),
    ]
    for heading, parts in sections.items():
        body.append(f'<h2 id="{_id(heading)}">{heading}</h2><div class="parts">')
        plots_first = sorted(parts, key=lambda part: part.draw is None)  # tables are wide, and would leave holes
        body += [_part(part, drawn.get(f"{heading}/{part.name}")) for part in plots_first]
        body.append("</div>")
    return document(record.title, "\n".join(body))


def document(title: str, body: str) -> str:
    """Put a body into a page with the style of all reports."""
    style = STYLE.read_text(encoding="utf-8")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<style>\n{style}</style></head>\n'
        f"<body>\n{body}\n</body></html>\n"
    )


def svg(figure: Figure) -> str:
    """Give a figure as SVG whose text and rules take the colours of the page."""
    out = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "blurr"}):
        FigureCanvasSVG(figure).print_figure(
            out, format="svg", facecolor="none", metadata={"Date": None, "Creator": None}
        )
    text = out.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor").replace(LINE, "var(--line)")
    return re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)


def table(frame: pd.DataFrame) -> str:
    """Write a table: numbers to four digits on the right, long texts in wide columns, passages with their marks."""
    numeric = {name for name in frame if pd.api.types.is_numeric_dtype(frame[name])}
    heads = "".join(f"<th{' class=number' if name in numeric else ''}>{html.escape(str(name))}</th>" for name in frame)
    rows = (
        "".join(_cell(value, name in numeric) for name, value in zip(frame, row, strict=True)) for row in _plain(frame)
    )
    lines = "".join(f"<tr>{row}</tr>\n" for row in rows)
    return f'<div class="rows"><table><thead><tr>{heads}</tr></thead><tbody>\n{lines}</tbody></table></div>'


def _plain(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    return list(zip(*(frame[name].tolist() for name in frame), strict=True))


def _cell(value: Any, is_number: bool) -> str:
    if is_number:
        return f'<td class="number">{_number(value)}</td>'
    if isinstance(value, Passage):
        return f'<td class="long">{value.to_html()}</td>'
    text = "" if value is None or value != value else str(value)  # NaN: a row has not what others have
    return f"<td{' class=long' if len(text) > 60 else ''}>{html.escape(text)}</td>"


def _number(value: Any) -> str:
    if value != value:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.4g}"


def _scores(record: Record) -> str:
    said = {key: html.escape(f"{key} {record.notes.get(key, '')}".rstrip()) for key in record.scores}
    cards = (
        f'<div class="score"><b>{_number(value) or "nan"}</b><span>{said[key]}</span></div>'
        for key, value in record.scores.items()
    )
    return f'<div class="scores">{"".join(cards)}</div>'


def _part(part: Part, drawn: str | None) -> str:
    note = f'<p class="dim">{html.escape(part.note)}</p>' if part.note else ""
    if drawn is None:
        return f'<section class="part wide"><h3>{html.escape(part.title)}</h3>{note}{table(part.frame)}</section>'
    return (
        f'<section class="part plot"><h3>{html.escape(part.title)}</h3>{note}{drawn}{_numbers_behind(part)}</section>'
    )


def _numbers_behind(part: Part) -> str:
    if len(part.frame) > 60:  # hundreds of points are for Python, not for readers
        return ""
    frame = part.frame if isinstance(part.frame.index, pd.RangeIndex) else part.frame.reset_index()
    return f"<details><summary>numbers</summary>{table(frame)}</details>"


def _card(title: str, frame: pd.DataFrame, kind: str) -> str:
    return f'<section class="part {kind}"><h3>{title}</h3>{table(frame)}</section>'


def _folded(title: str, frame: pd.DataFrame) -> str:
    return f"<details><summary>{title}</summary>{table(frame)}</details>"


def _folded_text(name: str, text: str) -> str:
    return f"<details><summary>{html.escape(name)}</summary><pre>{html.escape(text)}</pre></details>"


def _id(heading: str) -> str:
    return heading.lower().replace(" ", "-")

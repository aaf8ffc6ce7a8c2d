"""The pieces of a report: tables, marked texts, and how to draw them."""

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

INK, LINE = "#20262e", "#d3d8df"  # text and lines; the page replaces both by the colours of its light or dark style
BLUE, ORANGE, GREEN, RED, PURPLE, GREY = "#3d7fc1", "#dd8c1f", "#2f9e77", "#cf4b4b", "#8a6fc0", "#8a94a0"
COLOURS = (BLUE, ORANGE, GREEN, RED, PURPLE, GREY)
AS_WRITTEN: Any = {"text.parse_math": False}  # a `$` in a label is not the beginning of a formula
Draw = Callable[[Axes, pd.DataFrame], None]


class Mark(NamedTuple):
    """Characters of a text, end exclusive, their kind (`good`, `bad` or `true`), and what stands behind them."""

    start: int
    end: int
    kind: str
    label: str = ""


@dataclass(frozen=True)
class Passage:
    """A text with marks, which a page shows in colour; one that overlaps an earlier mark is not shown."""

    text: str
    marks: Sequence[Mark]

    def __str__(self) -> str:
        return self.text

    def __html__(self) -> str:
        """Return the text with `<mark>` elements, as a template puts it into a page."""
        parts, done = [], 0
        for start, end, kind, label in sorted(self.marks):
            if start >= done:
                marked = html.escape(self.text[start:end])
                if label:
                    marked += f" <small>{html.escape(label)}</small>"
                parts += [html.escape(self.text[done:start]), f'<mark class="{kind}">{marked}</mark>']
                done = end
        return "".join([*parts, html.escape(self.text[done:])])


@dataclass(frozen=True)
class Part:
    """A piece of a report.

    Attributes:
        name: its key, and the name of its plot's file without the suffix.
        title: its heading.
        frame: its numbers or texts.
        note: how to read it, and the source of a formula.
        draw: draws the frame; None shows the frame as a table.
        size: width and height of the plot in inches.
        is_sheet: each row of the frame is shown as a card: its first cell, files such as pictures, above the others.
    """

    name: str
    title: str
    frame: pd.DataFrame
    note: str = ""
    draw: Draw | None = None
    size: tuple[float, float] = (6.0, 3.2)
    is_sheet: bool = False

    @property
    def is_table(self) -> bool:
        """Whether it is shown as a table instead of a plot."""
        return self.draw is None

    def figure(self) -> Figure:
        """Return the plot, made without pyplot, which would keep it open."""
        looks: Any = {"font.size": 9, "font.family": "sans-serif", "axes.titlesize": 10, "text.color": INK}
        with mpl.rc_context({**looks, **AS_WRITTEN}):
            made = Figure(figsize=self.size)
            axes = made.add_subplot()
            if self.draw:
                self.draw(axes, self.frame)
            plain_logarithms(axes)
            _style(axes)
            fill(made)
        return made


def fill(figure: Figure) -> None:
    """Let the axes take all of a figure but the room of their labels and legend.

    matplotlib's own layouts measure all texts several times, and again each time that the figure is drawn.
    """
    axes, pad = figure.axes[0], 3 / 72 * figure.dpi
    axes.set_position((0.1, 0.15, 0.85, 0.8))  # nearly as it will be, so that the ticks are the same
    canvas: Any = FigureCanvasAgg(figure)
    inner, outer = axes.bbox, axes.get_tightbbox(canvas.get_renderer())
    if outer is not None:
        left, bottom = pad + inner.x0 - outer.x0, pad + inner.y0 - outer.y0
        right, top = pad + outer.x1 - inner.x1, pad + outer.y1 - inner.y1
        width, height = figure.bbox.width, figure.bbox.height
        axes.set_position((left / width, bottom / height, 1 - (left + right) / width, 1 - (bottom + top) / height))


def _style(axes: Axes) -> None:
    axes.set_facecolor("none")
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(LINE)
    axes.tick_params(colors=INK, which="both", length=3, color=LINE)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    legend = axes.get_legend()
    if legend:
        legend.set_frame_on(False)


def plain_logarithms(axes: Axes) -> None:
    """Write the ticks of logarithmic axes as numbers; their usual labels are formulas, which `AS_WRITTEN` turns off."""
    for axis in (axes.xaxis, axes.yaxis):
        if axis.get_scale() == "log":
            axis.set_major_formatter(LogFormatter())
            axis.set_minor_formatter(LogFormatter(labelOnlyBase=False))


def grid(axes: Axes, axis: Any = "y") -> None:
    """Draw thin grid lines behind the plot."""
    axes.grid(axis=axis, color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)


def bars(axes: Axes, names: list[str], values: list[float], *, label: str, colour: str = BLUE) -> None:
    """Draw horizontal bars, the first on top, each with its value; `label` says what the values are."""
    places = range(len(names))
    axes.barh(places, values, color=colour, height=0.7)
    axes.set_yticks(places, [name if len(name) <= 28 else f"{name[:27]}…" for name in names])
    axes.invert_yaxis()
    for place, value in zip(places, values, strict=True):
        axes.annotate(f"{value:.3g}", (value, place), xytext=(3, 0), textcoords="offset points", va="center", color=INK)
    axes.margins(x=0.12)
    axes.set_xlabel(label)

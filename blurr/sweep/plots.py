"""Draw what a sweep found: which values mattered, how they went together, and how the best came about.

This module loads Optuna, which comes with the extra `sweep`, and its ways to draw with plotly and matplotlib.
"""

import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import optuna
from optuna.visualization import matplotlib as pictures

from blurr.sweep.objectives import Goal

log = logging.getLogger(__name__)
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>
<body style="font-family: sans-serif"><h1>{title}</h1>
{body}
</body></html>
"""
KINDS = ("optimization_history", "param_importances", "parallel_coordinate", "slice")


def draw(study: optuna.Study, goal: Goal, folder: Path, *, title: str) -> list[Path]:
    """Draw a study's plots: one page with all of them, and a PNG file of each.

    Args:
        study: with finished trials.
        goal: the objective that is shown, the first of the study's.
        folder: where the files go.
        title: of the page.

    Returns:
        The files. A plot that these trials do not allow, such as the importance of values for a single trial, is
        left out.
    """
    mpl.use("Agg")
    folder.mkdir(exist_ok=True)
    options: dict[str, Any] = {"target_name": goal.name}
    if len(study.directions) > 1:
        options["target"] = _first
    parts: list[str] = []
    files: list[Path] = []
    for kind in KINDS:
        figure = _made(getattr(optuna.visualization, f"plot_{kind}"), study, options)
        if figure is not None:
            parts.append(figure.to_html(full_html=False, include_plotlyjs=not parts))
            files.append(_picture(getattr(pictures, f"plot_{kind}"), study, options, folder / f"{kind}.png"))
    page = folder / "sweep.html"
    page.write_text(PAGE.format(title=title, body="\n".join(parts)), encoding="utf-8")
    return [page, *files]


def _first(trial: optuna.trial.FrozenTrial) -> float:
    return float(trial.values[0])


def _made(plot: Callable[..., Any], study: optuna.Study, options: dict[str, Any]) -> Any:
    try:
        with warnings.catch_warnings():  # few trials make some plots say little, which they show
            warnings.simplefilter("ignore")
            return plot(study, **options)
    except (ValueError, RuntimeError) as error:
        log.info("%s: not drawn: %s", plot.__name__, error)
        return None


def _picture(plot: Callable[..., Any], study: optuna.Study, options: dict[str, Any], file: Path) -> Path:
    with warnings.catch_warnings():  # Optuna calls these plots experimental
        warnings.simplefilter("ignore")
        axes = plot(study, **options)
        figure = (axes.flat[0] if hasattr(axes, "flat") else axes).figure
        figure.savefig(file, bbox_inches="tight", dpi=120)
        mpl.pyplot.close(figure)
    return file

"""Plot a sweep: the importance of each key, its effect on the objective, and the progress of the best value.

This module loads Optuna, plotly and matplotlib, which come with the extra `sweep`.
"""

import html
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import optuna
from optuna.visualization import matplotlib as pictures

from blurr.report.parts import AS_WRITTEN, plain_logarithms
from blurr.sweep.objectives import Objective

log = logging.getLogger(__name__)
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>
<body style="font-family: sans-serif"><h1>{title}</h1>
{body}
</body></html>
"""
KINDS = ("optimization_history", "param_importances", "parallel_coordinate", "slice")


def draw(study: optuna.Study, objective: Objective, folder: Path, *, title: str) -> list[Path]:
    """Draw a study's first objective: one page with all plots, and a PNG file of each.

    Returns:
        The files. A plot that these trials do not allow, such as the importance of keys for a single trial, is left
        out.
    """
    mpl.use("Agg")
    folder.mkdir(exist_ok=True)
    options: dict[str, Any] = {"target_name": objective.name}
    if len(study.directions) > 1:
        options["target"] = lambda trial: float(trial.values[0])
    parts: list[str] = []
    files: list[Path] = []
    for kind in KINDS:
        figure = _made(getattr(optuna.visualization, f"plot_{kind}"), study, options)
        if figure is not None:
            parts.append(figure.to_html(full_html=False, include_plotlyjs=not parts))
            files.append(_picture(getattr(pictures, f"plot_{kind}"), study, options, folder / f"{kind}.png"))
    page = folder / "sweep.html"
    page.write_text(PAGE.format(title=html.escape(title), body="\n".join(parts)), encoding="utf-8")
    return [page, *files]


def _made(plot: Callable[..., Any], study: optuna.Study, options: dict[str, Any]) -> Any:
    try:
        with warnings.catch_warnings():  # that few trials tell little is visible in the plot
            warnings.simplefilter("ignore")
            return plot(study, **options)
    except (ValueError, RuntimeError) as error:
        log.info("%s: not drawn: %s", plot.__name__, error)
        return None


def _picture(plot: Callable[..., Any], study: optuna.Study, options: dict[str, Any], file: Path) -> Path:
    # Optuna calls these plots experimental
    with warnings.catch_warnings(action="ignore"), mpl.rc_context(AS_WRITTEN):
        axes = plot(study, **options)
        figure = (axes.flat[0] if hasattr(axes, "flat") else axes).figure
        for each in figure.axes:
            plain_logarithms(each)
        figure.savefig(file, bbox_inches="tight", dpi=120)
        mpl.pyplot.close(figure)
    return file

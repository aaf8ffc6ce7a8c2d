"""Show how a training went: losses, learning rate, metrics by epoch, speed, and the tokens of its rows."""

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from blurr.report.parts import BLUE, COLOURS, GREY, ORANGE, Part, grid
from blurr.runs.record import Record

POINTS = 400  # of a curve; more would make the page larger and look the same
APART = 10  # a metric that is so many times higher gets its own plot
SMOOTHING = 0.1  # weight of the newest value in the smoothed loss
PASSES = {
    "tokens": "In one pass. Padding is its share of all positions that are computed. A row at the limit has lost its "
    "end, unless the task cuts rows into windows or blocks.",
    "seconds": "In one pass. Padding is its share of all samples that are computed.",
}


def curve_parts(record: Record) -> list[Part]:
    """Return the parts that show the training."""
    parts = []
    if "train/loss" in record.log:
        parts.append(Part("loss", "Loss", losses(record), "Training, each step and smoothed; validation.", _loss))
    if "train/lr" in record.log:
        parts.append(Part("learning_rate", "Learning rate", learning_rates(record), "", _rates))
    for number, metrics in enumerate(by_scale(epoch_metrics(record)), start=1):
        name, height = "metrics" if number == 1 else f"metrics_{number}", 1.1 + 1.3 * min(2, len(metrics.columns) - 1)
        parts.append(Part(name, "Metrics by epoch", metrics, "", _metrics, (6.0, height)))
    if len(record.epochs):
        parts.append(Part("epochs", "Epochs", speed(record), "Wall-clock seconds, validation included."))
    return parts


def losses(record: Record) -> pd.DataFrame:
    """Return the losses by step: `train` (about 400 steps at most), `smoothed`, and `valid` where it was measured."""
    log = record.log
    train = log.loc[log["train/loss"].notna(), ["step", "train/loss"]].rename(columns={"train/loss": "train"})
    train["smoothed"] = train["train"].ewm(alpha=SMOOTHING).mean()
    frame = train.iloc[:: max(1, len(train) // POINTS)]
    if "valid/loss" in record.epochs:
        valid = record.epochs[["step", "valid/loss"]].rename(columns={"valid/loss": "valid"})
        frame = frame.merge(valid, on="step", how="outer")
    return frame.reset_index(drop=True)


def learning_rates(record: Record) -> pd.DataFrame:
    """Return the learning rate by step, for each group of layers if they differ."""
    columns = [name for name in map(str, record.log) if name.startswith("train/lr")]
    groups = [name for name in columns if "_" in name] or columns
    frame = record.log.loc[record.log["train/lr"].notna(), ["step", *groups]]
    named = {name: name.removeprefix("train/lr_").replace("train/lr", "all layers") for name in groups}
    return frame.iloc[:: max(1, len(frame) // POINTS)].rename(columns=named).reset_index(drop=True)


def epoch_metrics(record: Record) -> pd.DataFrame:
    """Return the metrics of each epoch, without losses and times."""
    columns = [name for name in map(str, record.epochs) if name.startswith("valid/") and name != "valid/loss"]
    frame = record.epochs[columns].rename(columns=lambda name: name.removeprefix("valid/"))
    frame.insert(0, "epoch", range(1, len(frame) + 1))
    return frame


def by_scale(metrics: pd.DataFrame) -> list[pd.DataFrame]:
    """Separate metrics of different scales, which would flatten each other: a perplexity of 60, an accuracy below 1."""
    heights = metrics.drop(columns="epoch").abs().max().sort_values()
    groups: list[list[str]] = []
    for name, height in heights.items():
        if not groups or height > APART * heights[groups[-1][0]] > 0:
            groups.append([])
        groups[-1].append(str(name))
    return [metrics[["epoch", *(name for name in metrics if name in group)]] for group in groups]


def speed(record: Record) -> pd.DataFrame:
    """Return each epoch's losses and metrics, its seconds, and the rows and tokens trained on per second."""
    frame = record.epochs.copy()
    frame.insert(0, "epoch", range(1, len(frame) + 1))
    train = record.facts.get("tokens", {}).get("train")
    if train:
        frame["rows/s"] = (train["rows"] / frame["time/epoch"]).round(1)
        frame["tokens/s"] = (train["tokens"] / frame["time/epoch"]).round()
    if "train/loss" in record.log:
        steps = record.log.dropna(subset="train/loss")
        spans = zip([0, *frame["step"][:-1]], frame["step"], strict=True)
        means = [steps.loc[steps["step"].between(a + 1, b), "train/loss"].mean() for a, b in spans]
        frame.insert(2, "train/loss", means)
    return frame


def _loss(axes: Axes, frame: pd.DataFrame) -> None:
    train = frame.dropna(subset="train")
    axes.plot(train["step"], train["train"], color=BLUE, alpha=0.25, linewidth=0.8)
    axes.plot(train["step"], train["smoothed"], color=BLUE, linewidth=1.6, label="train, smoothed")
    if "valid" in frame:
        valid = frame.dropna(subset="valid")
        axes.plot(valid["step"], valid["valid"], color=ORANGE, marker="o", markersize=4, label="valid")
    axes.set_xlabel("optimizer step")
    axes.set_ylim(bottom=min(0, frame["train"].min()))
    axes.legend()
    grid(axes)


def _rates(axes: Axes, frame: pd.DataFrame) -> None:
    groups = [name for name in frame if name != "step"]
    for name, colour in zip(groups, [*COLOURS, *[GREY] * len(groups)], strict=False):
        axes.plot(frame["step"], frame[name], color=colour, linewidth=1.4, label=f"group {name}")
    if len(groups) > 1:
        axes.set_yscale("log")
        axes.legend(ncols=2)
    axes.set_xlabel("optimizer step")
    grid(axes)


def _metrics(axes: Axes, frame: pd.DataFrame) -> None:
    names = [name for name in frame if name != "epoch"]
    for name, colour in zip(names, [*COLOURS, *[GREY] * len(names)], strict=False):
        axes.plot(frame["epoch"], frame[name], color=colour, marker="o", markersize=4, label=name)
    axes.set_xlabel("epoch")
    axes.set_xticks(frame["epoch"][:: max(1, len(frame) // 12)])
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    grid(axes)


def length_parts(record: Record) -> list[Part]:
    """Return the parts that show the lengths of a run's splits: tokens, or seconds of sounds."""
    if not record.facts.get("tokens"):
        return []
    note, unit = "Of the source, if targets are separate.", unit_of(record)
    draw = partial(_drawn, unit=unit)
    return [
        Part("token_lengths", f"{unit.capitalize()} of a row", histogram(record), note, draw),
        Part("tokens", f"{unit.capitalize()} and padding", lengths(record), PASSES[unit]),
    ]


def unit_of(record: Record) -> str:
    """Return what the lengths of a run's rows are shown in."""
    return "seconds" if record.facts.get("rate") else "tokens"


def lengths(record: Record) -> pd.DataFrame:
    """Return each split's rows, tokens, share of padding, rows at the limit, and quantiles of the rows' lengths."""
    rows, rate = [], record.facts.get("rate")
    for split, figures in record.facts["tokens"].items():
        whole = figures["tokens"] + figures["padding"]
        named = {"0.0": "shortest", "0.5": "median", "0.95": "95 %", "1.0": "longest"}
        limit = "—" if figures["limit"] is None else str(figures["limit"])
        cut = {"limit": limit, "rows at the limit": figures["at_limit"]}
        rows.append(
            {
                "split": split,
                **{name: figures[name] for name in ("rows", "batches")},
                unit_of(record): figures["tokens"] / rate if rate else figures["tokens"],
                "padding": figures["padding"] / max(1, whole),
                **({} if rate else cut),
                **{name: figures["quantiles"][key] / (rate or 1) for key, name in named.items()},
            }
        )
    return pd.DataFrame(rows)


def histogram(record: Record) -> pd.DataFrame:
    """Return the share of each split's rows between two lengths: `split`, `from`, `to`, `share`."""
    frames = []
    for split, figures in record.facts["tokens"].items():
        edges, counts = (np.array(figures["histogram"][key]) for key in ("edges", "counts"))
        share, edges = counts / max(1, counts.sum()), edges / (record.facts.get("rate") or 1)
        frames.append(pd.DataFrame({"split": split, "from": edges[:-1], "to": edges[1:], "share": share}))
    return pd.concat(frames, ignore_index=True)


def _drawn(axes: Axes, frame: pd.DataFrame, *, unit: str) -> None:
    for (split, part), colour in zip(frame.groupby("split", sort=False), COLOURS, strict=False):
        density = part["share"] / (part["to"] - part["from"])  # splits may have bins of different widths
        edges = [*part["from"], part["to"].iloc[-1]]
        axes.stairs(
            density, edges, color=colour, fill=colour == BLUE, alpha=0.6 if colour == BLUE else 1, label=str(split)
        )
    axes.set(xlabel=unit, ylabel="share of the rows")
    axes.set_yticks([])
    axes.legend()
    grid(axes)

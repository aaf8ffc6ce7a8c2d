"""Describe a run: at the head of its report, on its page in MLflow, and on the card of its model."""

from pathlib import Path
from typing import Any

import pandas as pd
from huggingface_hub import ModelCardData

from blurr.config.naming import model_label
from blurr.errors import writing
from blurr.metrics.base import metric_name
from blurr.process import next_steps
from blurr.report.times import date, duration
from blurr.runs.folder import CARD, MODEL, REPORT
from blurr.runs.jsonlines import flatten
from blurr.runs.markdown import block, code, plain
from blurr.runs.record import Record, interval_text


def overview(record: Record) -> dict[str, pd.DataFrame]:
    """Return the tables at the head of a report."""
    said = {"run": run_facts(record), "environment": environment(record), "config": flatten(record.config)}
    return {name: pd.DataFrame({"name": list(of), "value": list(of.values())}) for name, of in said.items()}


def command(record: Record) -> str:
    """Return the command that runs it again, in a new folder, or how a notebook recorded it."""
    if record.notebook is not None:
        return f"with blurr.track({record.notebook!r}): ...  # the code is in the notebook"
    words = [word for word in record.overrides if not word.startswith(("output_dir=", "resume=", "overwrite="))]
    return next_steps.command("run", *words)


def note(record: Record, *, page: str | None = None) -> str:
    """Return the description of a run in Markdown, which its page in MLflow shows.

    Args:
        record: of the run.
        page: address of its artifacts within MLflow's pages, to link the report there; None if it is not known.
    """
    lines = [_score_line(record, name, value) for name, value in record.scores.items()]
    lines += [f"- **Worth nothing?** {plain(line)}" for line in record.doubts]
    said = [_list(run_facts(record)), "", code(command(record)), ""]
    said.append(f"[The report]({page}/{REPORT})" if page else f"The report: the artifact `{REPORT}`.")
    return "\n".join([*lines, "", *said])


def _score_line(record: Record, name: str, value: float) -> str:
    said = [f"- **{plain(name)}** {value:.4g}", interval_text(record.intervals.get(name)), record.notes.get(name, "")]
    return " ".join([said[0], *(plain(each) for each in said[1:] if each)])


def run_facts(record: Record) -> dict[str, str]:
    """Return what the run was made of: label to text."""
    facts, config = record.facts, record.config
    choices = dict(facts.get("choices", {}))
    if "model" in choices:
        choices["model"] = model_label(choices["model"], config.get("model", {}).get("name"))
    said = {
        "run": record.identity or "",
        **choices,
        "weights": f"{facts.get('weights', '?')} ({config.get('model', {}).get('name', '?')})",
        "parameters": f"{facts['parameters']:,}" if "parameters" in facts else "",
        "adapter": facts.get("adapter") or "",
        "numbers": _numbers(facts.get("numbers", {})),
        "data from": facts.get("source", ""),
        "rows": ", ".join(f"{split} {n:,}" for split, n in facts.get("rows", {}).items()),
        "labels": ", ".join(facts.get("labels") or []),
        **facts.get("processor", {}),
        "seed": str(config.get("seed", "")),
        **_training(record),
    }
    return {key: value for key, value in said.items() if value}


def _training(record: Record) -> dict[str, str]:
    """Return when the training began, and how long its epochs took together."""
    if record.log.empty:
        return {}
    took = {"training took": duration(record.epochs["time/epoch"].sum())} if "time/epoch" in record.epochs else {}
    return {"trained on": date(record.log["time"].iloc[0]), **took}


def address(record: Record) -> str | None:
    """Return the address of a run in MLflow; None if its store has none that a browser can open."""
    if record.run_id is None or not str(record.store).startswith(("http://", "https://")):
        return None
    return f"{str(record.store).rstrip('/')}/#/runs/{record.run_id}"


def _numbers(facts: dict[str, str | None]) -> str:
    """Return the dtype that the weights were trained in, and that of the checkpoint if it differs."""
    trained, stored = facts.get("trained"), facts.get("stored")
    return f"{trained} (the checkpoint has {stored})" if stored not in (None, trained) else trained or ""


def environment(record: Record) -> dict[str, str]:
    """Return where the run ran: label to text."""
    found = record.environment
    git = found.get("git") or {}
    said = {
        "blurr": found.get("blurr", ""),
        "python": found.get("python", ""),
        **found.get("packages", {}),
        "platform": found.get("platform", ""),
        "CPUs": str(found.get("cpu", {}).get("count", "")),
        "memory": f"{found['memory_gib']} GiB" if "memory_gib" in found else "",
        "GPU": ", ".join(gpu["name"] for gpu in found.get("gpu", [])) or "none",
        "git": f"{git['commit'][:10]}{' with changes' if git['dirty'] else ''}" if git else "",
    }
    return {key: value for key, value in said.items() if value}


# The Hub's names of tasks; a user's own task has none.
PIPELINES = {
    "sequence_classification": "text-classification",
    "token_classification": "token-classification",
    "question_answering": "question-answering",
    "summarization": "summarization",
    "translation": "translation",
    "causal_lm": "text-generation",
    "chat": "text-generation",
    "masked_lm": "fill-mask",
    "image_classification": "image-classification",
    "semantic_segmentation": "image-segmentation",
    "audio_classification": "audio-classification",
    "speech_recognition": "automatic-speech-recognition",
    "object_detection": "object-detection",
}
OF_PICTURES = ("image-classification", "image-segmentation", "object-detection")
LR = "optimizer.lr"
SETTINGS = ("optimizer", "schedule", "loader", "seed", "precision")
LIMITS = """- It has learned from the rows it was trained on, and may fail on other {others}.
- The metrics above were measured on the split that each names; on other data it may do worse.
- It may repeat biases of its training data or of the weights it started from. Read the report of the run, with its
  slices and worst rows, before you rely on it."""
LICENCE = "Fill in `license` and `language` above; the licences of the weights and of the data bind this model, too."


def write_card(record: Record) -> Path:
    """Write `model/README.md` into a run's folder; the author fills in licence and language.

    Returns:
        The path of the card.

    Raises:
        ResourceError: the card cannot be written.
    """
    file = record.folder / MODEL / CARD
    with writing(file):
        file.parent.mkdir(exist_ok=True)
        file.write_text(card(record), encoding="utf-8")
    return file


def card(record: Record) -> str:
    """Return the card: the Hub's YAML header, and Markdown."""
    settings = flatten({key: record.config[key] for key in SETTINGS if key in record.config})
    if settings.get(LR) in ("null", "auto"):
        settings[LR] = record.tags.get("blurr.lr", settings[LR])  # what that came to
    sections = {
        "What it is": _list(run_facts(record)),
        "How well it does": _scores(record),
        "How it was trained": f"{block(command(record), 'bash')}\n\n{_list(settings)}",
        "How to use it": _usage(record),
        "Limits": LIMITS.format(others=_others(record)),
        "Licence": LICENCE,
        "Versions": _list(environment(record)),
    }
    body = "\n\n".join(f"## {title}\n\n{text}" for title, text in sections.items())
    return f"---\n{_header(record)}\n---\n\n# {plain(record.title)}\n\n{body}\n"


def _pipeline(record: Record) -> str:
    return PIPELINES.get(record.facts.get("choices", {}).get("task", ""), "")


def _others(record: Record) -> str:
    """Name what may differ from the rows of training."""
    pictures = _pipeline(record) in OF_PICTURES
    return "cameras, lights, sizes and places" if pictures else "languages, domains and times"


def _usage(record: Record) -> str:
    """Return how to predict: by blurr, and for pictures by a pipeline of transformers."""
    folder = "path/to/this/folder"
    if _pipeline(record) not in OF_PICTURES or _is_adapter(record):
        return block(f"blurr predict {folder} --input rows.csv", "bash")
    called = f'from transformers import pipeline\n\npipeline("{_pipeline(record)}", model="{folder}")("picture.jpg")'
    return f"{block(called, 'python')}\n\n{block(f'blurr predict {folder} --input pictures', 'bash')}"


def _is_adapter(record: Record) -> bool:
    """Return whether the model's folder holds an adapter alone, which transformers does not read."""
    return (record.config.get("adapter") or {}).get("merge") is False


def _header(record: Record) -> str:
    values: dict[str, Any] = {"license": "unknown", "tags": ["blurr", "fastai"]}
    values["library_name"] = "peft" if _is_adapter(record) else "transformers"
    values["pipeline_tag"] = _pipeline(record) or None
    if record.facts.get("weights") == "pretrained":
        values["base_model"] = " ".join(str(record.config["model"]["name"]).split())
    values["metrics"] = sorted({metric_name(name) for name in record.scores} - {"loss"})
    return str(ModelCardData(**values).to_yaml())


def _scores(record: Record) -> str:
    named = {name: f"{name} {record.notes.get(name, '')}".rstrip() for name in record.scores}
    ends = {name: interval_text(record.intervals.get(name)) for name in record.scores}
    rows = [f"| {plain(named[name])} | {value:.4g} | {plain(ends[name])} |" for name, value in record.scores.items()]
    doubts = [f"\n**Worth nothing?** {plain(line)}." for line in record.doubts]
    return "\n".join(["| metric | value | 95 % interval |", "| --- | --- | --- |", *rows, *doubts])


def _list(values: dict[str, str]) -> str:
    return "\n".join(f"- {plain(name)}: {plain(value)}" for name, value in values.items())

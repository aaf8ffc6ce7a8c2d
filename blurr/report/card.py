"""Write the card of a model: what it is for, what it was trained on, how well it does, in the format of the Hub."""

from pathlib import Path
from typing import Any

from huggingface_hub import ModelCardData

from blurr.errors import writing
from blurr.report.overview import command, environment, run_facts
from blurr.report.record import Record
from blurr.runs.folder import CARD, MODEL
from blurr.runs.jsonlines import flatten

# The Hub's names of tasks; a task of one's own goes without.
PIPELINES = {
    "sequence_classification": "text-classification",
    "token_classification": "token-classification",
    "question_answering": "question-answering",
    "summarization": "summarization",
    "translation": "translation",
    "causal_lm": "text-generation",
    "masked_lm": "fill-mask",
}
SETTINGS = ("optimizer", "schedule", "loader", "seed", "precision")
LIMITS = """- It knows what the rows that it was trained on show, and nothing of other languages, fields and times.
- The metrics are of the split named below; on other data it may do worse.
- It may have taken over what is one-sided in its training data or in the weights it started from. Look at the report of
  the run, at its slices and its worst rows, before you rely on it."""


def write_card(record: Record) -> Path:
    """Write `model/README.md` into a run's folder; licence and language are for the author to fill in.

    Returns:
        The file.

    Raises:
        ResourceError: it cannot be written.
    """
    file = record.folder / MODEL / CARD
    with writing(file):
        file.parent.mkdir(exist_ok=True)
        file.write_text(card(record), encoding="utf-8")
    return file


def card(record: Record) -> str:
    """Give the card: the Hub's YAML header, and Markdown."""
    settings = {key: record.config[key] for key in SETTINGS if key in record.config}
    sections = {
        "What it is": _list(run_facts(record)),
        "How well it does": _scores(record),
        "How it was trained": f"```bash\n{command(record)}\n```\n\n{_list(flatten(settings))}",
        "Limits": LIMITS,
        "Licence": "Fill in `license` and `language` above: those of the weights and of the data bind this model, too.",
        "Versions": _list(environment(record)),
    }
    body = "\n\n".join(f"## {title}\n\n{text}" for title, text in sections.items())
    return f"---\n{_header(record)}\n---\n\n# {record.title}\n\n{body}\n"


def _header(record: Record) -> str:
    choices = record.facts.get("choices", {})
    values: dict[str, Any] = {"license": "unknown", "library_name": "transformers", "tags": ["blurr", "fastai"]}
    values["pipeline_tag"] = PIPELINES.get(choices.get("task", ""))
    if record.facts.get("weights") == "pretrained":
        values["base_model"] = record.config["model"]["name"]
    values["metrics"] = sorted({name.partition("/")[2] for name in record.scores} - {"loss"})
    return str(ModelCardData(**values).to_yaml())


def _scores(record: Record) -> str:
    named = {f"{name} {record.notes.get(name, '')}".rstrip(): value for name, value in record.scores.items()}
    rows = [f"| {name} | {value:.4g} |" for name, value in named.items()]
    doubts = [f"\n**Worth nothing?** {line}." for line in record.doubts]
    return "\n".join(["| metric | value |", "| --- | --- |", *rows, *doubts])


def _list(values: dict[str, str]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in values.items())

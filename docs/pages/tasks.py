"""Make a page for each task: a row and its answer, columns, models, metrics, options, report, notebook, server."""

import json
from pathlib import Path
from typing import Any

import yaml

from blurr.config import paths, signatures
from blurr.config.combinations import options_of_model, options_that_read
from docs.pages.knobs import knobs
from docs.pages.markdown import block, code, page, pretty, table, text

FOLDER = "tasks"
DOCS = Path(__file__).parents[1]
SEEN: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "seen.json").read_text("utf-8"))
ROLES = {
    "text": "the text",
    "text_pair": "a second text, for pairs",
    "label": "a class, several classes, or a number",
    "weight": "how much a training row counts in the loss",
    "tokens": "the words, a list",
    "labels": "a label for each word, or the classes of boxes that have none",
    "question": "the question",
    "context": "the text in which the answer stands",
    "answers": "the answers, with where they begin; empty where there is none",
    "answer_start": "where the answer begins, if that is a column of its own",
    "summary": "the summary",
    "source": "the text to translate",
    "target": "its translation",
    "messages": "the chat: a list of roles and contents",
    "prompt": "a question, in place of messages",
    "input": "what a question is about",
    "answer": "the answer to the prompt",
    "system": "what the model is told first",
    "image": "a picture: a path, bytes, or a cell of the Hub",
    "mask": "a picture with the class of each pixel",
    "boxes": "the objects: a class and a box for each",
    "audio": "a sound: a path, bytes, or a cell of the Hub",
}
FACADES = {"text": "blurr.text.modeling.all", "vision": "blurr.vision.all", "audio": "blurr.audio.all"}
# Whose learner is not named by the task, and what tells it apart.
LEARNERS = {"causal_lm": ("BlearnerForLM", ""), "masked_lm": ("BlearnerForLM", ', lm_type="masked"')}
TABLES = "csv, tsv, json, jsonl, parquet, xlsx"
FORMATS = {
    "text": f"{TABLES}, and a data set of the Hub",
    "vision": f"a folder of pictures, a table with paths or bytes ({TABLES}), and a data set of the Hub",
    "audio": f"a folder of sounds, a table with paths or bytes ({TABLES}), and a data set of the Hub",
}
OWN_FORMATS = {
    "token_classification": "CoNLL files, too",
    "question_answering": "SQuAD's json, too",
    "causal_lm": "text files, a row per file (`data.format=text`) or per line (`lines`), too",
    "masked_lm": "text files, a row per file (`data.format=text`) or per line (`lines`), too",
    "object_detection": "COCO's json and folders of YOLO, too",
    "sequence_classification": "a folder of text files with a folder for each class, too",
}
MORE = {
    "audio_classification": ("audio_classification.md", "augmentation.md"),
    "causal_lm": ("serving.md",),
    "chat": ("chat.md", "adapters.md"),
    "image_classification": ("image_classification.md", "augmentation.md"),
    "object_detection": ("object_detection.md",),
    "semantic_segmentation": ("segmentation.md", "augmentation.md"),
    "speech_recognition": ("speech_recognition.md",),
}


def make() -> dict[str, str]:
    """Return the pages by their paths in the site."""
    files = paths.options("task")
    pages = {f"{FOLDER}/{name}.md": _task(name, file) for name, file in files.items()}
    rows = [[f"[{name}]({name}.md)", modality_of(file), text(paths.headline(file))] for name, file in files.items()]
    intro = "What a model can learn here. Each page has a row, an answer, and all that goes with the task."
    return {f"{FOLDER}/index.md": page("Tasks", intro, table(("task", "reads", "what it learns"), rows)), **pages}


def target_of(file: Path) -> str:
    """Return the class of a task, by its option's file."""
    return str(yaml.safe_load(file.read_text(encoding="utf-8"))["task"]["_target_"])


def modality_of(file: Path) -> str:
    """Return the modality of a task: text, vision or audio."""
    return target_of(file).split(".")[1]


def models_of(file: Path) -> list[str]:
    """Return the options of `model` that transformers has a class for, for a task."""
    files = paths.options("model")
    fitting = [name for name in options_of_model(target_of(file)) if _reads(files[name], modality_of(file))]
    return ["auto", *fitting]


def notebook_of(name: str, file: Path) -> str:
    """Return the code of a notebook for a task."""
    learner, more = LEARNERS.get(name) or (f"BlearnerFor{target_of(file).rpartition('.')[2]}", "")
    rows, checkpoint = SEEN[name]["rows"], SEEN[name]["checkpoint"]
    modality = modality_of(file)
    item = SEEN[name]["item"]
    predicted = repr(item if len(item) > 1 or modality == "text" and "tokens" in item else next(iter(item.values())))
    imports = [f"from {FACADES[modality]} import *"]
    return "\n".join(
        [
            *imports,
            "",
            f'learn = {learner}.from_data("{rows}", "{checkpoint}"{more})',
            "learn.dls.show_batch(max_n=2)",
            "learn.fit_one_cycle(1, 1e-3)",
            "learn.show_results(max_n=2)",
            f"learn.predict({predicted})",
        ]
    )


def _reads(option: Path, modality: str) -> bool:
    """Does a model fit a modality: one that is built for texts for texts, one for media for the others?"""
    return ("models.media" in option.read_text(encoding="utf-8")) == (modality != "text")


def _task(name: str, file: Path) -> str:
    seen = SEEN[name]
    command = next(line[2:] for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("# blurr run"))
    parts = [
        text(paths.headline(file)),
        block(f"{command}\nblurr run task={name} debug=quick  # in seconds, to see that it works", "bash"),
        *_row(name, seen),
        *_columns(name, file),
        "## Models that fit",
        f"{', '.join(code(f'model={each}') for each in models_of(file))}. `model=auto model.name=…` takes a Hub id or "
        "a folder, and finds the architecture itself. Where a checkpoint cannot be had, `model.weights=auto` builds a "
        "small model of the same architecture from scratch, and says so.",
        "## Metrics that fit",
        _metrics(file),
        "## Options",
        table(
            ("key", "value", "what it is", "type and bounds"),
            (
                [code(each.key), code(each.value), text(each.comment), text(each.type)]
                for each in knobs("task", file)
                if each.key.startswith("task.")
            ),
        ),
        "All others: [Options](../reference/options/index.md).",
        *_report(name),
        "## In a notebook",
        block(notebook_of(name, file), "python"),
        *_server(name, seen),
        *_more(name),
    ]
    return page(name, *parts)


def _row(name: str, seen: dict[str, Any]) -> list[str]:
    return [
        "## A row and its answer",
        block(pretty(seen["row"]), "json"),
        f"What a model answers that `blurr run task={name}` has trained, on generated rows and from scratch:",
        block(pretty(seen["answer"]), "json"),
        f"Its scores: {', '.join(f'{key} {value:.4g}' for key, value in seen['scores'].items())}.",
    ]


def _columns(name: str, file: Path) -> list[str]:
    target = target_of(file)
    roles = yaml.safe_load(file.read_text(encoding="utf-8"))["data"]["columns"]
    needed = signatures.class_arguments(target, "schema").get("required", ())
    rows = [
        [code(role), code(column or "none"), "yes" if role in needed and column else "", ROLES[role]]
        for role, column in roles.items()
    ]
    also = f"; {OWN_FORMATS[name]}" if name in OWN_FORMATS else ""
    return [
        "## Columns",
        table(("role", "column by default", "needed", "what it holds"), rows),
        f"`data.columns.ROLE=NAME` names another column. Read are {FORMATS[modality_of(file)]}{also}: "
        "[Data](../data.md).",
    ]


def _metrics(file: Path) -> str:
    target = signatures.class_attribute(target_of(file), "target_cls")
    kinds = signatures.class_texts(str(target), "predicts")
    usual = yaml.safe_load(file.read_text(encoding="utf-8"))["defaults"]
    chosen = next((each["override /metrics"] for each in usual if "override /metrics" in each), [])
    links = [f"[`{each}`](../reference/metrics.md#{each.lower()})" for each in options_that_read(kinds)]
    return f"{', '.join(links)}. By default: {', '.join(map(code, chosen))}."


def _report(name: str) -> list[str]:
    if not (DOCS / "pictures" / f"{name}.png").is_file():
        return []
    return ["## The report", f"![The report of a run of {name}](../pictures/{name}.png)"]


def _server(name: str, seen: dict[str, Any]) -> list[str]:
    tried = DOCS / "pictures" / f"try_{name}.png"
    shown = [f"![The page of blurr serve](../pictures/{tried.name})"] if tried.is_file() else []
    return [
        "## Served",
        "`blurr serve RUN` has a page to try the model, and answers requests:",
        block(seen["request"], "bash"),
        block(pretty(seen["response"]), "json"),
        *shown,
    ]


def _more(name: str) -> list[str]:
    links = [f"[{each.removesuffix('.md').replace('_', ' ')}](../{each})" for each in MORE.get(name, ())]
    return [f"More: {', '.join(links)}."] if links else []

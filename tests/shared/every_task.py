"""A small learner for every task, on the tiny checkpoints: what holds for all tasks is tested on these."""

from pathlib import Path
from typing import Any

from blurr.data.at_hand import from_data
from blurr.data.core import RawData
from blurr.loading.loader import Loader
from blurr.models.objects import HFObjects, build_model
from blurr.tasks.base import Task
from blurr.tasks.saved import SavedTask, save_task
from blurr.text.modeling.all import (
    Blearner,
    CausalLM,
    Chat,
    MaskedLM,
    QuestionAnswering,
    SequenceClassification,
    Summarization,
    TokenClassification,
    Translation,
)

ADJECTIVES = ["good", "great", "fine", "bad", "awful", "poor", "dull", "superb"]
TEXTS = [f"the film was {ADJECTIVES[i % 8]}" + " and it is a plot" * (i % 3) for i in range(16)]
SHORT = {"max_new_tokens": 4}


def columns_of(name: str) -> dict[str, list[Any]]:
    adjectives = [text.split()[3] for text in TEXTS]
    labels = [["B-X" if word in ADJECTIVES else "O" for word in text.split()] for text in TEXTS]
    answers = [{"text": [word], "answer_start": [len("the film was ")]} for word in adjectives]
    written = [f"{word} film" for word in adjectives]
    return {
        "sequence_classification": {"text": TEXTS, "label": ["up" if i % 2 else "down" for i in range(16)]},
        "token_classification": {"tokens": [text.split() for text in TEXTS], "labels": labels},
        "question_answering": {"question": ["it was"] * 16, "context": TEXTS, "answers": answers},
        "summarization": {"text": TEXTS, "summary": written},
        "translation": {"source": TEXTS, "target": written},
        "causal_lm": {"text": TEXTS},
        "chat": {"messages": [asked(text, answer) for text, answer in zip(TEXTS, written, strict=True)]},
        "masked_lm": {"text": TEXTS},
    }[name]


def asked(text: str, answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}, {"role": "assistant", "content": answer}]


TASKS: dict[str, Task] = {
    "sequence_classification": SequenceClassification(),
    "token_classification": TokenClassification(max_length=9, stride=2),
    "question_answering": QuestionAnswering(max_length=12, stride=3),
    "summarization": Summarization(generation=SHORT),
    "translation": Translation(generation=SHORT),
    "causal_lm": CausalLM(chunk=False, generation=SHORT),
    "chat": Chat(generation=SHORT),
    "masked_lm": MaskedLM(chunk=False),
}
ITEMS: dict[str, Any] = {
    "token_classification": ["the", "film", "was", "good"],
    "question_answering": ("it was", "the film was good"),
    "masked_lm": "the <mask> was good",
}


def rows_of(name: str) -> list[dict[str, Any]]:
    columns = columns_of(name)
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return [{**row, "is_valid": i >= 10} for i, row in enumerate(rows)]


def loaded(task: Task, raw: RawData, checkpoint: Path, **config: Any) -> HFObjects:
    """Load a checkpoint for a task and its rows."""
    return build_model(
        str(checkpoint),
        model_cls=task.model_cls,
        config={**task.target.model_config(raw), **config},
        corpus=tuple,
        load_weights=True,
        weights="pretrained",
        inputs=task.inputs,
    )


def objects_of(name: str, bert: Path, bart: Path) -> tuple[RawData, HFObjects]:
    task = TASKS[name]
    raw = from_data(task.schema, rows_of(name))
    checkpoint = bart if task.model_cls == "AutoModelForSeq2SeqLM" else bert
    return raw, loaded(task, raw, checkpoint)


def learner_of(name: str, bert: Path, bart: Path, **options: Any) -> tuple[Blearner, RawData]:
    raw, hf = objects_of(name, bert, bart)
    task = TASKS[name]
    dls = task.dataloaders(raw, hf, Loader(batch_size=3))
    learn = task.learner(dls, hf, raw=raw, metrics={}, **options)
    learn.remove_cbs([learn.progress])
    learn.logger = lambda *_: None
    return learn, raw


def save_model(learn: Blearner, task: Task, folder: Path, **facts: Any) -> Path:
    """Leave a model folder as a run does."""
    learn.model.hf_model.save_pretrained(folder)
    learn.dls.tokenizer.save_pretrained(folder)
    save_task(folder, SavedTask(task.resolved(learn), **facts))
    return folder


def items_of(name: str, n: int) -> list[Any]:
    """Give items to predict on, of many lengths, some longer than a window."""
    texts = [f"the film was {ADJECTIVES[i % 8]}" + " and it is a plot" * (i * 5 % 7) for i in range(n)]
    if name == "question_answering":
        return [{"question": "it was", "context": text} for text in texts]
    role = TASKS[name].schema.inputs[0]
    masks = " <mask>" if name == "masked_lm" else ""
    return [
        {role: text.split() if name == "token_classification" else " ".join(text.split()[:24]) + masks}
        for text in texts
    ]

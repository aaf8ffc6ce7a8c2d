"""Several processes train as one does: losses, weights, scores and described rows are the same, for every task."""

import time
from pathlib import Path
from typing import Any

import pytest
from ranks import NO_NOISE, SAME, check_same, run_on, started
from running import TINY_BERT, run

from blurr.config import paths

KWARGS = "+model.config_kwargs."
BERT = (f"{KWARGS}hidden_dropout_prob=0.0", f"{KWARGS}attention_probs_dropout_prob=0.0")
GPT2 = tuple(f"{KWARGS}{name}_pdrop=0.0" for name in ("resid", "embd", "attn"))
NO_DROPOUT = {  # of the models that are the tasks' defaults; the others have none
    **dict.fromkeys(("sequence_classification", "token_classification", "question_answering", "masked_lm"), BERT),
    **dict.fromkeys(("causal_lm", "chat"), GPT2),
    **dict.fromkeys(("summarization", "translation"), (f"{KWARGS}dropout=0.0",)),
}
# 7 rows of a batch are dealt unevenly, and one row is left for the last
USUAL = ("tracking=none", "data.rows=61", "schedule.epochs=1", "loader.batch_size=7", NO_NOISE)
CHEAP = {
    "options": (
        *("data.rows=101", "schedule.epochs=3", "loader.batch_size=5", "task.class_weights=balanced"),
        *(
            "callbacks=[gradient_accumulation,ema,save_best,early_stopping]",
            "callbacks.gradient_accumulation.batches=3",
        ),
        *TINY_BERT,
        *BERT,
    ),
    "pictures": ("task=image_classification", "callbacks=[mixup]", "augment=light", "data.rows=31"),
}
OPTIONS = {
    "finder": ("data.rows=101", "loader.batch_size=auto", "optimizer.lr=auto", *TINY_BERT, *BERT),
    "tokens": ("data.rows=101", "loader.max_tokens=200", "schedule.steps=9", *TINY_BERT, *BERT),
    "frozen": (
        *("data.rows=101", "callbacks=[cache_frozen_features]", "schedule=fine_tune", "schedule.freeze_epochs=2"),
        *TINY_BERT,
        *BERT,
    ),
    "balance": ("data.rows=101", "callbacks=[class_balance]", *TINY_BERT, *BERT),
    # sounds of several windows, which are written down in different processes
    "windows": ("task=speech_recognition", "task.window_seconds=1.0"),
}


def check(work: Path, *words: str, world: int = 2, **options: Any) -> None:
    run(work / "one", *USUAL, *words)
    check_same(work / "one", run_on(world, work / "two", *USUAL, *words), **options)


@pytest.mark.parametrize("words", CHEAP.values(), ids=CHEAP)
def test_two_processes_train_as_one(work: Path, words: tuple[str, ...]):
    check(work, *words)


@pytest.mark.slow
@pytest.mark.parametrize("words", OPTIONS.values(), ids=OPTIONS)
def test_two_processes_train_as_one_whatever_the_options(work: Path, words: tuple[str, ...]):
    check(work, *words)


@pytest.mark.slow
@pytest.mark.parametrize("task", sorted(paths.options("task")))
def test_two_processes_train_a_task_as_one(work: Path, task: str):
    # a pixel whose classes are equal to the last digit may be of either, and changes its row's counts and picture
    is_of_pixels = task == "semantic_segmentation"
    check(work, f"task={task}", *NO_DROPOUT.get(task, ()), within=1e-4 if is_of_pixels else SAME, rows=not is_of_pixels)


@pytest.mark.slow
def test_two_processes_train_on_numbers_and_weights_of_rows_as_one(work: Path):
    rows = [("good " * (1 + i % 7) + "film", i % 11 / 10, 0.1 + i % 5) for i in range(90)]
    lines = [f"{text},{label},{weight}" for text, label, weight in rows]
    (work / "rows.csv").write_text("\n".join(["text,label,weight", *lines]), encoding="utf-8")
    columns = [f"data.columns.{name}={name}" for name in ("text", "label", "weight")]
    files = ("data=files", f"data.train={work}/rows.csv", *columns, "metrics=[rmse]", "objective=valid/rmse")
    words = (*[word for word in USUAL if not word.startswith("data.rows")], *files, *TINY_BERT, *BERT)
    run(work / "one", *words)
    check_same(work / "one", run_on(2, work / "two", *words))


@pytest.mark.slow
def test_three_processes_train_as_one(work: Path):
    check(work, *TINY_BERT, *BERT, world=3)


@pytest.mark.slow
@pytest.mark.parametrize("world", [1, 2, 3])
def test_a_killed_training_goes_on_to_the_same_end_in_any_number_of_processes(work: Path, world: int):
    words = (*USUAL, "data.rows=301", "schedule.epochs=4", "checkpoint.every_steps=5", *TINY_BERT, *BERT)
    run_on(2, work / "whole", *words)
    processes = started(2, work / "killed", *words)
    while not list((work / "killed" / "checkpoints").glob("step-*")):
        time.sleep(0.02)
    for process in processes:
        process.kill()
        process.wait()
    check_same(work / "whole", run_on(world, work / "killed", *words, "resume=auto"))

"""Show the answers of a model beside the true ones, the worst first."""

from typing import Any

import pandas as pd

from blurr.report.numbers import perplexity_parts
from blurr.report.parts import Part
from blurr.report.texts import compared, overlap_parts, short, word_f1
from blurr.runs.record import Rows

WORST = 25  # answers in the table


def chat_parts(rows: Rows) -> list[Part]:
    """Return the parts that show answers, how many are exact, and how well their tokens were predicted."""
    exact = sum(_is_exact(row) for row in rows)
    note = (
        f"To the last question of each chat; {exact:,} of {len(rows):,} are exact. Those with the fewest words in "
        "common with the true answer come first. Green words are in the true answer, red dotted ones not."
    )
    worst = Part("answers", "Answers, the worst first", worst_answers(rows), note)
    return [worst, *overlap_parts(rows), *perplexity_parts(rows)]


def question_of(row: dict[str, Any]) -> str:
    """Return the last question of a chat, with the number of messages before it."""
    messages = row["messages"]
    if not isinstance(messages, list):
        return ""
    asked = [i for i, each in enumerate(messages) if each["role"] == "user"]
    last = max((i for i in asked if any(each["role"] == "assistant" for each in messages[i:])), default=0)
    before = f" ({last} message{'s' * (last > 1)} before)" if last else ""
    return f"{messages[last]['content']}{before}"


def worst_answers(rows: Rows, k: int = WORST) -> pd.DataFrame:
    """Return the chats whose answers are the worst: question, answers, their F1 of words, share of tokens, loss."""
    scored = [(_is_exact(row), word_f1(row["prediction"], row["target"]), -float(row["loss"]), row) for row in rows]
    worst = sorted(scored, key=lambda each: each[:3])[:k]
    return pd.DataFrame(
        [
            {
                "question": short(question_of(row)),
                "answer": compared(row["prediction"], row["target"]),
                "true answer": short(row["target"]),
                "f1": f1,
                "tokens right": row["right_count"] / max(1, row["target_count"]),
                "loss": float(row["loss"]),
            }
            for _, f1, _, row in worst
        ]
    )


def _is_exact(row: dict[str, Any]) -> bool:
    return bool(row["prediction"].split() == row["target"].split())

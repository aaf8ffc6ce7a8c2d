"""Choose by how much "no answer" must be above the best answer, and keep it with the model."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from blurr.models.wrapper import logits_of
from blurr.targets.labels import LabelThreshold
from blurr.text.question_answering.metrics import AnswerF1
from blurr.text.question_answering.spans import AnswerWindow, find_spans

KEY = "no_answer_threshold"  # in the model's config, which save_pretrained writes and an export holds


def no_answer_threshold_of(config: Any) -> float:
    """Give the threshold that a model's config holds; 0 where it holds none, as a checkpoint from elsewhere does."""
    value: float = vars(config).get(KEY, 0.0)
    return value


def best_no_answer_threshold(gaps: Sequence[float], answered: Sequence[float], empty: Sequence[float]) -> float:
    """Find the threshold with the highest score, as the official script of SQuAD 2.0 does.

    Sorted by gap, the questions that any threshold leaves answered are the first k; so one running sum gives the score
    of every threshold there can be. The first of several best ones is taken.

    Args:
        gaps: of each question, the score of "no answer" less that of the best span.
        answered: what the best span is worth, 0 to 1.
        empty: what no answer is worth, 0 or 1.

    Returns:
        The middle between the last gap that is answered and the next.
    """
    order = sorted(range(len(gaps)), key=gaps.__getitem__)
    ends = [gaps[order[0]] - 1, *(gaps[i] for i in order), gaps[order[-1]] + 1]
    total = best = sum(empty)
    found = 0
    for k, i in enumerate(order, start=1):
        total += answered[i] - empty[i]
        if total > best and ends[k + 1] > ends[k]:  # no threshold can part equal gaps
            best, found = total, k
    return (ends[found] + ends[found + 1]) / 2


class NoAnswerThreshold(LabelThreshold):
    """Keep the threshold in the model's config and in the learner's rules; search it by F1 where none is given."""

    start = 0.0

    def current(self) -> float:
        return no_answer_threshold_of(self.model.hf_model.config)

    def _found(self) -> float:
        dl = self.dls.loaders[-1]
        rules = replace(self.learn.spans, no_answer=True, no_answer_threshold=0.0)
        windows: list[AnswerWindow] = []
        was_training = self.model.training
        self.model.eval()
        with torch.inference_mode():
            for x, *_ in dl:
                windows += find_spans(logits_of(self.model(x)), x, dl.dataset.contexts, rules)
        self.model.train(was_training)
        return best_no_answer_threshold(*_scores(windows, dl.dataset.answers))

    def _keep(self, value: float) -> None:
        setattr(self.model.hf_model.config, KEY, value)
        self.learn.spans = replace(self.learn.spans, no_answer_threshold=value)


def _scores(
    windows: Sequence[AnswerWindow], answers: Sequence[Sequence[Any]]
) -> tuple[list[float], list[float], list[float]]:
    """Give, for each question, what `best_no_answer_threshold` asks for."""
    by_question: dict[int, list[AnswerWindow]] = {}
    for window in windows:
        by_question.setdefault(window.row, []).append(window)
    gaps: list[float] = []
    answered: list[float] = []
    empty: list[float] = []
    for row, found in by_question.items():
        best = max(found, key=lambda window: window.score)
        true = [answer.text for answer in answers[row]]
        gaps.append(min(window.no_answer_score for window in found) - best.score)
        answered.append(AnswerF1.best_match(best.text, true))
        empty.append(AnswerF1.best_match("", true))
    return gaps, answered, empty

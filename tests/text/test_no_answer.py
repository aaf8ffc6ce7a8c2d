"""How sure "no answer" must be: the threshold that is searched, kept with the model, and used."""

from pathlib import Path

import pytest
import torch
from every_task import TASKS, rows_of
from transformers import XLNetConfig, XLNetForQuestionAnswering

from blurr.data.at_hand import from_data
from blurr.errors import InputError
from blurr.models.wrapper import logits_of
from blurr.text.modeling.all import BaseModelWrapper, BlearnerForQuestionAnswering, QuestionAnswering
from blurr.text.question_answering.target import best_no_answer_threshold, no_answer_threshold_of


def half_answered() -> list[dict]:
    rows = rows_of("question_answering")
    return [{**row, "answers": {"text": [], "answer_start": []}} if i % 2 else row for i, row in enumerate(rows)]


@pytest.mark.parametrize("seed", range(6))
def test_the_best_threshold_is_the_best_of_all_there_can_be(seed: int):
    torch.manual_seed(seed)
    gaps = [round(float(x), 1) for x in torch.randn(12)]  # some are equal
    answered, empty = torch.rand(12).tolist(), torch.randint(2, (12,)).float().tolist()

    def score(threshold: float) -> float:
        return sum(e if gap > threshold else a for gap, a, e in zip(gaps, answered, empty, strict=True))

    tried = max(score(t) for t in [min(gaps) - 1, *gaps, max(gaps) + 1])
    assert score(best_no_answer_threshold(gaps, answered, empty)) == pytest.approx(tried)


def test_the_rows_of_the_search_are_taken_from_training():
    task = QuestionAnswering(no_answer_threshold="auto")
    raw = from_data(task.schema, half_answered())
    prepared = task.prepare(raw)
    assert len(prepared.train) + len(prepared.splits["tune"]) == len(raw.train)
    assert len(prepared.valid) == len(raw.valid)
    assert TASKS["question_answering"].prepare(raw) is raw


def test_the_threshold_is_searched_saved_with_the_model_and_used_by_the_next_learner(tiny_bert: Path, tmp_path: Path):
    def learner_of(checkpoint: Path, **options) -> BlearnerForQuestionAnswering:
        made = BlearnerForQuestionAnswering.from_data(
            half_answered(), checkpoint, max_length=20, stride=3, dl_kwargs={"bs": 4}, **options
        )
        made.remove_cbs([made.progress])
        return made

    learn = learner_of(tiny_bert, no_answer_threshold="auto")
    with learn.no_logging():
        learn.fit(1, 1e-3)
    found = learn.spans.no_answer_threshold
    assert found != 0.0
    assert learn.metrics[-1].name == "threshold"
    learn.model.hf_model.save_pretrained(tmp_path / "model")
    learn.dls.tokenizer.save_pretrained(tmp_path / "model")
    again = learner_of(tmp_path / "model", no_answer_threshold=1.5)
    assert again.spans.no_answer_threshold == no_answer_threshold_of(again.model.hf_model.config) == 1.5
    again.model.hf_model.config.no_answer_threshold = found
    bare = BlearnerForQuestionAnswering(again.dls, again.model.hf_model)
    assert bare.spans.no_answer_threshold == found


def test_a_head_that_searches_by_beams_is_refused():
    sizes = {"vocab_size": 30, "d_model": 16, "n_layer": 1, "n_head": 2, "d_inner": 16}
    model = BaseModelWrapper(XLNetForQuestionAnswering(XLNetConfig(**sizes)).eval())
    with torch.no_grad(), pytest.raises(InputError, match="XLNetForQuestionAnswering.* ends in Simple"):
        logits_of(model({"input_ids": torch.arange(10)[None]}))

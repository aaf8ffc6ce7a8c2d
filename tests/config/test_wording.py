"""In a notebook, messages name the arguments of the notebook."""

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from every_task import SHORT, rows_of

from blurr.config.wording import as_arguments
from blurr.errors import InputError
from blurr.text.modeling.all import (
    BlearnerForLM,
    BlearnerForQuestionAnswering,
    BlearnerForSequenceClassification,
    BlearnerForSummarization,
    BlearnerForTokenClassification,
    BlearnerForTranslation,
)

OF_CONFIG = re.compile(r"\b(data|task|loader|model|optimizer)\.[a-z_]+|\bmetrics=\[|--[a-z]+")


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("set data.columns.text=<column>.", "set text_attr=<column>."),
        ("data.columns.label=[toxic,rude]; or", "label_attr=[toxic,rude]; or"),
        ("Set task.stride to at most 6.", "Set stride to at most 6."),
        ("set task.kind=regression.", 'set kind="regression".'),
        ("task.label_separator='|'.", "label_separator='|'."),
        ("leave these rows out: data.unknown_labels=drop.", 'leave these rows out: unknown_labels="drop".'),
        ("loader.batch_size=8 is", 'dl_kwargs={"bs": 8} is'),
        ("+model.model_kwargs.trust_remote_code=true", 'hf_kwargs={"model_kwargs": {"trust_remote_code": True}}'),
        ("Set model.attention=null, which", 'Set hf_kwargs={"attention": None}, which'),
        ("Set model.name to a folder", "Set pretrained_model_name_or_path to a folder"),
        ("+task.generation.decoder_start_token_id=0", 'text_gen_kwargs={"decoder_start_token_id": 0}'),
        ("task.src_lang=deu, but", 'src_lang_name="deu", but'),
        ("Set data.encoding (--encoding) to latin-1", "Set encoding to latin-1"),
        ("the file my.data/task.csv", "the file my.data/task.csv"),
    ],
)
def test_a_key_of_the_configuration_becomes_an_argument(said: str, meant: str):
    assert as_arguments(said) == meant


def rows(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"is_valid": [i >= 12 for i in range(16)], **columns})


TEXTS = ["the film was good", "the film was bad"] * 8
MISTAKES: dict[str, tuple[Any, Any, dict[str, Any], str]] = {
    "column of the text": (
        BlearnerForSequenceClassification,
        rows(review=TEXTS, label=["a", "b"] * 8),
        {},
        "text_attr=<column>",
    ),
    "column of the label": (
        BlearnerForSequenceClassification,
        rows(text=TEXTS, stars=["a", "b"] * 8),
        {},
        "label_attr=<column>",
    ),
    "lists and texts": (
        BlearnerForSequenceClassification,
        rows(text=TEXTS, label=[["a"], "b"] * 8),
        {},
        "label",
    ),
    "unknown label": (
        BlearnerForSequenceClassification,
        rows(text=TEXTS, label=["a", "b"] * 7 + ["c", "a"]),
        {},
        'unknown_labels="drop"',
    ),
    "threshold of one label": (
        BlearnerForSequenceClassification,
        rows(text=TEXTS, label=["a", "b"] * 8),
        {"threshold": 0.3},
        'kind="multilabel"',
    ),
    "number of labels": (
        BlearnerForSequenceClassification,
        rows(text=TEXTS, label=["a", "b"] * 8),
        {"n_labels": 3},
        "n_labels=3, but the rows have 2",
    ),
    "longest text": (
        BlearnerForSequenceClassification,
        rows(text=TEXTS, label=["a", "b"] * 8),
        {"max_length": 9999},
        "max_length",
    ),
    "size of a batch": (
        BlearnerForSequenceClassification,
        rows(text=TEXTS, label=["a", "b"] * 8),
        {"dl_kwargs": {"bs": "auto"}},
        "give a number",
    ),
    "column of the words": (
        BlearnerForTokenClassification,
        rows(words=[t.split() for t in TEXTS], labels=[["O"] * 4] * 16),
        {},
        "tokens_attr=<column>",
    ),
    "stride": (BlearnerForQuestionAnswering, rows_of("question_answering"), {"max_length": 12}, "stride=128"),
    "column of the context": (
        BlearnerForQuestionAnswering,
        rows(question=TEXTS, passage=TEXTS, answers=["good", "bad"] * 8),
        {},
        "context_attr=<column>",
    ),
    "longest summary": (
        BlearnerForSummarization,
        rows_of("summarization"),
        {"text_gen_kwargs": {"max_new_tokens": 9999}},
        "max_new_tokens",
    ),
    "column of the source": (
        BlearnerForTranslation,
        rows(de=TEXTS, target=TEXTS),
        {"text_gen_kwargs": SHORT},
        "src_lang_attr=<column>",
    ),
    "shares of masks": (
        BlearnerForLM,
        rows(text=TEXTS),
        {"lm_type": "masked", "task_kwargs": {"as_mask": 0.9, "as_random": 0.5}},
        "as_mask=0.9 and as_random=0.5",
    ),
    "block size": (BlearnerForLM, rows(text=TEXTS), {"lm_type": "masked", "block_size": 2}, "block_size=2"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_notebook_is_said_in_its_words(mistake: str, tiny_bert: Path, tiny_bart: Path):
    learner_cls, data, options, said = MISTAKES[mistake]
    checkpoint = tiny_bart if learner_cls in (BlearnerForSummarization, BlearnerForTranslation) else tiny_bert
    with pytest.raises(InputError) as caught:
        learner_cls.from_data(data, checkpoint, **options)
    assert said in str(caught.value)
    assert not OF_CONFIG.search(str(caught.value)), str(caught.value)

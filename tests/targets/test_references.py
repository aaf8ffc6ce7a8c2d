"""What generated texts are compared with: the raw targets of the rows, whole, whatever the tokenizer makes of them."""

import pandas as pd
import pytest
from every_task import TASKS, rows_of
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics.chrf import CHRF

from blurr.data.at_hand import from_data
from blurr.loading.loader import Loader
from blurr.metrics.bleu import ChrF
from blurr.metrics.rouge import Rouge
from blurr.models.objects import build_model
from blurr.text.inputs import TEXT
from blurr.text.modeling.all import BlearnerForSummarization, BlearnerForTranslation

# words that the tiny tokenizer knows, some that it does not, and another script; longer than `max_target_length`
WRITTEN = "good film 電影 Zürich … the plot was fine and it is a superb film ."
GENERATION = {"max_new_tokens": 6}


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rows = rows_of("summarization")
    return pd.DataFrame([{**row, "summary": f"{row['summary']} {WRITTEN}"} for row in rows])


def quiet(learn):
    learn.remove_cbs([learn.progress])
    learn.logger = lambda *_: None
    return learn


def test_a_learner_of_data_scores_against_the_whole_raw_texts_while_it_trains(frame, tiny_bart):
    learn = quiet(
        BlearnerForSummarization.from_data(
            frame, tiny_bart, max_target_length=3, text_gen_kwargs=GENERATION, dl_kwargs={"bs": 4}
        )
    )
    learn.metrics = learn.metrics[:1]  # rouge1
    learn.fit(1, 1e-4)
    shown = float(learn.recorder.final_record[-1])
    valid = frame[frame["is_valid"]]
    written = [result["summary_texts"] for result in learn.blurr_summarize(list(valid["text"]))]
    scorer = RougeScorer(["rouge1"], use_stemmer=True)
    scores = [scorer.score(t, w)["rouge1"].fmeasure for t, w in zip(valid["summary"], written, strict=True)]
    assert shown == pytest.approx(sum(scores) / len(scores), abs=1e-6)


@pytest.mark.parametrize("name", ["summarization", "translation"])
def test_the_described_rows_hold_the_raw_texts_and_give_the_scores_again(name: str, frame, tiny_bart):
    task = TASKS[name]
    source, target = task.schema.required
    raw = from_data(task.schema, frame, columns={source: "text", target: "summary"})
    hf = build_model(
        str(tiny_bart),
        model_cls=task.model_cls,
        config={},
        corpus=tuple,
        load_weights=True,
        weights="pretrained",
        inputs=TEXT,
    )
    dls = task.dataloaders(raw, hf, Loader(batch_size=3))
    learn = quiet(task.learner(dls, hf, raw=raw, metrics={"chrf": ChrF(), "rouge1": Rouge("rouge1")}))
    result = task.evaluate(learn, raw)
    assert [row["target"] for row in result.rows] == raw.valid[target][:] == list(frame[frame["is_valid"]]["summary"])
    expected = CHRF().corpus_score([r["prediction"] for r in result.rows], [[r["target"] for r in result.rows]]).score
    assert result.metrics["chrf"] == pytest.approx(expected)
    assert [row["target"] for row in learn.top_losses(None)] == [
        row["target"] for row in sorted(result.rows, key=lambda row: -row["loss"])
    ]


def test_rows_to_predict_on_have_no_references(frame, tiny_bart):
    learn = quiet(
        BlearnerForTranslation.from_data(
            frame, tiny_bart, src_lang_attr="text", trg_lang_attr="summary", text_gen_kwargs=GENERATION
        )
    )
    items = learn.dls.test_dl(["the film was good", "a plot"]).dataset
    assert items.references([1, 0]) == ["", ""]
    assert learn.dls.train_ds.new_empty().references([]) == []

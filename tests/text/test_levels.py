"""The low and the middle level: tokenize functions and collators by themselves, and the tasks as blocks."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from every_task import ITEMS, SHORT, TASKS, objects_of, rows_of
from fastai.data.all import ColReader, ColSplitter, DataBlock, noop
from fastai.interpret import Interpretation
from fastai.learner import Learner, load_learner
from torch.utils.data import DataLoader

from blurr.errors import InputError
from blurr.loading.loader import Loader
from blurr.text.data.all import (
    LMBatchTokenizeTransform,
    QABatchTokenizeTransform,
    Seq2SeqBatchTokenizeTransform,
    Seq2SeqTextBlock,
    TextBlock,
    TokenCategoryBlock,
    TokenClassBatchTokenizeTransform,
)
from blurr.text.inputs import TextRows
from blurr.text.modeling.all import (
    BaseModelCallback,
    BaseModelWrapper,
    Blearner,
    BlearnerForLM,
    BlearnerForMaskedLM,
    BlearnerForQuestionAnswering,
    BlearnerForSummarization,
    BlearnerForTokenClassification,
    BlearnerForTranslation,
    PreCalculatedCrossEntropyLoss,
    Translation,
)

NUMBERS = {"row", "number"}  # count rows from the first that is tokenized along
pytestmark = pytest.mark.filterwarnings("ignore:load_learner. uses Python's insecure pickle")


# -- low level


@pytest.mark.parametrize("name", sorted(TASKS))
def test_batches_are_the_same_whether_tokenized_ahead_by_item_or_by_batch(name: str, tiny_bert: Path, tiny_bart: Path):
    task = TASKS[name]
    raw, hf = objects_of(name, tiny_bert, tiny_bart)
    given = [dict(row) for row in raw.train]
    collate = task.collator(hf, Loader(), train=False)

    def tokenized(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        found = task.encoded({key: [row[key] for row in rows] for key in rows[0]}, hf)
        return [found[i] for i in range(len(found))]

    def numbered(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**row, **dict.fromkeys(NUMBERS & set(row), i)} for i, row in enumerate(rows)]

    def by_item(rows: list[dict[str, Any]]) -> Any:
        return collate(numbered([window for row in rows for window in tokenized([row])]))

    def by_batch(rows: list[dict[str, Any]]) -> Any:
        return collate(numbered(tokenized(rows)))

    n = len(given) // 2
    ahead = tokenized(given)
    windows = [len(tokenized(given[:n])), len(ahead) - len(tokenized(given[:n]))]
    loaders = {
        "ahead": DataLoader(ahead, batch_sampler=[range(windows[0]), range(windows[0], sum(windows))],
                            collate_fn=lambda rows: collate(numbered(rows))),
        "item": DataLoader(given, batch_size=n, collate_fn=by_item),
        "batch": DataLoader(given, batch_size=n, collate_fn=by_batch),
    }  # fmt: skip
    batches = {when: list(loader) for when, loader in loaders.items()}
    for when in ("item", "batch"):
        for (x, y), (expected, targets) in zip(batches[when], batches["ahead"], strict=True):
            assert set(x) == set(expected)
            assert all(torch.equal(x[key], expected[key]) for key in x)
            assert torch.equal(y, targets)


@pytest.mark.parametrize("name", sorted(TASKS))
def test_a_model_runs_on_the_batches_of_a_plain_torch_loader(name: str, tiny_bert: Path, tiny_bart: Path):
    task = TASKS[name]
    raw, hf = objects_of(name, tiny_bert, tiny_bart)
    rows = task.encoded({key: raw.train[key][:] for key in raw.train.column_names}, hf)
    inputs, targets = next(iter(DataLoader(rows, batch_size=4, collate_fn=task.collator(hf, Loader(), train=True))))
    output = BaseModelWrapper(hf.model)(inputs)
    assert len(targets) == 4
    if name != "question_answering":  # whose targets are not among the inputs
        output.loss.backward()
        assert torch.isfinite(output.loss)


def test_a_loader_of_no_rows_has_no_batches(tiny_bert: Path, tiny_bart: Path):
    raw, hf = objects_of("sequence_classification", tiny_bert, tiny_bart)
    dls = TASKS["sequence_classification"].dataloaders(raw, hf, Loader(batch_size=4))
    assert list(dls.valid.new(TextRows({}))) == []


# -- middle level


def question(row):
    return row["question"], row["context"]


def blocks_of(name: str, hf: Any) -> tuple[tuple[Any, Any], Any, Any, type[Blearner], dict[str, Any]]:
    """Give blocks, get_x, get_y, the learner's class and its options."""
    four, text = tuple(hf), ColReader("text")
    if name == "token_classification":
        block = TextBlock(batch_tokenize_tfm=TokenClassBatchTokenizeTransform(*four, max_length=9, stride=2))
        target = TokenCategoryBlock(vocab=hf.label_names)
        return (block, target), ColReader("tokens"), ColReader("labels"), BlearnerForTokenClassification, {}
    if name == "question_answering":
        block = TextBlock(batch_tokenize_tfm=QABatchTokenizeTransform(*four, max_length=12, stride=3))
        return (block, noop), question, ColReader("answers"), BlearnerForQuestionAnswering, {}
    generation = {"generation": SHORT}
    if name == "summarization":
        return (Seq2SeqTextBlock(*four), noop), text, ColReader("summary"), BlearnerForSummarization, generation
    if name == "translation":
        block = TextBlock(batch_tokenize_tfm=Seq2SeqBatchTokenizeTransform(*four, task=Translation()))
        return (block, noop), ColReader("source"), ColReader("target"), BlearnerForTranslation, generation
    lm_type = name.split("_")[0]
    block = TextBlock(batch_tokenize_tfm=LMBatchTokenizeTransform(*four, lm_type=lm_type, chunk=False))
    learner = {"causal": BlearnerForLM, "masked": BlearnerForMaskedLM}[lm_type]
    return (block, noop), text, None, learner, generation if lm_type == "causal" else {}


@pytest.fixture(scope="session", params=sorted(set(TASKS) - {"sequence_classification", "chat"}))
def made(request, tiny_bert: Path, tiny_bart: Path, tmp_path_factory):
    raw, hf = objects_of(request.param, tiny_bert, tiny_bart)
    blocks, get_x, get_y, learner_cls, options = blocks_of(request.param, hf)
    block = DataBlock(blocks=blocks, get_x=get_x, get_y=get_y, splitter=ColSplitter())
    dls = block.dataloaders(pd.DataFrame(rows_of(request.param)), bs=4, val_bs=6, drop_last=False)
    learn = learner_cls(dls, hf.model, path=tmp_path_factory.mktemp(request.param), **options)
    learn.remove_cbs([learn.progress])
    learn.logger = lambda *_: None
    return request.param, dls, learn, raw, hf


def test_blocks_give_the_batches_of_the_runner(made):
    name, dls, _, raw, hf = made
    inputs, targets = dls.valid.one_batch()
    expected = TASKS[name].dataloaders(raw, hf, Loader(batch_size=4, eval_batch_size=6)).valid.one_batch()
    assert all(torch.equal(inputs[key], expected[0][key]) for key in expected[0])
    assert torch.equal(targets, expected[1])


def test_blocks_show_what_is_in_a_batch(made):
    _, dls, *_ = made
    table = dls.show_batch(max_n=2, show=False, dataloaders=dls)
    assert len(table) == 2
    assert "film" in str(table[0]) or "plot" in str(table[0])


def test_a_learner_of_blocks_learns_shows_and_predicts(made):
    name, dls, learn, raw, _ = made
    learn.unfreeze()
    before = float(learn.validate()[0])
    learn.fit(3, 1e-2)
    assert float(learn.validate()[0]) < before
    shown = learn.show_results(max_n=2, show=False, learner=learn)
    assert any("predict" in key for key in shown[0])
    results = learn.predict([ITEMS.get(name, "the film was good")] * 3)
    assert len(results) == 3
    assert len(learn.get_preds()[0]) == len(dls.valid_ds)
    learn.export("learner.pkl")
    again = load_learner(learn.path / "learner.pkl")
    assert str(again.predict([ITEMS.get(name, "the film was good")] * 3)) == str(results)


def test_a_plain_learner_trains_on_blocks(made):
    name, dls, _, _, hf = made
    if name != "question_answering":  # whose model is given no targets: BlearnerForQuestionAnswering knows its loss
        loss = PreCalculatedCrossEntropyLoss()
        learn = Learner(dls, BaseModelWrapper(hf.model), loss_func=loss, cbs=[BaseModelCallback])
        with learn.no_bar(), learn.no_logging():
            learn.fit(1, 1e-3)
            assert len(learn.get_preds(with_input=True, with_loss=True)[-1]) == len(dls.valid_ds)
            assert len(learn.show_results(max_n=2, show=False) or []) == 0  # fastai's own, which shows
            interpretation = Interpretation.from_learner(learn)
            interpretation.plot_top_losses(2)
        assert learn.recorder.values
        assert "Total params" in learn.summary()


def test_a_sample_without_what_its_task_needs_is_named(tiny_bert: Path, tiny_bart: Path):
    _, hf = objects_of("question_answering", tiny_bert, tiny_bart)
    transform = QABatchTokenizeTransform(*hf)
    block = DataBlock((TextBlock(batch_tokenize_tfm=transform), noop), get_x=ColReader("question"), get_y=noop)
    with pytest.raises(InputError, match="A sample for QuestionAnswering lacks \\['context'\\]"):
        block.dataloaders(pd.DataFrame(rows_of("question_answering")), bs=2)

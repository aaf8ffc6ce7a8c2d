"""Extractive question answering: windows, answers by their characters, and predictions with offsets."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset
from fastai.learner import load_learner
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch.utils.data import DataLoader
from transformers import (
    BartConfig,
    BartForQuestionAnswering,
    BertConfig,
    BertForQuestionAnswering,
    CanineTokenizer,
    PreTrainedTokenizerFast,
)

from blurr.data.at_hand import from_data
from blurr.data.files import load_files
from blurr.errors import InputError
from blurr.loading.dataloader import RowsDL
from blurr.loading.loader import Loader
from blurr.models.objects import HFObjects
from blurr.text.modeling.all import BlearnerForQuestionAnswering
from blurr.text.question_answering.rows import (
    Answer,
    QuestionCollator,
    QuestionRows,
    answer_tokens,
    answers_of,
    read_answers,
    tokenize_questions,
)
from blurr.text.question_answering.spans import AnswerWindow, SpanRules, find_spans, rank_answers
from blurr.text.question_answering.task import QuestionAnswering

# load_learner unpickles, and says so: the file is our own.
pytestmark = pytest.mark.filterwarnings("ignore:load_learner. uses Python's insecure pickle")

MARKS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
NAMES = ["anna", "ben", "cleo", "dan"]
TOWNS = ["oslo", "rome", "bonn", "lyon"]
TEXT = "what did george lucas make ? created star wars in 1977 . he directed and produced it where is lives paris w"
WORDS = [*TEXT.split(), *(f"##{i}" for i in range(60)), *NAMES, *TOWNS]


def bert_tokenizer(**options: Any) -> PreTrainedTokenizerFast:
    """Word pieces in lower case, `[CLS] a [SEP] b [SEP]`, as BERT's."""
    vocab = {word: i for i, word in enumerate([*MARKS, *WORDS])}
    inner = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    inner.normalizer = normalizers.BertNormalizer(lowercase=True)
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    names["model_input_names"] = ["input_ids", "token_type_ids", "attention_mask"]
    return PreTrainedTokenizerFast(tokenizer_object=inner, **{**names, "model_max_length": 64, **options})


LUCAS = "George Lucas created Star Wars in 1977. He directed and produced it."
WINDOWS = " ".join("Paris" if i == 40 else f"w{i}" for i in range(60))


def windows_of(tokenizer, question: str, context: str, answer: Answer | None, **options) -> dict[str, list[Any]]:
    return tokenize_questions(tokenizer, [question], [context], [[answer] if answer else []], **options)


# -- answers


@pytest.mark.parametrize(
    ("value", "start"),
    [
        ({"text": ["oslo", "it"], "answer_start": [3, 9]}, None),
        ([{"text": "oslo", "answer_start": 3}, {"text": "it", "answer_start": 9}], None),
        (["oslo", "it"], [3, 9]),
    ],
    ids=["dict of lists", "list of dicts", "two columns of lists"],
)
def test_answers_are_read_in_every_form(value, start):
    assert read_answers(value, start) == [("oslo", 3), ("it", 9)]


@pytest.mark.parametrize("start", [3, "3", 3.0, "3.0"])
def test_a_text_and_its_start_are_an_answer(start):
    assert read_answers("oslo", start) == [Answer("oslo", 3)]


@pytest.mark.parametrize(
    ("value", "start"),
    [
        ("", ""),
        (" ", ""),
        (None, None),
        (None, float("nan")),
        ({"text": [], "answer_start": []}, None),
        ({"text": [""], "answer_start": [0]}, None),
        ([], None),
        ([], []),
        ([{"text": "", "answer_start": -1}], None),
    ],
)
def test_a_question_may_have_no_answer(value, start):
    assert read_answers(value, start) == []


@pytest.mark.parametrize(("value", "start"), [(["oslo"], [1, 2]), ("oslo", "x"), ({"answer": "oslo"}, None)])
def test_answers_that_cannot_be_read_are_refused(value, start):
    with pytest.raises(InputError, match="data.columns.answer_start"):
        read_answers(value, start)


@pytest.mark.parametrize(
    ("answers", "start"),
    [
        ("oslo", {}),
        ("oslo", {"answer_start": ""}),
        ({"text": ["oslo"]}, {}),
        ({"text": ["oslo"], "answer_start": [None]}, {}),
        ([{"text": "oslo"}], {}),
    ],
    ids=["a text", "an empty number", "a dict", "a dict with null", "dicts"],
)
def test_an_answer_without_a_place_is_taken_where_it_first_stands(answers, start, caplog):
    row = {"question": "?", "context": "from oslo to oslo", "answers": answers, **start}
    raw = from_data(QuestionAnswering.schema, [row] * 4, valid=[row])
    with caplog.at_level("INFO", "blurr"):
        QuestionAnswering().target.model_config(raw)
    assert "(train): 4 answers have no answer_start; each is taken where it first stands" in caplog.text
    assert answers_of(raw.train.to_dict()) == [[("oslo", 5)]] * 4
    wrong = from_data(QuestionAnswering.schema, [{**row, "context": "Oslo"}] * 4, valid=[row])
    with pytest.raises(InputError, match="has the answer 'oslo', which does not stand in its context, 'Oslo'"):
        QuestionAnswering().target.model_config(wrong)


def test_questions_with_lists_of_dicts_and_without_answers_stand_in_one_file(work: Path):
    answers = [[] if i % 3 == 0 else [{"text": "oslo", "answer_start": 8}] for i in range(12)]
    rows = [{"question": f"{i}?", "context": "anna in oslo", "answers": each} for i, each in enumerate(answers)]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    raw = load_files(QuestionAnswering.schema, train="rows.jsonl", valid="rows.jsonl")
    QuestionAnswering().target.model_config(raw)
    assert answers_of(raw.train.to_dict()) == [[] if i % 3 == 0 else [("oslo", 8)] for i in range(12)]


@pytest.mark.parametrize("start", [0, -1, 99])
def test_an_answer_that_stands_elsewhere_is_refused(start: int):
    rows = [{"question": "?", "context": "anna lives in oslo", "answers": {"text": ["oslo"], "answer_start": [14]}}] * 4
    rows[2] = {**rows[2], "answers": {"text": ["oslo"], "answer_start": [start]}}
    raw = from_data(QuestionAnswering.schema, rows, valid=rows[:1])
    where = f"row 3 .*'oslo' starts at character {start} .* it first stands at 14"
    with pytest.raises(InputError, match=f"1 answers .* of 4 rows: {where}"):
        QuestionAnswering().target.model_config(raw)


# -- windows


def test_the_tokens_of_an_answer_are_those_of_its_characters():
    question = "What did George Lucas make?"
    found = windows_of(bert_tokenizer(), question, LUCAS, Answer("Star Wars", 21))
    assert (found["first"], found["last"]) == ([11], [12])
    absent = windows_of(bert_tokenizer(), question, LUCAS, None)
    assert (absent["first"], absent["last"]) == ([0], [0])


@pytest.mark.parametrize(("answer", "tokens"), [("Star Wars", (11, 13)), ("1977", (14, 15)), ("George", (8, 9))])
def test_the_tokens_of_an_answer_end_exclusive(answer: str, tokens: tuple[int, int]):
    columns = windows_of(bert_tokenizer(), "What did George Lucas make?", LUCAS, None)
    offsets = np.stack([columns["char_start"][0], columns["char_end"][0]], axis=1)
    assert answer_tokens(offsets, [Answer(answer, LUCAS.index(answer))]) == tokens
    assert answer_tokens(offsets, []) == (0, 0)


def test_a_long_context_becomes_windows_that_overlap():
    answer = Answer("Paris", WINDOWS.index("Paris"))
    columns = windows_of(bert_tokenizer(), "Where is Paris?", WINDOWS, answer, max_length=32, stride=8)
    lengths = [len(ids) for ids in columns["input_ids"]]
    assert len(lengths) == 7
    assert lengths[:6] == [32] * 6
    assert lengths[6] < 32
    assert columns["row"] == [0] * 7
    paris = bert_tokenizer().convert_tokens_to_ids("paris")
    for i, ids in enumerate(columns["input_ids"]):
        first, last = columns["first"][i], columns["last"][i]
        holds = paris in list(ids)[6:]
        assert ((first, last) != (0, 0)) == holds
        if holds:
            assert WINDOWS[columns["char_start"][i][first] : columns["char_end"][i][last]] == "Paris"


def test_every_character_of_a_context_is_in_a_window():
    columns = windows_of(bert_tokenizer(), "Where is Paris?", WINDOWS, None, max_length=32, stride=8)
    spans = np.stack([np.concatenate(columns[name]) for name in ("char_start", "char_end")], axis=1)
    seen = {letter for start, end in spans for letter in range(start, end)}
    assert {i for i, letter in enumerate(WINDOWS) if letter != " "} <= seen


def test_rows_keep_their_numbers_beyond_the_first_thousand():
    columns = tokenize_questions(bert_tokenizer(), ["where is it ?"] * 1003, ["anna lives in oslo"] * 1003)
    assert columns["row"] == list(range(1003))


@pytest.mark.parametrize("max_length", [16, 32, None])
@pytest.mark.parametrize("question", ["Where is Paris?", "Where is Paris? " * 40], ids=["short", "long"])
def test_no_window_is_longer_than_it_may_be(max_length: int | None, question: str):
    columns = windows_of(bert_tokenizer(), question, WINDOWS, None, max_length=max_length)
    assert max(len(ids) for ids in columns["input_ids"]) <= (max_length or 64)
    assert all(np.max(ends) > 0 for ends in columns["char_end"]), "each holds some of the context"


def test_without_any_limit_there_is_one_window():
    columns = windows_of(bert_tokenizer(model_max_length=int(1e30)), "Where?", WINDOWS, None, max_length=None)
    assert len(columns["input_ids"]) == 1


def test_an_impossible_length_is_refused():
    with pytest.raises(InputError, match="task.max_length=5 leaves no room"):
        windows_of(bert_tokenizer(), "Where?", WINDOWS, None, max_length=5)
    with pytest.raises(InputError, match="task.stride=33 is more than half of task.max_length=64"):
        QuestionAnswering(max_length=64, stride=33)


def test_a_slow_tokenizer_is_refused():
    with pytest.raises(InputError, match="CanineTokenizer cannot tell"):
        windows_of(CanineTokenizer(), "Where?", WINDOWS, None)


def test_b5_an_answer_that_stands_twice_is_found_where_it_is_meant():
    context = "anna is in oslo and ben lives in oslo"
    for start in (context.index("oslo"), context.rindex("oslo")):
        columns = windows_of(bert_tokenizer(), "where is ben ?", context, Answer("oslo", start))
        assert columns["char_start"][0][columns["first"][0]] == start


BYTE_TEXTS = [
    "  Zoë's café, “Le Bœuf”, opened in 1977 — for €20 you'd eat 鮨 there.",
    "Zoë's\tcafé\n\nis  in São Paulo; naïve cooks (like me) love it 🍣.",
]


def bpe_tokenizer(*, trim: bool, prefix: bool) -> PreTrainedTokenizerFast:
    """Byte-level pairs, as GPT-2 (no trimming) or RoBERTa (trimming) have them."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330, special_tokens=MARKS, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    inner.train_from_iterator(BYTE_TEXTS * 3, trainer)
    inner.post_processor = processors.RobertaProcessing(("[SEP]", 3), ("[CLS]", 2), trim_offsets=trim)
    return PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]")


def unigram_tokenizer() -> PreTrainedTokenizerFast:
    """Pieces with a mark for the space before them, as SentencePiece has them."""
    inner = Tokenizer(models.Unigram())
    inner.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=120, special_tokens=MARKS, unk_token="[UNK]", show_progress=False)
    inner.train_from_iterator(BYTE_TEXTS * 3, trainer)
    inner.post_processor = processors.TemplateProcessing(
        single="$A [SEP] [CLS]", pair="$A [SEP] $B:1 [SEP]:1 [CLS]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]"}
    return PreTrainedTokenizerFast(tokenizer_object=inner, **names)


@pytest.mark.parametrize(
    "tokenizer",
    [bpe_tokenizer(trim=False, prefix=False), bpe_tokenizer(trim=True, prefix=True), unigram_tokenizer()],
    ids=["gpt2", "roberta", "sentencepiece"],
)
@pytest.mark.parametrize("context", BYTE_TEXTS, ids=["accents", "white space"])
def test_b38_every_word_is_found_by_tokenizers_of_bytes_and_pieces(tokenizer, context: str):
    spans = [(start, end) for start in range(len(context)) for end in range(start + 1, len(context) + 1)]
    words = [(s, e) for s, e in spans if context[s:e].strip() and context[s - 1 : s].strip() == "" and e - s < 20]
    words = [(s, e) for s, e in words if context[e : e + 1].strip() == ""]
    answers = [[Answer(context[s:e], s)] for s, e in words]
    columns = tokenize_questions(tokenizer, ["Où?"] * len(words), [context] * len(words), answers)
    for i, (start, end) in enumerate(words):
        first, last = columns["first"][i], columns["last"][i]
        found = context[columns["char_start"][i][first] : columns["char_end"][i][last]]
        assert found.strip() == context[start:end].strip()


def test_the_token_for_no_answer_is_where_the_tokenizer_puts_it():
    columns = windows_of(unigram_tokenizer(), "Où?", BYTE_TEXTS[0], None)
    assert columns["no_answer"][0] == len(columns["input_ids"][0]) - 1
    assert columns["first"] == columns["last"] == columns["no_answer"]


# -- batches


def test_a_tokenizer_that_pads_on_the_left_reads_the_context_first():
    tokenizer = bert_tokenizer(padding_side="left")
    contexts = ["oslo", "anna lives in oslo"]
    answers = [[Answer("oslo", 0)], [Answer("oslo", 14)]]
    columns = tokenize_questions(tokenizer, ["where is it ?"] * 2, contexts, answers)
    rows = QuestionRows(columns, ["where is it ?"] * 2, contexts)
    inputs, targets = QuestionCollator(tokenizer.pad_token_id, padding_side="left")([rows[0], rows[1]])
    oslo = tokenizer.convert_tokens_to_ids("oslo")
    assert inputs["input_ids"].gather(1, targets).tolist() == [[oslo, oslo], [oslo, oslo]]
    assert inputs["input_ids"].gather(1, inputs["no_answer"][:, None]).flatten().tolist() == [2, 2]
    logits = torch.zeros(*inputs["input_ids"].shape, 2)
    logits.scatter_(1, targets[:, None, :], 9.0)
    assert [w.text for w in find_spans(logits, inputs, contexts, SpanRules(no_answer=False))] == ["oslo", "oslo"]


def question_rows(**options: Any) -> QuestionRows:
    questions, contexts = ["where is anna ?", "where is it ?"], ["anna lives in oslo", WINDOWS]
    answers = [[Answer("oslo", 14)], [Answer("Paris", WINDOWS.index("Paris"))]]
    columns = tokenize_questions(bert_tokenizer(), questions, contexts, answers, max_length=32, stride=8, **options)
    return QuestionRows(columns, questions, contexts, answers)


def test_a_plain_torch_loader_makes_the_same_batches():
    rows = question_rows()
    ((inputs, targets),) = DataLoader(rows, batch_size=len(rows), collate_fn=QuestionCollator(0))
    assert targets.shape == (len(rows), 2)
    assert inputs["input_ids"].shape == inputs["char_start"].shape == (8, 32)
    assert "labels" not in inputs


def test_b23_the_encoding_comes_with_the_offsets_of_every_token():
    columns = tokenize_questions(bert_tokenizer(), ["where is anna ?"], ["anna lives in oslo"])
    assert set(columns) == {"input_ids", "token_type_ids", "row", "char_start", "char_end", "no_answer"}
    assert columns["char_start"][0].tolist() == [0] * 6 + [0, 5, 11, 14, 0]
    assert columns["char_end"][0].tolist() == [0] * 6 + [4, 10, 13, 18, 0]


def test_padding_to_a_multiple_leaves_the_targets_alone():
    rows = question_rows()
    inputs, targets = QuestionCollator(0, pad_to_multiple_of=40)([rows[0], rows[1]])
    assert (inputs["input_ids"].shape, targets.shape) == ((2, 40), (2, 2))


# -- spans


def batch_of(rows: QuestionRows) -> dict[str, torch.Tensor]:
    return QuestionCollator(0)([rows[i] for i in range(len(rows))])[0]


def best_by_trying(logits: torch.Tensor, rows: QuestionRows, i: int, longest: int) -> float:
    """Score of the best span of a window, the slow way."""
    inside = [t for t in range(len(rows[i]["input_ids"])) if rows[i]["char_end"][t] > rows[i]["char_start"][t]]
    return max(float(logits[i, a, 0] + logits[i, b, 1]) for a in inside for b in inside if a <= b < a + longest)


@pytest.mark.parametrize("longest", [1, 3, 100])
def test_b39_no_answer_ends_before_it_starts_and_none_is_better(longest: int):
    rows = question_rows()
    inputs = batch_of(rows)
    for seed in range(5):
        logits = torch.randn(*inputs["input_ids"].shape, 2, generator=torch.Generator().manual_seed(seed)) * 5
        windows = find_spans(logits, inputs, rows.contexts, SpanRules(max_answer_length=longest, no_answer=False))
        for i, window in enumerate(windows):
            assert all(span.start < span.end for span in window.spans)
            assert window.score == pytest.approx(best_by_trying(logits, rows, i, longest))
            assert [s.score for s in window.spans] == sorted((s.score for s in window.spans), reverse=True)


def test_b39_the_best_end_before_the_best_start_is_not_taken():
    rows = question_rows()
    inputs = batch_of(rows)
    logits = torch.zeros(*inputs["input_ids"].shape, 2)
    logits[0, 9, 0], logits[0, 6, 1] = 9.0, 9.0
    best = find_spans(logits, inputs, rows.contexts, SpanRules(no_answer=False))[0].spans[0]
    assert best.start < best.end


def test_b27_question_special_and_pad_tokens_of_each_window_never_win():
    rows = question_rows()
    inputs = batch_of(rows)
    outside = inputs["char_end"] == 0
    assert len({tuple(mask.tolist()) for mask in outside}) > 1, "the windows differ in what is masked"
    logits = torch.where(outside[..., None], 1e4, -1e4).expand(-1, -1, 2)
    for window in find_spans(logits, inputs, rows.contexts, SpanRules(n_best=10_000, no_answer=False)):
        assert window.spans
        assert all(span.score == -2e4 for span in window.spans)


def test_a_window_without_context_has_no_span():
    rows = QuestionRows(tokenize_questions(bert_tokenizer(), ["where ?"], [" "]), ["where ?"], [" "])
    inputs = batch_of(rows)
    windows = find_spans(torch.zeros(*inputs["input_ids"].shape, 2), inputs, [" "], SpanRules(no_answer=False))
    assert (windows[0].spans, windows[0].text) == ([], "")
    assert rank_answers(windows, 5) == [{"answer": None, "start": None, "end": None, "score": 1.0}]


def window(spans: list[tuple[float, int, int]], none: float = 0.0, threshold: float = float("inf")) -> AnswerWindow:
    from blurr.text.question_answering.spans import Span

    return AnswerWindow(0, "anna lives in oslo", [Span(*span) for span in spans], none, threshold)


def test_answers_of_several_windows_are_merged():
    ranked = rank_answers([window([(3.0, 14, 18), (1.0, 0, 4)]), window([(4.0, 14, 18), (2.0, 5, 10)])], 3)
    assert [answer["answer"] for answer in ranked] == ["oslo", "lives", "anna"]
    assert sum(answer["score"] for answer in ranked) == pytest.approx(1)
    assert ranked[0]["score"] / ranked[1]["score"] == pytest.approx(np.exp(2))


@pytest.mark.parametrize(("threshold", "answer"), [(0.0, None), (0.9, None), (1.1, "oslo"), (float("inf"), "oslo")])
def test_no_answer_must_beat_the_best_answer_by_the_threshold(threshold: float, answer: str | None):
    windows = [window([(3.0, 14, 18)], 4.0, threshold), window([(1.0, 0, 4)], 9.0, threshold)]
    assert rank_answers(windows, 5)[0]["answer"] == answer
    metric_says = windows[0].margin > windows[0].score
    assert metric_says == (answer is None)


# -- the line


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT for question answering with random weights, as a local checkpoint."""
    folder = tmp_path_factory.mktemp("tiny-qa")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = BertConfig(
        vocab_size=len(MARKS) + len(WORDS),
        max_position_embeddings=64,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        **sizes,
    )
    BertForQuestionAnswering(config).save_pretrained(folder)
    bert_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def facts() -> list[dict[str, Any]]:
    """Forty questions after the town of one person, every fifth with a long context, a quarter for validation."""
    rows = []
    for i in range(40):
        who, town = NAMES[i % 4], TOWNS[i // 4 % 4]
        before = "it is in 1977 . " * (12 if i % 5 == 0 else i % 3)
        context = f"{before}{who} lives in {town} ."
        rows.append(
            {
                "id": f"q{i}",
                "question": f"where is {who} ?",
                "context": context,
                "answers": {"text": [town], "answer_start": [context.index(town)]},
                "is_valid": i % 4 == 3,
            }
        )
    return rows


@pytest.fixture
def learner(facts, tiny: Path, tmp_path: Path) -> BlearnerForQuestionAnswering:
    learner = BlearnerForQuestionAnswering.from_data(
        facts, tiny, max_length=32, stride=8, dl_kwargs={"bs": 8}, learner_kwargs={"path": tmp_path}
    )
    learner.remove_cbs([learner.progress])
    learner.unfreeze()
    return learner


ITEM = {"question": "where is anna ?", "context": "it is in 1977 . anna lives in rome ."}


def test_a_learner_learns_to_answer(learner):
    with learner.no_logging():
        learner.fit_one_cycle(12, lr_max=5e-3)
    assert [m.name for m in learner.metrics] == ["exact_match", "f1"]
    loss, exact, f1 = learner.validate()
    assert exact > 80
    assert f1 >= exact
    found = learner.blurr_predict_answers(ITEM)[0]
    assert found["answer"] == "rome"
    assert ITEM["context"][found["start"] : found["end"]] == "rome"


def test_b4_a_long_context_is_one_question_in_the_metrics_and_the_predictions(learner, facts, tiny):
    task = QuestionAnswering(max_length=32, stride=8)
    raw = from_data(task.schema, facts)
    assert len(learner.dls.valid_ds) > raw.valid.num_rows
    evaluation = task.evaluate(learner, raw)
    assert [row["id"] for row in evaluation.rows] == raw.valid["id"][:]
    assert sum(row["windows"] for row in evaluation.rows) == len(learner.dls.valid_ds)
    for name in ("exact_match", "f1"):
        mean = 100 * sum(row[name] for row in evaluation.rows) / raw.valid.num_rows
        assert evaluation.metrics[name] == pytest.approx(mean)
    for row in evaluation.rows:
        assert row["context"][row["start"] : row["end"]] == row["prediction"]


@pytest.mark.parametrize(
    "items",
    [ITEM, [ITEM, ITEM], tuple(ITEM.values()), [tuple(ITEM.values())] * 3, pd.DataFrame([ITEM] * 2), []],
    ids=["dict", "dicts", "pair", "pairs", "DataFrame", "nothing"],
)
def test_predict_takes_one_question_or_many(learner, items):
    expected = 1 if isinstance(items, dict | tuple) else len(items)
    results = learner.predict(items)
    assert len(results) == expected
    assert all(list(result) == ["answer", "start", "end", "score"] for result in results)


@pytest.mark.parametrize(
    "item", ["where is anna ?", ("where ?",), {"question": "where ?"}, {"question": 1, "context": "a"}]
)
def test_an_item_that_is_no_question_is_refused(learner, item):
    with pytest.raises(InputError, match="needs a question and a context"):
        learner.predict([item])


def test_the_best_answers_come_best_first_with_their_places(learner):
    result = learner.predict(ITEM, top_k=4)[0]
    answers = result["answers"]
    assert len(answers) == 4
    assert {k: result[k] for k in answers[0]} == answers[0]
    assert [a["score"] for a in answers] == sorted((a["score"] for a in answers), reverse=True)
    assert all(ITEM["context"][a["start"] : a["end"]] == a["answer"] for a in answers)
    assert len({(a["start"], a["end"]) for a in answers}) == 4


def test_questions_of_any_length_are_answered_in_their_order(learner, facts):
    together = learner.predict(facts)
    alone = [learner.predict(fact)[0] for fact in facts]
    assert [r["answer"] for r in together] == [r["answer"] for r in alone]
    assert [r["score"] for r in together] == pytest.approx([r["score"] for r in alone], abs=1e-4)


def test_b10_predictions_leave_the_loaders_as_they_were(learner):
    dataset, before = learner.dls.valid_ds, learner.dls.valid.one_batch()
    learner.blurr_predict_answers([ITEM] * 3, bs=2)
    after = learner.dls.valid.one_batch()
    assert learner.dls.valid_ds is dataset
    assert all(torch.equal(before[0][k], after[0][k]) for k in before[0])
    with learner.no_logging():
        learner.fit(1, 1e-3)
    learner.blurr_predict_answers(ITEM)
    learner.dls.train.one_batch()


def test_b20_answers_are_given_in_eval_mode_without_gradients(learner):
    modes = []
    learner.model.hf_model.register_forward_pre_hook(lambda m, _: modes.append((m.training, torch.is_grad_enabled())))
    learner.model.train()
    assert learner.predict(ITEM) == learner.predict(ITEM)
    assert learner.model.training
    assert set(modes) == {(False, False)}


def test_b8_the_length_may_be_left_to_the_tokenizer(facts, tiny: Path):
    learner = BlearnerForQuestionAnswering.from_data(facts, tiny, max_length=None, dl_kwargs={"bs": 8})
    assert int(learner.dls.train_ds.lengths.max()) == 64
    assert learner.predict(ITEM)[0]["answer"]


def test_questions_without_answer_make_no_answer_possible(facts, tiny: Path):
    half = [{**row, "answers": {"text": [], "answer_start": []}} if i % 2 else row for i, row in enumerate(facts)]
    learner = BlearnerForQuestionAnswering.from_data(half, tiny, max_length=32, stride=8, dl_kwargs={"bs": 8})
    assert learner.spans.no_answer is True
    sure = learner.predict(ITEM, no_answer_threshold=-1e9)[0]
    assert (sure["answer"], sure["start"], sure["end"]) == (None, None, None)
    assert learner.predict(ITEM, no_answer_threshold=1e9)[0]["answer"]
    assert learner.predict(ITEM, no_answer=False)[0]["answer"]
    assert all(m.value is not None for m in learner.metrics) or learner.metrics
    never = BlearnerForQuestionAnswering.from_data(facts, tiny, dl_kwargs={"bs": 8})
    assert never.spans.no_answer is False


def test_a_longest_answer_can_be_asked_for(learner):
    for result in learner.predict(ITEM, top_k=20, max_answer_length=1)[0]["answers"]:
        assert " " not in result["answer"]


def test_a_batch_is_shown_with_what_its_windows_hold(learner):
    table = learner.dls.train.show_batch(max_n=8, show=False)
    assert list(table[0]) == ["question", "context", "found", "start/end", "answer"]
    assert {row["found"] for row in table} == {True, False}, "the longest come first: only some windows hold the answer"
    for row in table:
        assert (row["answer"] in TOWNS) == row["found"]
        assert (row["start/end"] == (0, 0)) != row["found"]
        assert not row["found"] or row["answer"] in row["context"]
    assert learner.dls.valid.show_batch(max_n=1, show=False, trunc_at=5)[0]["context"].endswith(" …")


def test_results_are_shown_beside_the_answers(learner):
    for ds_idx in (0, 1):
        table = learner.show_results(ds_idx=ds_idx, max_n=3, show=False, learner=learner)
        assert len(table) == 3
        assert all(row["prediction"] in row["context"] for row in table)
    learner.show_results(max_n=1)


def test_an_exported_learner_answers_the_same(learner, tmp_path: Path):
    before = learner.predict(ITEM, top_k=3)
    learner.export("qa.pkl")
    assert load_learner(tmp_path / "qa.pkl").predict(ITEM, top_k=3) == before


def test_predictions_of_loaders_come_with_a_loss_per_window(learner, facts):
    dl = learner.dls.test_dl(facts[:3])
    assert isinstance(dl, RowsDL)
    assert len(dl.dataset.contexts) == 3
    _, targets, losses = learner.get_preds(with_loss=True)
    assert targets.shape == (len(learner.dls.valid_ds), 2)
    assert losses.mean() == pytest.approx(learner.validate()[0], rel=1e-4)


def test_the_loss_is_that_of_the_model_itself(learner):
    inputs, targets = learner.dls.valid.one_batch()
    model = learner.model.hf_model.eval()
    own = model(
        **{k: inputs[k] for k in ("input_ids", "attention_mask", "token_type_ids")},
        start_positions=targets[:, 0],
        end_positions=targets[:, 1],
    )
    logits = torch.stack([own.start_logits, own.end_logits], -1)
    assert learner.loss_func(logits, targets).item() == pytest.approx(own.loss.item(), rel=1e-5)


@pytest.mark.parametrize("source", ["DataFrame", "Dataset", "csv", "jsonl", "squad"])
def test_from_data_takes_every_kind_of_rows(source: str, facts, tiny: Path, tmp_path: Path):
    import json

    flat = pd.DataFrame(
        [{**r, "answer": r["answers"]["text"][0], "begin": r["answers"]["answer_start"][0]} for r in facts]
    )
    flat = flat.drop(columns="answers")
    flat.to_csv(tmp_path / "rows.csv", index=False)
    pd.DataFrame(facts).to_json(tmp_path / "rows.jsonl", orient="records", lines=True)
    answers = [[{"text": r["answers"]["text"][0], "answer_start": r["answers"]["answer_start"][0]}] for r in facts]
    paragraphs = [
        {"context": r["context"], "qas": [{**r, "answers": each}]} for r, each in zip(facts, answers, strict=True)
    ]
    (tmp_path / "squad.json").write_text(json.dumps({"data": [{"title": "t", "paragraphs": paragraphs}]}))
    data, columns = {
        "DataFrame": (flat, {"answers_attr": "answer", "answer_start_attr": "begin"}),
        "Dataset": (Dataset.from_list(facts), {}),
        "csv": (tmp_path / "rows.csv", {"answers_attr": "answer", "answer_start_attr": "begin"}),
        "jsonl": (tmp_path / "rows.jsonl", {}),
        "squad": (tmp_path / "squad.json", {}),
    }[source]
    learner = BlearnerForQuestionAnswering.from_data(data, tiny, **columns, dl_kwargs={"bs": 8})
    valid = learner.dls.valid_ds
    assert len(valid.contexts) == (8 if source == "squad" else 10)
    assert {answer.text for answers in valid.answers for answer in answers} <= set(TOWNS)


def test_a_question_without_answer_may_be_an_empty_cell(facts, tiny: Path):
    frame = pd.DataFrame(facts)
    frame["answer"] = [r["text"][0] if i % 3 else None for i, r in enumerate(frame.answers)]
    frame["begin"] = [r["answer_start"][0] if i % 3 else None for i, r in enumerate(frame.answers)]
    learner = BlearnerForQuestionAnswering.from_data(
        frame.drop(columns="answers"), tiny, answers_attr="answer", answer_start_attr="begin"
    )
    assert learner.dls.train_ds.has_unanswerable


def test_an_encoder_decoder_answers_too(facts):
    torch.manual_seed(0)
    sizes = {
        f"{part}_{what}": n
        for part in ("encoder", "decoder")
        for what, n in {"layers": 1, "attention_heads": 2, "ffn_dim": 32}.items()
    }
    config = BartConfig(
        vocab_size=len(MARKS) + len(WORDS),
        d_model=32,
        max_position_embeddings=64,
        pad_token_id=0,
        bos_token_id=2,
        eos_token_id=3,
        decoder_start_token_id=2,
        **sizes,
    )
    tokenizer = bert_tokenizer()
    hf = HFObjects("bart", config, tokenizer, BartForQuestionAnswering(config), "scratch")
    task = QuestionAnswering(max_length=32, stride=8)
    raw = from_data(task.schema, facts)
    learner = task.learner(task.dataloaders(raw, hf, Loader(batch_size=8)), hf, raw=raw, metrics={})
    with learner.no_bar(), learner.no_logging():
        first = learner.validate()[0]
        learner.fit(3, 5e-3)
        assert learner.validate()[0] < first
        assert learner.predict(ITEM)[0]["answer"] in ITEM["context"]


def test_a_tokenizer_is_trained_on_each_context_once(facts):
    raw = from_data(QuestionAnswering.schema, [{**row, "question": f"{i}"} for i, row in enumerate(facts * 2)])
    contexts = [text for text in QuestionAnswering().corpus(raw) if "lives" in text]
    assert len(contexts) == len(set(contexts)) == len(set(raw.train["context"]))

"""What holds for any rows, found out on rows that nobody would think of: alignment, windows, buckets, splits, packs."""

from collections import Counter
from functools import cache, partial
from typing import Any

import datasets
import numpy as np
import torch
from hypothesis import HealthCheck, assume, given, reject, settings
from hypothesis import strategies as st

from blurr.data.splits import Splits, split_rows
from blurr.errors import InputError
from blurr.loading.bucketing import BatchSize, Buckets
from blurr.loading.dataloader import RowsDL
from blurr.text.inputs import TextCollator, TextRows, show_classification
from blurr.text.language_modeling.chunking import cut, joined, pieces
from blurr.text.language_modeling.packing import PACKED, kept_apart, packed, packs_of
from blurr.text.question_answering.rows import Answer, tokenize_questions
from blurr.text.scratch import train_tokenizer
from blurr.text.token_classification.words import align_labels, tokenize_words

# the same examples at each call, and few of them: `settings(max_examples=…)` finds more when asked to
few = partial(
    settings,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
CORPUS = ["the film was good and the plot was dull", "a café, naïve: 3.14 #tags https://x.org ¿qué?", "日本語 👋"] * 20
LETTERS = st.characters(exclude_categories=["Cs"])  # halves of surrogate pairs are refused where rows are read
USUAL = st.sampled_from(list("abcdefg éß.,-'\n\t日👋\u200b\u0301"))
WORD = st.text(USUAL | LETTERS, min_size=1, max_size=9)
TEXT = st.text(USUAL | LETTERS, min_size=1, max_size=80)
ARCHS = st.sampled_from(["bert", "gpt2", "t5"])  # pieces of words, bytes, pieces of sentences


@cache
def tokenizer_of(arch: str) -> Any:
    return train_tokenizer(arch, CORPUS, vocab_size=300)


# -- words


@few(max_examples=60)
@given(ARCHS, st.lists(st.lists(WORD, max_size=14), min_size=1, max_size=3), st.integers(6, 30), st.integers(0, 5))
def test_each_word_is_decided_once_in_its_order_by_a_token_of_its_own(arch, rows, max_length, stride):
    windows = tokenize_words(tokenizer_of(arch), rows, max_length=max_length, stride=stride)
    decided: list[list[int]] = [[] for _ in rows]
    for window in windows:
        assert len(window.ids) == len(window.words) == len(window.spans) <= max_length
        words = [word for word in window.words if word is not None]
        assert words == sorted(words)
        decided[window.row] += dict.fromkeys(words)
    assert decided == [list(range(len(row))) for row in rows]


@few(max_examples=60)
@given(ARCHS, st.lists(WORD, min_size=1, max_size=14), st.integers(8, 30), st.data())
def test_each_word_has_its_own_label_once(arch, row, max_length, data):
    names = ["O", "B-X", "I-X"]
    labels = data.draw(st.lists(st.sampled_from(names), min_size=len(row), max_size=len(row)))
    found = []
    for window in tokenize_words(tokenizer_of(arch), [row], max_length=max_length, stride=3):
        found += [names[label] for label in align_labels(window.words, labels, names) if label >= 0]
    assert found == labels


# -- answers


@st.composite
def question(draw) -> tuple[str, str, Answer]:
    context = draw(TEXT)
    start = draw(st.integers(0, len(context) - 1))
    end = draw(st.integers(start + 1, len(context)))
    assume(context[start:end].strip())
    return draw(TEXT), context, Answer(context[start:end], start)


def spans_of(columns: dict[str, Any], window: int) -> set[tuple[int, int]]:
    pairs = zip(columns["char_start"][window].tolist(), columns["char_end"][window].tolist(), strict=True)
    return {(start, end) for start, end in pairs if end > start}


@few(max_examples=80)
@given(ARCHS, question(), st.integers(24, 60), st.integers(0, 20))
def test_windows_cover_every_token_of_a_context(arch, asked, max_length, stride):
    ask, context, _ = asked
    given_to = partial(tokenize_questions, tokenizer_of(arch), [ask], [context], max_question_length=5)
    whole, columns = given_to(max_length=10_000), given_to(max_length=max_length, stride=stride)
    windows = range(len(columns["input_ids"]))
    assert all(len(columns["input_ids"][window]) <= max_length for window in windows)
    assert set().union(*(spans_of(columns, window) for window in windows)) == spans_of(whole, 0)


@few(max_examples=80)
@given(ARCHS, question(), st.integers(24, 60))
def test_an_answer_is_found_again_in_a_window_that_holds_it(arch, asked, max_length):
    ask, context, answer = asked
    columns = tokenize_questions(
        tokenizer_of(arch), [ask], [context], [[answer]], max_length=max_length, stride=10, max_question_length=5
    )
    start, end = answer.span
    held = 0
    for window in range(len(columns["input_ids"])):
        first, last = int(columns["first"][window]), int(columns["last"][window])
        if (first, last) == (columns["no_answer"][window],) * 2:
            continue
        held += 1
        places = np.arange(first, last + 1)
        from_, to = columns["char_start"][window], columns["char_end"][window]
        touched = [i for i in places if to[i] > start and from_[i] < end]
        assert touched[0] == first
        assert touched[-1] == last
        assert context[start:end][:1] in context[from_[first] : to[last]] or from_[first] > start
    tokens = [pair for pair in spans_of_whole(arch, context) if pair[1] > start and pair[0] < end]
    inside = spans_of_whole(arch, context)
    is_whole = inside and min(a for a, _ in inside) <= start and max(b for _, b in inside) >= end
    if tokens and is_whole and len(tokens) <= 5:
        assert held


def spans_of_whole(arch: str, context: str) -> set[tuple[int, int]]:
    return spans_of(tokenize_questions(tokenizer_of(arch), ["a"], [context], max_length=10_000), 0)


# -- batches

LENGTHS = st.lists(st.integers(0, 90), min_size=1, max_size=120)
SIZES = st.builds(BatchSize, st.integers(1, 12), st.none() | st.integers(1, 300))


@few(max_examples=100)
@given(LENGTHS, SIZES, st.integers(0, 3), st.integers(0, 3), st.booleans())
def test_each_row_is_in_one_batch_of_an_epoch_and_no_batch_is_too_large(lengths, size, seed, epoch, has_targets):
    given_lengths = np.array(lengths)
    if has_targets:
        given_lengths = np.stack([given_lengths, given_lengths[::-1]], axis=1)
    buckets = Buckets(given_lengths, size)
    for batches in (buckets.training(seed=seed, epoch=epoch), buckets.evaluation()):
        assert Counter(int(i) for batch in batches for i in batch) == Counter(range(len(lengths)))
        for batch in batches:
            rows = given_lengths[batch].reshape(len(batch), -1)
            if size.tokens is None:
                assert len(batch) <= size.rows
            else:
                assert len(batch) == 1 or len(batch) * rows.max(axis=0).sum() <= size.tokens
    again = Buckets(given_lengths, size).training(seed=seed, epoch=epoch)
    assert [list(batch) for batch in again] == [list(b) for b in buckets.training(seed=seed, epoch=epoch)]


@few(max_examples=25)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=40), st.integers(1, 6), st.integers(0, 2), st.data())
def test_a_pass_can_be_entered_at_any_batch(lengths, size, epoch, data):
    rows = TextRows({"input_ids": [[number] * n for number, n in enumerate(lengths, 1)]})

    def loader() -> RowsDL:
        collator = TextCollator(0)
        return RowsDL(rows, tokenizer=None, show_rows=show_classification, create_batch=collator, bs=size, shuffle=True)

    whole, entered = loader(), loader()
    whole.epoch = entered.epoch = epoch
    first = data.draw(st.integers(0, len(whole) - 1))
    entered.first = first
    every, rest = ([x["input_ids"] for x, _ in dl] for dl in (whole, entered))
    assert len(rest) == len(every) - first
    assert all(torch.equal(a, b) for a, b in zip(every[first:], rest, strict=True))
    assert Counter(int(i) for ids in every for i in ids[:, 0]) == Counter(range(1, len(lengths) + 1))


# -- splits

TABLE = st.lists(st.tuples(st.integers(0, 30), st.sampled_from("abc")), min_size=4, max_size=60)


def parts_of(table: list[tuple[int, str]], **way: Any) -> dict[str, list[int]]:
    columns = {"text": [str(t) for t, _ in table], "label": [label for _, label in table], "n": [*range(len(table))]}
    try:
        parts = split_rows(datasets.Dataset.from_dict(columns), Splits(**way), label="label", inputs=["text"])
    except InputError:  # too few rows for that many splits, which has tests of its own
        reject()
    return {name: part["n"][:] for name, part in parts.items()}


def is_partition(parts: dict[str, list[int]], rows: int) -> bool:
    return Counter(n for part in parts.values() for n in part) == Counter(range(rows))


@few(max_examples=60)
@given(
    TABLE,
    st.sampled_from(["random", "stratified", "group"]),
    st.floats(0.05, 0.5),
    st.floats(0, 0.4),
    st.integers(0, 5),
)
def test_splits_are_disjoint_and_complete_and_equal_texts_stay_together(table, by, valid, test, seed):
    parts = parts_of(table, by=by, column="label" if by == "group" else None, valid=valid, test=test, seed=seed)
    assert is_partition(parts, len(table))
    key = 1 if by == "group" else 0
    values = [{table[n][key] for n in part} for part in parts.values()]
    assert len(set().union(*values)) == sum(map(len, values))
    assert len(parts["valid"]) <= round(len(table) * valid) + 2  # each stratum is rounded for itself


@few(max_examples=40)
@given(st.lists(st.sampled_from("abc"), min_size=4, max_size=60), st.floats(0.1, 0.5), st.integers(0, 5))
def test_a_stratified_split_keeps_the_share_of_each_label(labels, valid, seed):
    parts = parts_of(list(enumerate(labels)), by="stratified", valid=valid, seed=seed)
    there, drawn = Counter(labels), Counter(labels[n] for n in parts["valid"])
    assert all(drawn[label] == round(count * valid) for label, count in there.items())


@few(max_examples=40)
@given(TABLE, st.integers(2, 5), st.integers(0, 5))
def test_each_row_is_for_validation_in_one_fold(table, folds, seed):
    found = [parts_of(table, by="kfold", folds=folds, fold=fold, seed=seed) for fold in range(folds)]
    assert all(is_partition(parts, len(table)) for parts in found)
    assert Counter(n for parts in found for n in parts["valid"]) == Counter(range(len(table)))


# -- packs and chunks

SEQUENCES = st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=12), min_size=1, max_size=30)


@few(max_examples=100)
@given(SEQUENCES, st.integers(12, 40))
def test_packs_hold_each_sequence_once_and_whole(sequences, capacity):
    packs = packs_of([len(each) for each in sequences], capacity)
    assert Counter(n for pack in packs for n in pack) == Counter(range(len(sequences)))
    assert all(sum(len(sequences[n]) for n in pack) <= capacity for pack in packs)
    columns = packed({"input_ids": sequences}, capacity)
    taken_apart = []
    for ids, places in zip(columns["input_ids"], columns[PACKED], strict=True):
        assert sorted(places) == places
        taken_apart += [[i for i, p in zip(ids, places, strict=True) if p == place] for place in dict.fromkeys(places)]
    assert Counter(map(tuple, taken_apart)) == Counter(map(tuple, sequences))


@few(max_examples=40)
@given(SEQUENCES, st.integers(12, 40), st.booleans())
def test_in_a_pack_no_text_sees_another_and_each_counts_from_its_own_beginning(sequences, capacity, causal):
    columns = packed({"input_ids": sequences}, capacity)
    inputs, _ = TextCollator(0)([{k: np.array(v[i]) for k, v in columns.items()} for i in range(len(columns[PACKED]))])
    apart = kept_apart(inputs, first_position=2, causal=causal)
    seen = apart["attention_mask"][:, 0] == 0  # (batch, sequence, sequence)
    numbers = inputs[PACKED]
    for row, places in zip(seen, numbers, strict=True):
        assert not row[places[:, None] != places].any()
        assert row.diagonal().all()
        assert not causal or not torch.triu(row, 1).any()
    for ids, places in zip(apart["position_ids"], numbers, strict=True):
        for place in set(places.tolist()) - {0}:
            assert ids[places == place].tolist() == list(range(2, 2 + int((places == place).sum())))


@few(max_examples=100)
@given(SEQUENCES, st.integers(3, 20), st.lists(st.just(0), max_size=2))
def test_chunks_lose_no_token_and_none_stands_alone(sequences, size, between):
    flat = joined(sequences, between)
    assert [i for i in flat.tolist() if i] == [i for each in sequences for i in each]
    for chunks, whole in (
        (cut(flat, size), flat.tolist()),
        (pieces(sequences, size), [i for s in sequences for i in s]),
    ):
        assert [i for chunk in chunks for i in chunk] == whole
        assert all(len(chunk) <= size for chunk in chunks)
    assert all(len(chunk) > 1 for chunk in cut(flat, size)) or len(flat) == 1

"""Batches of similar length: every row once, little padding, and one order per seed and epoch."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blurr.loading.bucketing import Batches, BatchSize, Buckets
from blurr.loading.dataloader import RowsDL
from blurr.text.inputs import TextRows

SIZES = st.builds(BatchSize, rows=st.integers(1, 40), tokens=st.none() | st.integers(1, 900))


def one_length(n: int = 4000) -> np.ndarray:
    return np.random.default_rng(0).integers(5, 120, size=n)


def two_lengths(n: int = 4000) -> np.ndarray:
    rng = np.random.default_rng(0)
    source = rng.integers(5, 60, size=n)
    return np.stack([source, np.maximum(source + rng.integers(-9, 9, size=n), 1)], axis=1)


def padding(lengths: np.ndarray, batches: list[np.ndarray]) -> float:
    lengths = lengths.reshape(len(lengths), -1)
    return 1 - lengths.sum() / sum(len(b) * lengths[b].max(axis=0).sum() for b in batches)


@given(st.lists(st.integers(1, 400), max_size=300), SIZES, st.integers(0, 5), st.integers(0, 5))
def test_an_epoch_and_an_evaluation_hold_every_row_once(lengths: list[int], size: BatchSize, seed: int, epoch: int):
    buckets = Buckets(np.array(lengths, dtype=np.int64), size)
    for batches in (buckets.training(seed=seed, epoch=epoch), buckets.evaluation()):
        assert sorted(int(i) for batch in batches for i in batch) == list(range(len(lengths)))
        assert all(len(batch) for batch in batches)


@given(st.lists(st.integers(1, 400), min_size=1, max_size=300), st.integers(1, 900))
def test_a_batch_stays_within_its_tokens_or_is_a_single_row(lengths: list[int], tokens: int):
    values = np.array(lengths, dtype=np.int64)
    for batch in Buckets(values, BatchSize(1, tokens)).training(seed=0, epoch=0):
        assert len(batch) == 1 or len(batch) * values[batch].max() <= tokens


def test_tokens_of_source_and_target_count_together():
    lengths = two_lengths()
    for batch in Buckets(lengths, BatchSize(1, 600)).training(seed=0, epoch=0):
        assert len(batch) == 1 or len(batch) * lengths[batch].max(axis=0).sum() <= 600


def test_an_order_depends_on_seed_and_epoch_alone():
    def order(seed: int, epoch: int) -> list[list[int]]:
        buckets = Buckets(one_length(500), BatchSize(8))
        return [batch.tolist() for batch in buckets.training(seed=seed, epoch=epoch)]

    assert order(1, 3) == order(1, 3)
    assert order(1, 3) != order(1, 4)
    assert order(1, 3) != order(2, 3)


@pytest.mark.parametrize("lengths", [one_length(), two_lengths()], ids=["one length", "source and target"])
def test_batches_of_sixteen_hold_little_padding_and_the_largest_comes_first(lengths: np.ndarray):
    batches = Buckets(lengths, BatchSize(16)).training(seed=0, epoch=0)
    assert padding(lengths, batches) < 0.04
    tokens = [len(b) * lengths.reshape(len(lengths), -1)[b].max(axis=0).sum() for b in batches]
    assert tokens[0] == max(tokens)


def test_an_incomplete_batch_comes_last():
    assert [len(b) for b in Buckets(one_length(37), BatchSize(8)).training(seed=0, epoch=0)] == [8, 8, 8, 8, 5]


def test_an_evaluation_begins_with_the_longest_rows():
    lengths = one_length(100)
    first, *_, last = Buckets(lengths, BatchSize(10)).evaluation()
    assert lengths[first].min() >= lengths[last].max()


def test_neither_length_nor_label_follows_the_position_in_an_epoch():
    lengths, labels = one_length(), np.random.default_rng(1).integers(0, 2, size=4000)
    orders = [np.concatenate(Buckets(lengths, BatchSize(16)).training(seed=0, epoch=e)) for e in range(20)]
    for values in (lengths, labels):
        assert abs(np.mean([np.corrcoef(np.arange(4000), values[order])[0, 1] for order in orders])) < 0.05


def test_rows_meet_other_rows_in_the_next_epoch():
    lengths = one_length()

    def neighbours(epoch: int) -> set[tuple[int, int]]:
        batches = Buckets(lengths, BatchSize(16)).training(seed=0, epoch=epoch)
        return {(int(a), int(b)) for batch in batches for a in batch for b in batch if a < b}

    first, second = neighbours(0), neighbours(1)
    assert len(first & second) / len(first) < 0.6


def digest(loader: RowsDL) -> str:
    assert np.array_equal(loader.get_idxs(), np.concatenate(list(loader.batches())))
    batches = (np.append(batch, -1).astype("<i8").tobytes() for batch in loader.batches())
    return hashlib.blake2b(b"".join(batches), digest_size=8).hexdigest()


@pytest.mark.parametrize(
    ("lengths", "tokens", "trained", "evaluated"),
    [
        (one_length(), None, "1e12c2dca4ed0c34", "280bc05b8574ffb2"),
        (one_length(), 600, "732d69a5d8c492c1", "06c0994748144424"),
        (two_lengths(), None, "fb7e9578528dd92e", "3c11f8b9f73db2f2"),
        (two_lengths(), 600, "e83ff313b1de26e5", "1980753b6dd2ed13"),
    ],
    ids=["rows", "tokens", "rows with targets", "tokens with targets"],
)
def test_runs_that_began_with_earlier_versions_go_on_with_the_same_batches(lengths, tokens, trained, evaluated):
    rows = TextRows({"input_ids": [[1]] * len(lengths)})
    options = {"tokenizer": None, "show_rows": None, "lengths": lengths, "seed": 3, "bs": 16, "max_tokens": tokens}
    loader = RowsDL(rows, shuffle=True, **options)
    loader.epoch = 2
    assert digest(loader) == trained
    assert digest(loader.new(shuffle=False)) == evaluated


def test_a_batch_that_is_too_small_is_joined_with_its_neighbour():
    batches = Batches.cut(np.arange(9)[::-1], np.array([1, 4, 5, 8, 9]))
    assert [batch.tolist() for batch in batches.joined(2)] == [[8, 7, 6, 5, 4], [3, 2, 1, 0]]

"""Batches of similar length: every row once, little padding, and one order per seed and epoch."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from blurr.data.batching import IGNORED, Loader, PaddingCollator, TokenizedRows, bucketed_order, by_row, in_order


def rows(lengths: list[int], *, labels: bool = False) -> TokenizedRows:
    columns: dict = {"input_ids": [list(range(1, n + 1)) for n in lengths]}
    if labels:
        columns["labels"] = [[7] * (n // 2 + 1) for n in lengths]
    return TokenizedRows(columns)


@given(st.lists(st.integers(1, 400), max_size=300), st.integers(1, 40), st.integers(0, 5), st.integers(0, 5))
def test_an_order_holds_every_row_once(lengths: list[int], size: int, seed: int, epoch: int):
    order = bucketed_order(np.array(lengths, dtype=int), size, seed=seed, epoch=epoch)
    assert sorted(order.tolist()) == list(range(len(lengths)))


def test_an_order_depends_on_seed_and_epoch_alone():
    lengths = np.arange(500) % 37
    first = bucketed_order(lengths, 8, seed=1, epoch=3).tolist()
    assert first == bucketed_order(lengths, 8, seed=1, epoch=3).tolist()
    assert first != bucketed_order(lengths, 8, seed=1, epoch=4).tolist()
    assert first != bucketed_order(lengths, 8, seed=2, epoch=3).tolist()


def test_batches_hold_rows_of_similar_length_and_the_longest_comes_first():
    lengths = np.random.default_rng(0).integers(5, 120, size=2000)
    order = bucketed_order(lengths, 16, seed=0, epoch=0)
    parts = [lengths[order[i : i + 16]] for i in range(0, 2000, 16)]
    padding = 1 - lengths.sum() / sum(len(p) * p.max() for p in parts)
    assert padding < 0.04
    assert parts[0].max() == lengths.max()


def test_neither_length_nor_label_follows_the_position_in_an_epoch():
    rng = np.random.default_rng(0)
    lengths, labels = rng.integers(5, 120, size=4000), rng.integers(0, 2, size=4000)
    position = np.arange(4000)
    for epoch in range(5):
        order = bucketed_order(lengths, 16, seed=0, epoch=epoch)
        assert abs(np.corrcoef(position, lengths[order])[0, 1]) < 0.1
        assert abs(np.corrcoef(position, labels[order])[0, 1]) < 0.05


def test_padding_goes_to_the_right_or_left_and_is_masked():
    batch, _ = PaddingCollator(0)([rows([1, 3])[i] for i in range(2)])
    assert batch["input_ids"].tolist() == [[1, 0, 0], [1, 2, 3]]
    assert batch["attention_mask"].tolist() == [[1, 0, 0], [1, 1, 1]]
    batch, _ = PaddingCollator(0, padding_side="left")([rows([1, 3])[i] for i in range(2)])
    assert batch["input_ids"].tolist() == [[0, 0, 1], [1, 2, 3]]
    assert batch["attention_mask"].tolist() == [[0, 0, 1], [1, 1, 1]]


def test_padded_lengths_are_multiples():
    batch, _ = PaddingCollator(0, pad_to_multiple_of=8)([rows([3, 9])[i] for i in range(2)])
    assert batch["input_ids"].shape == (2, 16)


def test_targets_are_padded_with_what_losses_ignore():
    batch, targets = PaddingCollator(0)([rows([1, 4], labels=True)[i] for i in range(2)])
    assert targets.tolist() == [[7, IGNORED, IGNORED], [7, 7, 7]]
    assert torch.equal(batch["labels"], targets)


@pytest.mark.parametrize(
    ("labels", "dtype", "shape"),
    [([1, 0], torch.int64, (2,)), ([0.5, 2.0], torch.float32, (2,)), ([[1.0, 0.0], [1.0, 1.0]], torch.float32, (2, 2))],
    ids=["classes", "numbers", "several labels"],
)
def test_labels_of_every_kind_become_tensors(labels: list, dtype: torch.dtype, shape: tuple[int, ...]):
    data = TokenizedRows({"input_ids": [[1], [1, 2]], "labels": labels})
    _, targets = PaddingCollator(0)([data[0], data[1]])
    assert targets.dtype == dtype
    assert targets.shape == shape


def test_rows_and_collator_work_in_a_plain_torch_loader():
    data = rows([3, 1, 2], labels=True)
    batches = list(DataLoader(data, batch_size=2, collate_fn=PaddingCollator(0)))
    assert [b[0]["input_ids"].shape for b in batches] == [(2, 3), (1, 2)]


def test_a_row_without_tokens_is_all_padding():
    batch, _ = PaddingCollator(0)([rows([0, 2])[i] for i in range(2)])
    assert batch["attention_mask"].tolist() == [[0, 0], [1, 1]]


def test_values_return_to_the_rows_they_come_from():
    assert in_order([2, 0, 1], ["c", "a", "b"]) == ["a", "b", "c"]
    windows = TokenizedRows({"input_ids": [[1]] * 4, "row": [0, 0, 2, 2]})
    assert by_row(windows, ["a", "b", "c", "d"], 3) == [["a", "b"], [], ["c", "d"]]


def test_evaluation_batches_are_twice_as_large_unless_told():
    assert Loader(batch_size=8).rows_in_evaluation == 16
    assert Loader(batch_size=8, eval_batch_size=5).rows_in_evaluation == 5


def test_empty_rows_keep_their_labels_names():
    assert TokenizedRows({"input_ids": [[1]]}, ["a", "b"]).new_empty().vocab == ["a", "b"]

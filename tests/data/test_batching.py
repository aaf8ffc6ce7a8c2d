"""Batches of similar length: every row once, little padding, and one order per seed and epoch."""

import pytest
import torch
from torch.utils.data import DataLoader

from blurr.loading.loader import Loader
from blurr.loading.rows import IGNORED, by_row, in_order
from blurr.text.inputs import TextCollator, TextRows


def rows(lengths: list[int], *, labels: bool = False) -> TextRows:
    columns: dict = {"input_ids": [list(range(1, n + 1)) for n in lengths]}
    if labels:
        columns["labels"] = [[7] * (n // 2 + 1) for n in lengths]
    return TextRows(columns)


def test_padding_goes_to_the_right_or_left_and_is_masked():
    batch, _ = TextCollator(0)([rows([1, 3])[i] for i in range(2)])
    assert batch["input_ids"].tolist() == [[1, 0, 0], [1, 2, 3]]
    assert batch["attention_mask"].tolist() == [[1, 0, 0], [1, 1, 1]]
    batch, _ = TextCollator(0, padding_side="left")([rows([1, 3])[i] for i in range(2)])
    assert batch["input_ids"].tolist() == [[0, 0, 1], [1, 2, 3]]
    assert batch["attention_mask"].tolist() == [[0, 0, 1], [1, 1, 1]]


def test_padded_lengths_are_multiples():
    batch, _ = TextCollator(0, pad_to_multiple_of=8)([rows([3, 9])[i] for i in range(2)])
    assert batch["input_ids"].shape == (2, 16)


def test_targets_are_padded_with_what_losses_ignore():
    batch, targets = TextCollator(0)([rows([1, 4], labels=True)[i] for i in range(2)])
    assert targets.tolist() == [[7, IGNORED, IGNORED], [7, 7, 7]]
    assert torch.equal(batch["labels"], targets)


@pytest.mark.parametrize(
    ("labels", "dtype", "shape"),
    [([1, 0], torch.int64, (2,)), ([0.5, 2.0], torch.float64, (2,)), ([[1.0, 0.0], [1.0, 1.0]], torch.float32, (2, 2))],
    ids=["classes", "numbers", "several labels"],
)
def test_labels_of_every_kind_become_tensors(labels: list, dtype: torch.dtype, shape: tuple[int, ...]):
    data = TextRows({"input_ids": [[1], [1, 2]], "labels": labels})
    _, targets = TextCollator(0)([data[0], data[1]])
    assert targets.dtype == dtype
    assert targets.shape == shape


def test_rows_and_collator_work_in_a_plain_torch_loader():
    data = rows([3, 1, 2], labels=True)
    batches = list(DataLoader(data, batch_size=2, collate_fn=TextCollator(0)))
    assert [b[0]["input_ids"].shape for b in batches] == [(2, 3), (1, 2)]


def test_a_row_without_tokens_is_all_padding():
    batch, _ = TextCollator(0)([rows([0, 2])[i] for i in range(2)])
    assert batch["attention_mask"].tolist() == [[0, 0], [1, 1]]


def test_values_return_to_the_rows_they_come_from():
    assert in_order([2, 0, 1], ["c", "a", "b"]) == ["a", "b", "c"]
    windows = TextRows({"input_ids": [[1]] * 4, "row": [0, 0, 2, 2]})
    assert by_row(windows, ["a", "b", "c", "d"], 3) == [["a", "b"], [], ["c", "d"]]


def test_evaluation_batches_are_twice_as_large_unless_told():
    assert Loader(batch_size=8).size(train=False).rows == 16
    assert Loader(batch_size=8, eval_batch_size=5).size(train=False).rows == 5


def test_empty_rows_keep_their_labels_names():
    assert TextRows({"input_ids": [[1]]}, ["a", "b"]).new_empty().vocab == ["a", "b"]

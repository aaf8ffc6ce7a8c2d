"""Rows of a split that stay on the disk are described as those in memory are."""

from pathlib import Path

import pytest
from every_task import TASKS, objects_of

from blurr.loading import rows_on_disk
from blurr.loading.loader import Loader
from blurr.loading.rows_on_disk import RowsOnDisk
from blurr.tasks import evaluating
from blurr.text.modeling.all import CausalLM

CASES = {name: (name, task) for name, task in TASKS.items()} | {"joined": ("causal_lm", CausalLM(block_size=12))}


@pytest.mark.parametrize(("name", "task"), CASES.values(), ids=CASES)
def test_every_task_describes_the_same_rows(name: str, task, tiny_bert: Path, tiny_bart: Path, monkeypatch):
    raw, hf = objects_of(name, tiny_bert, tiny_bart)
    dls = task.dataloaders(raw, hf, Loader(batch_size=2, cache=False))
    learner = task.learner(dls, hf, raw=raw, metrics={})
    whole = task.evaluate(learner, raw)
    monkeypatch.setattr(rows_on_disk, "MANY", 1)
    monkeypatch.setattr(evaluating, "AT_ONCE", 2)
    parts = task.evaluate(learner, raw)
    assert isinstance(parts.rows, RowsOnDisk)
    assert [*parts.rows] == whole.rows
    assert (parts.metrics, parts.intervals, parts.doubts) == (whole.metrics, whole.intervals, whole.doubts)


def test_rows_on_the_disk_are_those_that_were_written(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("BLURR_CACHE", str(tmp_path))
    rows, given = RowsOnDisk(), [{"text": "ä\n", "n": float(n), "list": [n]} for n in range(7)]
    rows.extend(given[:3])
    assert rows[1] == given[1]
    rows.extend(given[3:])
    assert [*rows] == rows[:] == given
    assert (rows[-1], rows[2:4], len(rows)) == (given[-1], given[2:4], 7)
    assert not list(tmp_path.iterdir())
    with pytest.raises(IndexError):
        rows[7]


def test_where_the_cache_cannot_be_written_described_rows_stay_in_memory(tmp_path: Path, monkeypatch, caplog):
    (tmp_path / "cache").write_text("a file where the folder should be")
    monkeypatch.setenv("BLURR_CACHE", str(tmp_path / "cache"))
    assert rows_on_disk.room_for(rows_on_disk.MANY) == []
    assert "kept in memory" in caplog.text

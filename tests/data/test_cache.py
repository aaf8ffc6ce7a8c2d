"""Tokenized rows on disk: what was made once is found again, and only where nothing that it is made of has changed."""

import os
import random
import re
import time
from pathlib import Path

import numpy as np
import pytest
from forked import Forked, code

from blurr.loading import cache
from blurr.loading.columns import Ragged, as_column

COLUMNS = {"input_ids": [[1, 2, 3], [], [4]], "label": [0, 1, 2], "scores": [[0.5, 1.0]] * 3}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BLURR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def fail() -> dict:
    raise AssertionError("it was there already")


def test_what_was_made_once_is_read_again_as_it_was():
    cache.cached("ab" * 16, "rows", lambda: [COLUMNS])
    found = cache.cached("ab" * 16, "rows", fail)
    assert [row.tolist() for row in found["input_ids"]] == COLUMNS["input_ids"]
    assert found["label"].tolist() == [0, 1, 2]
    assert found["scores"].dtype == np.float32
    assert found["scores"].tolist() == COLUMNS["scores"]


def test_a_column_of_nothing_but_empty_rows_is_kept_too():
    cache.cached("ab" * 16, "rows", lambda: [{"input_ids": [[], []]}])
    assert [len(row) for row in cache.cached("ab" * 16, "rows", fail)["input_ids"]] == [0, 0]


@pytest.mark.parametrize("harm", ["cut", "gone", "no list"])
def test_an_entry_that_a_crash_left_broken_is_made_again(folder: Path, harm: str):
    cache.cached("ab" * 16, "rows", lambda: [COLUMNS])
    part = next(folder.glob("*/*/input_ids.flat.npy"))
    if harm == "cut":
        part.write_bytes(part.read_bytes()[:60])
    elif harm == "gone":
        part.unlink()
    else:
        (part.parent / cache.ABOUT).write_text("{")
    assert cache.cached("ab" * 16, "rows", lambda: [COLUMNS])["label"].tolist() == [0, 1, 2]
    assert cache.cached("ab" * 16, "rows", fail)["label"].tolist() == [0, 1, 2]


def test_a_flipped_bit_of_any_file_is_found_and_the_rows_are_made_anew(folder: Path, caplog):
    cache.cached("ab" * 16, "rows", lambda: [COLUMNS])
    names = sorted(path.name for path in folder.glob("*/*/*"))
    assert {"about.json", "checksums.json", "input_ids.flat.npy", "label.values.npy"} <= set(names)
    rng = random.Random(0)
    for name in names:
        (file,) = folder.glob(f"*/*/{name}")
        changed = bytearray(file.read_bytes())
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        file.write_bytes(changed)
        caplog.clear()
        found = cache.cached("ab" * 16, "rows", lambda: [COLUMNS])
        assert [row.tolist() for row in found["input_ids"]] == COLUMNS["input_ids"]
        assert "The tokenized rows are made anew: " in caplog.text
        assert name in caplog.text
        cache.cached("ab" * 16, "rows", fail)


def test_an_entry_is_on_the_disk_before_it_has_its_name(folder: Path, monkeypatch):
    done = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (done.append(os.readlink(f"/proc/self/fd/{file}")), fsync(file)))
    monkeypatch.setattr(os, "replace", lambda old, new: (done.append(new), replace(old, new))[1])
    cache.cached("ab" * 16, "rows", lambda: [COLUMNS])
    named = next(i for i, path in enumerate(done) if isinstance(path, Path) and path.is_dir())
    flushed = {re.sub(r"^\.(.*)\.\w{8}\.part$", r"\1", Path(path).name) for path in done[:named]}
    assert {path.name for path in folder.glob("*/*/*")} <= flushed
    assert Path(done[-1]) == done[named].parent


def test_a_disk_that_cannot_be_written_costs_a_warning_and_not_the_run(folder: Path, caplog):
    folder.write_text("a file where the folder should be")
    assert len(cache.cached("ab" * 16, "rows", lambda: [COLUMNS])["input_ids"]) == 3
    assert "could not be kept" in caplog.text


def test_processes_that_make_the_same_rows_do_not_harm_each_other(folder: Path):
    program = (
        "from blurr.loading.cache import cached\n"
        "for i in range(20):\n"
        "    made = cached(f'{i:032d}', 'rows', lambda: [{'input_ids': [[i] * 50] * 2000}])\n"
        "    assert made['input_ids'][1999].tolist() == [i] * 50\n"
    )
    processes = [Forked(code, program, cwd=folder.parent) for _ in range(3)]
    assert [process.communicate()[1] for process in processes] == [""] * 3
    assert len(cache.entries()) == 20
    assert not list(folder.glob("*/.*"))


def test_prune_deletes_what_is_old_and_then_what_does_not_fit(folder: Path):
    for i in range(3):
        cache.cached(f"{i:032d}", f"rows {i}", lambda: [{"input_ids": [[1] * 1000] * 100}])
        then = time.time() - 86_400 * 10 * i
        os.utime(next(folder.glob(f"*/{i:032d}/{cache.ABOUT}")), (then, then))
    assert [entry.about for entry in cache.entries()] == ["rows 0", "rows 1", "rows 2"]
    assert [entry.about for entry in cache.prune(days=15)] == ["rows 2"]
    assert [entry.about for entry in cache.prune(gigabytes=5e-4)] == ["rows 1"]
    assert [entry.about for entry in cache.entries()] == ["rows 0"]


def test_columns_become_flat_arrays():
    column = as_column([[1, 2], [], [3]])
    assert isinstance(column, Ragged)
    assert (column.flat.tolist(), column.lengths.tolist()) == ([1, 2, 3], [2, 0, 1])
    assert as_column(column) is column


def test_a_broken_entry_is_listed_and_can_be_cleared(folder: Path):
    cache.cached("ab" * 16, "rows", lambda: [COLUMNS])
    (folder / "ab" / ("ab" * 16) / cache.ABOUT).write_text("{")
    assert [entry.about for entry in cache.entries()] == ["a broken entry"]
    cache.prune(days=0)
    assert not cache.entries()


def test_the_command_lists_and_clears(blurr, folder: Path):
    cache.cached("ab" * 16, "Task bert, train of rows.csv", lambda: [COLUMNS])
    environment = {"BLURR_CACHE": str(folder)}
    assert "Task bert, train of rows.csv: 3 rows" in blurr("cache", "ls", **environment).stdout
    assert blurr("cache", "prune", "--days", "1", **environment).returncode == 0
    assert len(cache.entries()) == 1
    assert "abababababab" in blurr("cache", "clear", **environment).stdout
    assert cache.entries() == []

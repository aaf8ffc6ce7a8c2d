"""What the tree of errors promises: which failure is whose, and the near-miss hint of messages."""

import errno
import re
import resource
import sqlite3
import sys
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from pathlib import Path

import numpy as np
import pytest
import requests
import torch
from fastai.callback.core import Callback
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import save_file

from blurr.config import explain
from blurr.errors import (
    InputError,
    ResourceError,
    dispensable,
    is_full_disk,
    is_no_answer,
    is_out_of_memory,
    nearest,
    resource_error,
    writing,
)


@pytest.mark.parametrize(
    ("word", "options", "hint"),
    [
        ("brt", ["bart", "t5"], " Did you mean 'bart'?"),
        ("BART", ["bart", "t5"], " Did you mean 'bart'?"),
        ("rougel", ["rougeL", "accuracy"], " Did you mean 'rougeL'?"),
        ("zzz", ["bart", "t5"], ""),
        ("bart", [], ""),
        (16, ["32", "160"], " Did you mean '160'?"),
    ],
    ids=["typo", "case", "case_of_option", "nothing_close", "no_options", "number"],
)
def test_the_nearest_option_is_named_when_one_is_near(word, options, hint):
    assert nearest(word, options) == hint


def test_an_input_error_is_a_value_error_and_a_resource_error_is_not():
    assert issubclass(InputError, ValueError)
    assert not issubclass(ResourceError, ValueError)


@contextmanager
def limited(kind: int, size: int) -> Iterator[None]:
    """Let this process write files, or hold data, of so many bytes."""
    soft, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(kind, (soft, hard))


def raised(action) -> BaseException:
    with pytest.raises(Exception) as caught:  # noqa: PT011  # whatever a library makes of it
        action()
    return caught.value


# -- real failures, as the libraries that blurr writes and computes with report them

DEMANDS = {
    "Python": lambda: bytearray(2**40),
    "numpy": lambda: np.ones(2**37),
    "torch": lambda: torch.ones(2**37),
}


@pytest.mark.parametrize("demand", DEMANDS.values(), ids=DEMANDS)
def test_memory_that_does_not_suffice_is_recognised(demand):
    with limited(resource.RLIMIT_DATA, 2**37):
        error = raised(demand)
    assert is_out_of_memory(error)
    assert not is_full_disk(error)
    assert re.match("Out of memory: .*Lower the batch size", str(resource_error(error)))


WORDS_OF_MEMORY = {
    "CUDA": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    "a kernel": RuntimeError("CUDA error: out of memory"),
    "cuBLAS": RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    "C++": RuntimeError("std::bad_alloc"),
    "the system": OSError(errno.ENOMEM, "Cannot allocate memory"),
}


@pytest.mark.parametrize("error", WORDS_OF_MEMORY.values(), ids=WORDS_OF_MEMORY)
def test_each_kind_of_memory_error_is_one(error):
    assert is_out_of_memory(error)


def fill_sqlite(folder: Path) -> None:
    with sqlite3.connect(folder / "a.db") as database:
        database.execute("create table if not exists t (x)")
        database.executemany("insert into t values (?)", [("a" * 1000,)] * 100)


WRITES = {
    "Python": lambda folder: (folder / "a.txt").write_text("a" * 20_000),
    "a full device": lambda folder: Path("/dev/full").write_text("a"),
    "torch": lambda folder: torch.save(torch.ones(10_000), folder / "a.pt"),
    "safetensors": lambda folder: save_file({"a": torch.ones(10_000)}, folder / "a.safetensors"),
    "numpy": lambda folder: np.save(folder / "a.npy", np.ones(10_000)),
    "SQLite": fill_sqlite,
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_full_disk_is_answered_whichever_library_writes(write, tmp_path: Path):
    with limited(resource.RLIMIT_FSIZE, 9000):
        error = raised(lambda: write(tmp_path))
        with pytest.raises(ResourceError, match=r"cannot be written: .*\. Make room"), writing(tmp_path):
            write(tmp_path)
    assert not is_out_of_memory(error)


def test_a_folder_that_is_a_file_cannot_be_written(tmp_path: Path):
    (tmp_path / "a").write_text("")
    with pytest.raises(ResourceError, match="Choose another"), writing(tmp_path / "a" / "b", "Choose another."):
        (tmp_path / "a" / "b").mkdir()


def test_what_has_nothing_to_do_with_the_disk_passes():
    with pytest.raises(KeyError, match="x"), writing("a"):
        raise KeyError("x")


def test_what_a_run_can_do_without_is_a_warning_and_what_ends_the_process_passes(caplog):
    with dispensable("The report", "To make it: blurr report"):
        raise ValueError("no such colour")
    assert caplog.messages == ["The report was not made: ValueError: no such colour. To make it: blurr report"]
    with dispensable("The report", "Make it."):
        raise ResourceError("The disk is full.")
    assert caplog.messages[1] == "The report was not made: The disk is full. Make it."
    with pytest.raises(SystemExit), dispensable("The report", ""):
        raise SystemExit(143)


def http(code: int) -> urllib.error.HTTPError:
    return urllib.error.HTTPError("http://x", code, "no", Message(), None)


NO_ANSWERS = {
    "refused": (lambda: requests.get("http://127.0.0.1:9", timeout=3), True),
    "busy": (lambda: requests_answer(503), True),
    "too many": (lambda: requests_answer(429), True),
    "not there": (lambda: requests_answer(404), False),
    "forbidden": (lambda: requests_answer(401), False),
    "urllib": (lambda: urllib.request.urlopen("http://127.0.0.1:9"), True),
    "not in the cache": (lambda: throw(LocalEntryNotFoundError("no")), True),
    "a missing file": (lambda: Path("/nowhere").read_text(), False),
}


def throw(error: Exception) -> None:
    raise error


def requests_answer(code: int) -> None:
    response = requests.Response()
    response.status_code = code
    response.raise_for_status()


@pytest.mark.parametrize(("ask", "expected"), NO_ANSWERS.values(), ids=NO_ANSWERS)
def test_no_answer_is_told_from_a_refusal(ask, expected: bool):
    assert is_no_answer(raised(ask)) == expected


# -- what the command line makes of them


class Raises(Callback):
    def __init__(self, error: Exception) -> None:
        self.error = error

    def before_fit(self) -> None:
        raise self.error


def of_fastai(error: Exception) -> BaseException:
    """What comes out of fastai where a callback raises."""
    callback = Raises(error)
    callback.learn = None
    return raised(lambda: callback("before_fit"))


def of_hydra(error: Exception) -> BaseException:
    """What comes out of Hydra where a target raises."""
    from hydra.utils import instantiate

    return raised(lambda: instantiate({"_target_": f"{__name__}.throw", "error": None, "_partial_": True})(error=error))


def wrapped(error: Exception) -> BaseException:
    outer = RuntimeError("Error in call to target")
    outer.__cause__ = error
    return outer


ERRORS = {
    "a mistake": (InputError("the column x is missing"), 2, "the column x is missing"),
    "the machine": (ResourceError("MLflow is gone"), 1, "MLflow is gone"),
    "memory": (MemoryError(), 1, "Out of memory: MemoryError. Lower"),
    "disk": (OSError(errno.ENOSPC, "No space left on device", "a.txt"), 1, "a.txt cannot be written"),
}


@pytest.mark.parametrize(
    "door", [lambda error: error, wrapped, of_fastai, of_hydra], ids=["bare", "wrapped", "fastai", "hydra"]
)
@pytest.mark.parametrize(("error", "code", "says"), ERRORS.values(), ids=ERRORS)
def test_one_message_and_the_exit_code_of_its_kind(error, code: int, says: str, door, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["blurr"])
    with pytest.raises(SystemExit) as left, explain.Answering():
        raise door(error)
    said = capsys.readouterr().err
    assert left.value.code == code
    assert says in said
    assert "Traceback" not in said


BUGS = {
    "a bug": KeyError("labels"),
    "a library's value error": ValueError("y contains previously unseen labels"),
    "a service of the user's code": ConnectionError("my service is down"),
    "a file of the user's code": FileNotFoundError(errno.ENOENT, "No such file or directory", "mine.txt"),
}


@pytest.mark.parametrize("error", BUGS.values(), ids=BUGS)
def test_everything_else_keeps_its_traceback(error, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["blurr"])
    with pytest.raises(SystemExit) as left, explain.Answering():
        raise error
    assert left.value.code == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_traceback_is_shown_of_a_mistake_where_it_is_asked_for(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["blurr", "debug=traceback"])
    with pytest.raises(SystemExit) as left, explain.Answering():
        raise ResourceError("MLflow is gone")
    assert left.value.code == 1
    assert "Traceback" in capsys.readouterr().err


def test_the_trace_of_a_bug_begins_with_the_job_whatever_its_name(capsys, monkeypatch):
    @explain.job
    def renamed() -> None:
        raise KeyError("inside")

    def library() -> None:
        renamed()

    monkeypatch.setattr(sys, "argv", ["blurr"])
    with pytest.raises(SystemExit), explain.Answering():
        library()
    said = capsys.readouterr().err
    assert "renamed" in said
    assert "in library" not in said

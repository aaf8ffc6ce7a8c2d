"""`loader.batch_size=auto` finds a size that fits, and leaves no trace of the search."""

import json
from pathlib import Path

import pytest
import running
import torch
from fastai.callback.core import Callback
from safetensors.torch import load_file

from blurr.errors import InputError, ResourceError, is_out_of_memory
from blurr.loading.loader import Loader
from blurr.text.modeling.all import BlearnerForSequenceClassification
from blurr.training import batch_size
from blurr.training.batch_size import find_batch_size
from blurr.training.state import random_state

CUDA = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
CPU = RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes.")
ROWS = [{"text": f"the film was {'good' if i % 2 else 'bad'} {'a plot ' * (i % 7)}", "label": i % 2} for i in range(80)]


class Memory(Callback):
    """A memory that holds so many rows."""

    def __init__(self, rows: int, error: Exception, seen: list[tuple[int, int]]) -> None:
        self.rows, self.error, self.seen = rows, error, seen

    def after_pred(self) -> None:
        self.seen.append(tuple(self.learn.xb[0]["input_ids"].shape))
        if len(self.learn.y) > self.rows:
            raise self.error


def learners(folder: Path, rows: int, error: Exception, seen: list[tuple[int, int]]):
    learn = BlearnerForSequenceClassification.from_data(ROWS, str(folder), dl_kwargs={"bs": 1})
    learn.unfreeze()

    def learner_of(size: int):
        learn.dls.loaders[0] = learn.dls.train.new(bs=size, shuffle=False)
        learn.cbs = learn.cbs.filter(lambda each: not isinstance(each, Memory | batch_size.OneStep))
        learn.add_cb(Memory(rows, error, seen))
        return learn

    return learn, learner_of


@pytest.mark.parametrize(
    ("error", "holds", "found"),
    [(CUDA, 100, 8), (CUDA, 4, 4), (CUDA, 3, 2), (CUDA, 1, 1), (CPU, 3, 2), (MemoryError(), 3, 2)],
    ids=["all", "4 rows", "3 rows", "1 row", "CPU", "Python"],
)
@pytest.mark.slow
def test_the_size_is_halved_until_it_fits_and_nothing_is_changed(tiny_bert: Path, error, holds: int, found: int):
    seen: list[tuple[int, int]] = []
    learn, learner_of = learners(tiny_bert, holds, error, seen)
    before = {name: value.clone() for name, value in learn.model.state_dict().items()}
    random = random_state()
    assert find_batch_size(learner_of, 128) == found
    after = learn.model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert all(weight.grad is None for weight in learn.model.parameters())
    now = random_state()
    assert (now["python"], now["numpy"][2:]) == (random["python"], random["numpy"][2:])
    assert torch.equal(now["torch"], random["torch"])
    assert [rows for rows, _ in seen] == [8 >> i for i in range(len(seen))]
    assert {tokens for _, tokens in seen} == {max(tokens for _, tokens in seen)}  # the longest rows, each time


def test_one_row_that_does_not_fit_is_a_failure_of_the_machine(tiny_bert: Path):
    _, learner_of = learners(tiny_bert, 0, CUDA, [])
    with pytest.raises(ResourceError, match=r"a batch of one row does not fit\. Lower task\.max_length"):
        find_batch_size(learner_of, 32)


def test_another_error_is_not_taken_for_one_of_memory(tiny_bert: Path):
    assert not is_out_of_memory(RuntimeError("expected a scalar"))
    _, learner_of = learners(tiny_bert, 0, RuntimeError("expected a scalar"), [])
    with pytest.raises(RuntimeError, match="expected a scalar"):
        find_batch_size(learner_of, 32)


@pytest.mark.parametrize(("rows", "size"), [(1, 1), (31, 1), (32, 2), (1000, 32), (2047, 64), (1_000_000, 128)])
def test_it_begins_with_a_power_of_two_that_leaves_steps_enough(rows: int, size: int, tiny_bert: Path, monkeypatch):
    tried: list[int] = []
    monkeypatch.setattr(batch_size, "_fits", lambda learner: True)
    assert find_batch_size(lambda n: tried.append(n), rows) == size == tried[0]


def test_a_size_that_is_not_found_yet_is_no_size():
    with pytest.raises(InputError, match="batch_size=auto works only in the training of `blurr run`"):
        Loader(batch_size="auto").size(train=True)


def run(folder: Path, *words: str) -> None:
    running.run(folder, *words, usual=("data.rows=96", *running.TINY_BERT))


STOP = "+callbacks.stopper={_target_: stopping.StopAt}"
WORDS = ["schedule.epochs=1", "callbacks=[ema,gradient_checkpointing]", "checkpoint.every_steps=3"]


def test_a_run_with_the_size_found_equals_one_with_that_size_given(work: Path, store_uri: str, client):
    run(work / "auto", *WORDS, "loader.batch_size=auto", f"tracking.uri={store_uri}")
    journal = json.loads((work / "auto" / "run.json").read_text())
    data = client.get_run(journal["run_id"]).data
    assert data.params["loader.batch_size"] == "auto"
    size = data.params["found.batch_size"]
    assert size == data.tags["blurr.batch_size"] == "4"
    run(work / "given", *WORDS, f"loader.batch_size={size}", "tracking=none")
    auto, given = (load_file(work / name / "model" / "model.safetensors") for name in ("auto", "given"))
    assert all(torch.equal(auto[name], given[name]) for name in given)
    assert (work / "auto" / "metrics.json").read_text() == (work / "given" / "metrics.json").read_text()


def test_a_resumed_run_goes_on_with_the_size_that_was_found(work: Path, monkeypatch):
    from stopping import StopAt

    words = [*WORDS, STOP, "loader.batch_size=auto", "tracking=none"]
    monkeypatch.setattr(StopAt, "batch", 8)
    with pytest.raises(RuntimeError, match="the power is gone"):
        run(work / "out", *words)
    monkeypatch.setattr(StopAt, "batch", 0)
    monkeypatch.setattr("blurr.tasks.parts.find_batch_size", None)  # not called: the size is in the checkpoint
    run(work / "out", *words, "resume=auto")
    assert json.loads((work / "out" / "run.json").read_text())["tags"]["blurr.batch_size"] == "4"


def test_two_ways_to_say_how_much_makes_a_batch_are_refused(work: Path):
    with pytest.raises(InputError, match="both say how much makes a batch"):
        run(work / "out", "loader.batch_size=auto", "loader.max_tokens=100", "tracking=none")

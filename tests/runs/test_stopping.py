"""What a run says when a signal stops it: how far it came, and the command that goes on with it."""

import logging
import os
import signal
from pathlib import Path

import pytest
import running
from stopping import StopAt

from blurr.process.signals import Interrupted
from blurr.tasks import results

STOPPER = "+callbacks.stopper={_target_: stopping.StopAt}"
WORDS = [
    *("data.rows=120", "loader.batch_size=8", "schedule=fine_tune", "schedule.epochs=2", "tracking=none"),
    *("callbacks=[gradient_accumulation]", "callbacks.gradient_accumulation.batches=2", *running.TINY_BERT),
]


@pytest.fixture
def stopped(work: Path, caplog, monkeypatch):
    """Run until a signal arrives at a batch; return the last line that is logged."""

    def run(*words: str, batch: int = 0, signum: int = signal.SIGINT) -> str:
        monkeypatch.setattr(StopAt, "batch", batch)
        monkeypatch.setattr(StopAt, "signum", signum)
        with caplog.at_level(logging.INFO, "blurr"), pytest.raises(Interrupted):
            running.run(Path("out"), *WORDS, *words, usual=(STOPPER,))
        return caplog.messages[-1]

    return run


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM], ids=lambda each: each.name)
def test_a_run_says_the_step_the_checkpoint_and_the_command_that_goes_on(stopped, signum):
    said = stopped(batch=9, signum=signum)
    # a step takes two batches; 12 batches make an epoch, and there are three
    assert said == "Stopped after step 5 of 18; checkpoint step-00000005; go on with: blurr run resume=out"


def test_a_schedule_of_your_own_has_no_number_of_steps(stopped, work):
    (work / "mine.py").write_text("def train(learner, lr, **_):\n    learner.fit(1, lr)\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(work))
        said = stopped("schedule._target_=mine.train", batch=3)
    assert said.startswith("Stopped after step 2; checkpoint step-00000002; ")


def test_before_the_first_step_there_is_nothing_to_go_on_with(stopped, monkeypatch):
    monkeypatch.setattr("blurr.experiment.build_raw", lambda *_: os.kill(os.getpid(), signal.SIGINT))
    assert stopped() == "Stopped before the first step: there is nothing to go on with."


def test_in_the_evaluation_the_last_checkpoint_is_named(stopped, monkeypatch):
    monkeypatch.setattr(results, "_save", lambda *_: os.kill(os.getpid(), signal.SIGINT))
    said = "Stopped after step 18 of 18, before the scores were written; "
    assert stopped() == f"{said}no checkpoint was due, so from step 0; go on with: blurr run resume=out"
    assert stopped("checkpoint.every_steps=8", "overwrite=true") == (
        f"{said}checkpoint step-00000016; go on with: blurr run resume=out"
    )

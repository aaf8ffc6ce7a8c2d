"""The device that a model is computed on: chosen, refused where it is not there, and recorded."""

import pytest
import torch
from running import TINY_BERT, run

from blurr.errors import InputError
from blurr.models.devices import device_of, devices, warn_of_slow_bf16
from blurr.runs.record import Record
from blurr.serve.predictor import Predictor

MORE = f"cuda:{torch.cuda.device_count()}"  # one more than there are


def test_auto_is_the_accelerator_or_else_the_cpu():
    there = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")
    assert device_of("auto") == device_of(None) == there
    assert device_of("cpu") == torch.device("cpu")


def test_a_device_that_is_not_there_is_named_with_those_there_are():
    with pytest.raises(InputError, match=rf"device={MORE} \(--device\) is not there. This machine has cpu") as caught:
        device_of(MORE)
    assert all(device in str(caught.value) for device in devices())


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:one", "tpu"])
def test_a_word_that_names_no_device_is_a_mistake_of_the_command_line(answer, device):
    assert f"device={device}: must be auto, cpu, cuda, cuda:1, mps" in answer(f"device={device}")


def test_a_run_on_a_device_that_is_not_there_ends_before_it_is_recorded(work):
    with pytest.raises(InputError, match=f"device={MORE}"):
        run(work / "out", f"device={MORE}", *TINY_BERT)
    assert not list((work / "out").iterdir())


def test_a_run_trains_on_the_device_and_says_which(work):
    words = ("device=cpu", "data.rows=40", "schedule=constant", "schedule.epochs=1", "tracking=none")
    run(work / "out", *words, *TINY_BERT)
    assert Record(work / "out").tags["blurr.device"] == "cpu"
    predictor = Predictor.load(work / "out", device="cpu")
    assert next(predictor.learner.model.parameters()).device == torch.device("cpu")
    with pytest.raises(InputError, match=f"device={MORE}"):
        Predictor.load(work / "out", device=MORE)


def test_bf16_on_a_cpu_without_it_is_warned_of(monkeypatch, caplog):
    monkeypatch.setattr("blurr.models.devices.HOPELESS", 0)
    warn_of_slow_bf16(torch.device("cpu"))
    assert not caplog.records
    monkeypatch.setattr("blurr.models.devices.HOPELESS", 1e9)
    warn_of_slow_bf16(torch.device("cpu"))
    assert "times as fast in bf16 as in fp32, which it has no instructions for: fp32 is faster here" in caplog.text

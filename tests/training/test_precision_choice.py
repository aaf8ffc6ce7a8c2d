"""`precision=auto` takes bf16 where it is faster and agrees with fp32, says so, and is decided once."""

import json
import re
from pathlib import Path

import pytest
import running
import torch
from safetensors.torch import load_file

from blurr.errors import InputError
from blurr.reproduce import config_of
from blurr.runs.record import Record
from blurr.text.modeling.all import BlearnerForSequenceClassification
from blurr.training import precision_choice
from blurr.training.precision_choice import Choice, choose_precision, same_for_all
from blurr.training.state import random_state

ROWS = [{"text": f"the film was {'good' if i % 2 else 'bad'} {'a plot ' * (i % 7)}", "label": i % 2} for i in range(80)]
CPU = torch.device("cpu")
WORDS = ["schedule.epochs=1", "checkpoint.every_steps=3"]


def run(folder: Path, *words: str) -> None:
    running.run(folder, *words, usual=("data.rows=96", *running.TINY_BERT))


@pytest.mark.parametrize(
    ("faster", "apart", "chosen"), [(0, 1, "bf16"), (1e9, 1, "fp32"), (0, -1, "fp32")], ids=["yes", "slower", "apart"]
)
def test_both_figures_decide_and_nothing_is_changed(
    tiny_bert: Path, monkeypatch: pytest.MonkeyPatch, faster: float, apart: float, chosen: str
) -> None:
    learn = BlearnerForSequenceClassification.from_data(ROWS, str(tiny_bert), dl_kwargs={"bs": 8})
    before, random = {name: value.clone() for name, value in learn.model.state_dict().items()}, random_state()
    monkeypatch.setattr(precision_choice, "HOPELESS", 0)
    monkeypatch.setattr(precision_choice, "FASTER", faster)
    monkeypatch.setattr(precision_choice, "APART", apart)
    choice = choose_precision(lambda precision: learn.to_bf16() if precision == "bf16" else learn.to_fp32(), CPU)
    assert choice.precision == chosen
    assert "times as fast here" in choice.why
    assert "the losses of the first 3 batches differ by 0." in choice.why
    after = learn.model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert all(weight.grad is None for weight in learn.model.parameters())
    assert torch.equal(random_state()["torch"], random["torch"])


def test_an_error_amid_a_batch_ends_autocast(tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else all that a notebook computed from then on was in bf16."""

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the power is gone")

    learn = BlearnerForSequenceClassification.from_data(ROWS, str(tiny_bert), dl_kwargs={"bs": 8}).to_bf16()
    monkeypatch.setattr(learn.model, "forward", fail)
    with pytest.raises(RuntimeError, match="the power is gone"):
        learn.fit(1)
    assert not torch.is_autocast_enabled("cpu")


def test_a_loss_that_is_no_number_agrees_with_none() -> None:
    assert precision_choice._apart(1.0, float("nan")) == precision_choice._apart(float("inf"), 1.0) == float("inf")


def test_a_device_that_is_not_measured_says_so() -> None:
    assert choose_precision(lambda precision: None, torch.device("mps")) == Choice(
        "fp32", "precision=auto takes bf16 on a CPU or a CUDA device that computes in it, not on mps"
    )


def test_a_cpu_without_bf16_is_known_by_a_product_of_matrices(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first batches would take minutes there."""
    monkeypatch.setattr(precision_choice, "HOPELESS", 1e9)
    choice = choose_precision(lambda precision: None, CPU)
    assert choice.precision == "fp32"
    assert re.match(r"this CPU multiplies matrices [\d.e-]+ times as fast in bf16", choice.why)


def test_all_trials_of_a_sweep_have_the_choice_of_the_first(tmp_path: Path) -> None:
    asked = []
    for precision in ("bf16", "fp32"):
        choice = same_for_all(tmp_path, lambda precision=precision: asked.append(precision) or Choice(precision, "x"))
        assert choice == Choice("bf16", "x")
    assert asked == ["bf16"]
    (tmp_path / "precision.json").write_text('{"precision": "fp8", "why": ""}')
    with pytest.raises(InputError, match=r"precision.json is not as blurr wrote it.*Delete it, to measure again"):
        same_for_all(tmp_path, lambda: None)


def test_a_run_with_the_precision_found_equals_one_with_it_given(
    work: Path, store_uri: str, client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(precision_choice, "HOPELESS", 0)
    monkeypatch.setattr(precision_choice, "FASTER", 0)
    run(work / "auto", *WORDS, "precision=auto", f"tracking.uri={store_uri}")
    assert "bf16: bf16 is" in " ".join(capsys.readouterr().out.split())
    data = client.get_run(json.loads((work / "auto" / "run.json").read_text())["run_id"]).data
    assert (data.params["precision"], data.params["found.precision"]) == ("auto", "bf16")
    run(work / "given", *WORDS, "precision=bf16", "tracking=none")
    auto, given = (load_file(work / name / "model" / "model.safetensors") for name in ("auto", "given"))
    assert all(torch.equal(auto[name], given[name]) for name in given)
    assert config_of(Record(work / "auto"), []).precision == "bf16"  # `blurr reproduce` does not measure


def test_a_resumed_run_goes_on_with_the_precision_that_was_found(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stopping import StopAt

    words = [*WORDS, "+callbacks.stopper={_target_: stopping.StopAt}", "precision=auto", "tracking=none"]
    monkeypatch.setattr(precision_choice, "HOPELESS", 0)
    monkeypatch.setattr(precision_choice, "FASTER", 0)
    monkeypatch.setattr(StopAt, "batch", 5)
    with pytest.raises(RuntimeError, match="the power is gone"):
        run(work / "out", *words)
    monkeypatch.setattr(StopAt, "batch", 0)
    monkeypatch.setattr("blurr.tasks.parts.choose_precision", None)  # not called: the checkpoint knows
    run(work / "out", *words, "resume=auto")
    assert json.loads((work / "out" / "run.json").read_text())["tags"]["blurr.precision"] == "bf16"

"""Runs with an adapter: they resume bit for bit, leave the adapter in MLflow, and refuse what does not go with it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from running import run
from safetensors.torch import load_file
from stopping import StopAt
from transformers import AutoModelForSequenceClassification

from blurr.errors import InputError


@pytest.fixture(scope="module")
def words(tiny_bert: Path) -> list[str]:
    return [
        "model=auto",
        f"model.name={tiny_bert}",
        "model.weights=pretrained",
        "adapter=lora",
        "data.rows=48",
        "loader.batch_size=8",
        "schedule.epochs=2",
        "tracking=none",
        "adapter.dropout=0.1",
    ]


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Return what has a run break off at a batch, as if by a loss of power; 0 lets it be."""
    monkeypatch.setattr(StopAt, "signum", None)
    return lambda batch: monkeypatch.setattr(StopAt, "batch", batch)


STOPPING = "+callbacks.stop={_target_: stopping.StopAt}"


@pytest.mark.parametrize("kind", ["lora", "pissa"])
def test_a_run_that_broke_off_goes_on_bit_for_bit(kind: str, words: list[str], work: Path, interrupted):
    words = [*words, f"adapter={kind}", "checkpoint.every_steps=2", STOPPING]
    interrupted(0)
    run(work / "whole", *words)
    interrupted(6)
    with pytest.raises(RuntimeError, match="the power is gone"):
        run(work / "broken", *words)
    (checkpoint,) = (work / "broken" / "checkpoints").iterdir()
    kept = load_file(checkpoint / "model.safetensors")
    assert any("base_layer" in name for name in kept) == (kind == "pissa")
    interrupted(0)
    run(work / "broken", *words, "resume=auto")
    for name in ("model/model.safetensors", "adapter/adapter_model.safetensors"):
        assert (work / "broken" / name).read_bytes() == (work / "whole" / name).read_bytes()


def test_a_run_does_not_go_on_beside_another_base(words: list[str], work: Path, interrupted, tiny_bert: Path):
    folder = work / "base"
    hf = AutoModelForSequenceClassification.from_pretrained(tiny_bert)
    for file in tiny_bert.iterdir():
        folder.mkdir(exist_ok=True)
        (folder / file.name).write_bytes(file.read_bytes())
    words = [*words, f"model.name={folder}", "checkpoint.every_steps=2", STOPPING]
    interrupted(6)
    with pytest.raises(RuntimeError, match="the power is gone"):
        run(work / "broken", *words)
    with torch.no_grad():
        hf.bert.encoder.layer[0].attention.self.query.weight[0, 0] += 1
    hf.save_pretrained(folder)
    interrupted(0)
    with pytest.raises(InputError, match="holds what was trained beside a base whose weights had the checksum"):
        run(work / "broken", *words, "resume=auto")


def test_random_weights_are_warned_of_and_not_left_out(words: list[str], work: Path, caplog):
    scratch = [
        "adapter=lora",
        "data.rows=40",
        "schedule.epochs=1",
        "tracking=none",
        "model.scratch.num_hidden_layers=1",
    ]
    with pytest.raises(InputError, match="random weights are nowhere to be had again"):
        run(work / "alone", *scratch, "adapter.merge=false")
    run(work / "out", *scratch)
    assert "the weights that it is added to are RANDOM" in caplog.text
    assert (work / "out" / "model" / "model.safetensors").is_file()
    assert not (work / "out" / "adapter").exists()


def test_a_run_leaves_its_adapter_in_mlflow_and_says_what_was_trained(
    words, work: Path, store_uri: str, client, caplog
):
    kept = [word for word in words if not word.startswith(("tracking", "schedule"))]
    caplog.set_level("INFO")
    tracked = ["tracking=local", f"tracking.uri={store_uri}", "tracking.experiment=adapters", "schedule.steps=2"]
    run(work / "out", *kept, *tracked, "adapter.merge=false", "optimizer.lr=auto")
    run(work / "usual", *words, "schedule.steps=2")
    (found,) = client.search_runs([client.get_experiment_by_name("adapters").experiment_id])
    artifacts = {each.path for each in client.list_artifacts(found.info.run_id, "adapter")}
    assert {"adapter/adapter_config.json", "adapter/adapter_model.safetensors", "adapter/base.json"} <= artifacts
    kept = {each.path for each in client.list_artifacts(found.info.run_id, "model")}
    assert "model/adapter_model.safetensors" in kept
    assert "model/model.safetensors" not in kept
    assert "peft==" in (work / "out" / "model" / "requirements.txt").read_text()
    assert "Learning rate 0.002: an adapter: 10 times the usual" in caplog.text
    facts = json.loads((work / "out" / "facts.json").read_text())
    assert facts["adapter"].startswith("lora, ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["adapter=lora", "callbacks=[cache_frozen_features]"], "an adapter changes that body"),
        (["adapter=loraa"], "Did you mean 'lora'"),
        (["adapter=lora", "adapter.r=0"], "adapter.r=0: must be a whole number of at least 1"),
        (["model.quantize=4bit"], "adapter=lora adapter.merge=false"),
        (["adapter=lora", "model.quantize=8bit"], "Save it alone: adapter.merge=false"),
        (["adapter=lora", "adapter.merge=false", "model.quantize=3bit"], "model.quantize=3bit"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_does_not_go_with_an_adapter_is_refused_at_once(words: list[str], said: str, answer):
    assert said in answer(*words)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_quantized_weights_need_a_cuda_device(words: list[str], work: Path):
    with pytest.raises(InputError, match="model.quantize=4bit needs a CUDA device, and there is none"):
        run(work / "out", *words, "adapter.merge=false", "model.quantize=4bit")


@pytest.mark.slow
def test_a_sweep_goes_over_ranks(tiny_bert: Path, blurr, work: Path):
    words = [f"model.name={tiny_bert}", "model=auto", "data.rows=40", "schedule.steps=2", "tracking=none"]
    process = blurr("run", "-m", *words, "adapter=lora", "adapter.r=2,4", "sweep.name=ranks")
    assert process.returncode == 0, process.stderr
    found = [json.loads((work / f"multirun/ranks/{n}/adapter/adapter_config.json").read_text())["r"] for n in (0, 1)]
    assert found == [2, 4]

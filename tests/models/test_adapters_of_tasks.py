"""An adapter trains, is saved and reloads for every task, on a checkpoint that the task itself has made."""

import json
from pathlib import Path

import pytest
import torch
from running import run
from safetensors.torch import load_file

from blurr.config import paths
from blurr.serve.evaluating import evaluate
from blurr.serve.predictor import Predictor

SHORT = ("tracking=none", "data.rows=24", "schedule.steps=2", "loader.batch_size=8")
OTHERS = {  # models with layers of other kinds
    "image_classification": ("model=vit", "model=convnext"),
    "audio_classification": ("model=ast", "model=wavlm"),
    "semantic_segmentation": ("model=segformer",),
    "causal_lm": ("model=gpt2",),
}
CASES = [(task, ()) for task in sorted(paths.options("task"))] + [
    (t, (each,)) for t, all_ in OTHERS.items() for each in all_
]


def weights_of(where: Path) -> dict[str, torch.Tensor]:
    return dict(Predictor.load(where).hf.model.state_dict())


@pytest.mark.slow
@pytest.mark.parametrize(("task", "model"), CASES, ids=[" ".join([task, *model]) for task, model in CASES])
def test_every_task_trains_an_adapter_that_reloads(task: str, model: tuple[str, ...], work: Path):
    run(work / "base", f"task={task}", *model, *SHORT)
    base = work / "base" / "model"
    words = [f"task={task}", "model=auto", f"model.name={base}", "model.weights=pretrained", *SHORT]
    for name, more in {"whole": [], "alone": ["adapter.merge=false"]}.items():
        run(work / name, *words, "adapter=lora", "optimizer.lr=1e-2", *more)
    whole, alone = weights_of(work / "whole"), weights_of(work / "alone")
    assert whole.keys() == alone.keys()
    for name, weight in whole.items():
        torch.testing.assert_close(weight, alone[name], atol=1e-6, rtol=0, msg=name)
    for name in ("whole", "alone"):
        _, scored = evaluate(Predictor.load(work / name), ["data=sample", "data.rows=24"], split="valid")
        trained = json.loads((work / name / "metrics.json").read_text())["valid/loss"]
        assert scored.metrics["loss"] == pytest.approx(trained, rel=1e-4), "the saved model is not the trained one"
    before = weights_of(base)
    changed = sum(not torch.equal(before[name], weight) for name, weight in whole.items())
    saved = load_file(work / "alone" / "adapter" / "adapter_model.safetensors")
    assert any("lora_B" in name and bool(weight.any()) for name, weight in saved.items()), "the adapter learns nothing"
    assert changed > 1

"""Weights that two processes share out come to the same end as those of one, and are saved and read whole."""

import json
from pathlib import Path

import pytest
import torch
from forked import Forked
from running import TINY_BERT, run
from safetensors.torch import load_file
from torch import nn

from blurr.config import checks, composing
from blurr.errors import InputError
from blurr.process import launched, launching

SAME = 1e-5
WORDS = (
    *("tracking=none", "data.rows=40", "loader.batch_size=7", "schedule.epochs=2", "optimizer.eps=1e-6", *TINY_BERT),
    *("+model.config_kwargs.hidden_dropout_prob=0.0", "+model.config_kwargs.attention_probs_dropout_prob=0.0"),
    *("checkpoint.every_steps=3", "callbacks=[save_best]", "model.scratch.num_hidden_layers=2"),
)


def in_processes(count: int, folder: Path, *words: str) -> None:
    """Run in so many processes, which must end well."""
    process = Forked(be_several, count, folder, words, cwd=folder.parent)
    process.wait()
    assert process.returncode == 0, process.stderr


def be_several(count: int, folder: Path, words: tuple[str, ...]) -> None:
    torch.set_num_threads(1)
    launching.become(count, folder=str(folder))
    run(folder, *WORDS, f"processes={launched.world()}", *words)


def apart(one: Path, two: Path) -> float:
    ours, theirs = (load_file(folder / "model" / "model.safetensors") for folder in (one, two))
    assert ours.keys() == theirs.keys()
    return max(float((ours[name] - theirs[name]).abs().max()) for name in ours)


@pytest.mark.slow
def test_the_end_is_that_of_one_process_and_what_is_saved_is_whole(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    run(one, *WORDS)
    in_processes(2, two, "model.shard=true")
    assert apart(one, two) < SAME
    scores = [json.loads((folder / "metrics.json").read_text()) for folder in (one, two)]
    assert scores[0] == pytest.approx(scores[1], abs=SAME)
    assert json.loads((two / "model/config.json").read_text())["architectures"] == ["BertForSequenceClassification"]
    weights = load_file(next(iter(sorted(two.glob("checkpoints/step-*")))) / "model.safetensors")
    assert {tuple(each.shape) for each in weights.values()} >= {(32, 32), (32,)}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "model.shard=true: one process has no others to share the weights with. Set processes=2, say."),
        (
            ["processes=2", "adapter=lora", "precision=auto", "callbacks=[ema]", "optimizer=lamb"],
            "model.shard=true does not go together with precision=auto, optimizer: fastai.optimizer.Lamb, adapter, "
            "callbacks: ema. Leave one of them out.",
        ),
        (["processes=2", "task=summarization", "model=t5"], "go together with a task that writes texts"),
    ],
    ids=["alone", "others", "texts"],
)
def test_what_weights_cannot_be_shared_with_is_refused_in_one_message(words, message):
    with pytest.raises(InputError) as refused:
        checks.check(composing.compose(["model.shard=true", "output_dir=a", *words]))
    assert message in str(refused.value)


def test_a_model_without_shares_stays_as_it_is():
    from blurr.training.sharding import is_sharded, put_together, shared_state, whole, whole_value

    model = nn.Linear(2, 2)
    before = model.weight
    with whole(model):
        assert model.weight is before
    assert not is_sharded(model)
    assert put_together(model) == {}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    assert shared_state(optimizer.state_dict(), optimizer) == whole_value(optimizer.state_dict())

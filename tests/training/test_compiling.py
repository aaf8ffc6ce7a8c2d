"""A compiled model: the same training within rounding, on batches of few lengths."""

import pandas as pd
import pytest
import torch

from blurr.data.at_hand import from_data
from blurr.errors import InputError
from blurr.loading.loader import Loader
from blurr.models.objects import build_model
from blurr.text.inputs import TEXT
from blurr.text.sequence_classification.task import SequenceClassification
from blurr.training.learner import Blearner
from blurr.training.precision import CompileModel, compile_callbacks, for_compiling, seed_everything
from blurr.training.schedules import constant

TEXTS = ["good", "a film was bad", "the plot is good and fine", "it was a dull and awful film"]
SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}


def learner_of(*cbs) -> Blearner:
    seed_everything(1)
    task = SequenceClassification()
    rows = [{"text": text, "label": "ab"[i % 2], "is_valid": i > 5} for i, text in enumerate(TEXTS * 2)]
    raw = from_data(task.schema, pd.DataFrame(rows))
    options = {"arch": "bert", "weights": "scratch", "scratch": SIZES, "scratch_vocab": 100, "load_weights": True}
    config = {**task.target.model_config(raw), "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    hf = build_model("bert", model_cls=task.model_cls, config=config, corpus=lambda: TEXTS, **options, inputs=TEXT)
    dls = task.dataloaders(raw, hf, for_compiling(Loader(batch_size=2, cache=False)))
    learner = task.learner(dls, hf, raw=raw, metrics={}, cbs=cbs)
    learner.remove_cbs([learner.progress])
    learner.logger = lambda *_: None
    return learner


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch's compiler warns of itself
def test_a_compiled_model_trains_as_the_plain_one_does():
    plain, compiled = learner_of(), learner_of(*compile_callbacks(True))
    for learner in (plain, compiled):
        constant(learner, 1e-3, epochs=2)
    torch.testing.assert_close(
        torch.stack(plain.recorder.losses), torch.stack(compiled.recorder.losses), rtol=1e-4, atol=1e-5
    )
    assert compiled.recorder.values[-1][1] == pytest.approx(plain.recorder.values[-1][1], abs=1e-4)
    assert list(compiled.model.state_dict()) == list(plain.model.state_dict())


def test_nothing_is_compiled_unless_it_is_asked_for():
    assert compile_callbacks(False) == []


@pytest.mark.parametrize(("wish", "mode"), [(True, None), ("reduce-overhead", "reduce-overhead")], ids=["true", "mode"])
def test_the_mode_is_that_which_is_asked_for(wish, mode):
    (callback,) = compile_callbacks(wish)
    assert isinstance(callback, CompileModel)
    assert callback.mode == mode


def test_without_a_compiler_there_is_a_message(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="compile=max-autotune needs a C.. compiler, .* Set compile=false"):
        compile_callbacks("max-autotune")


def test_batches_have_few_lengths_unless_the_user_says_which():
    assert for_compiling(Loader()).pad_to_multiple_of == 32
    assert for_compiling(Loader(pad_to_multiple_of=8)).pad_to_multiple_of == 8
    assert {x["input_ids"].shape[1] for x, _ in learner_of().dls.train} == {32}


def test_a_mistake_in_compile_is_found_before_anything_loads(answer):
    assert "must be true or false or 'reduce-overhead' or 'max-autotune'" in answer("compile=reduce")

"""Training only the rows of the embedding that occur gives the weights, files and scores of training all of them."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import transformers
from checkpoints import WIDE
from every_task import loaded
from fastai.callback.core import Callback, CancelEpochException, CancelFitException
from fastai.callback.training import GradientClip

from blurr.data.at_hand import from_data
from blurr.loading.loader import Loader
from blurr.text.modeling.all import Blearner, SequenceClassification
from blurr.training.callbacks.ema import EMA
from blurr.training.callbacks.gradient_accumulation import GradientAccumulation
from blurr.training.callbacks.gradient_checkpointing import GradientCheckpointing
from blurr.training.callbacks.save_best import SaveBest
from blurr.training.embeddings import embeddings_of
from blurr.training.optimizers import adamw
from blurr.training.precision import precision_callbacks, seed_everything
from blurr.training.schedules import fine_tune, gradual_unfreezing, one_cycle

VOCABULARY, LR = WIDE, 1e-2
CLOSE = 1e-6


class Sizes(Callback):
    """Notes how many rows the embedding has in each training step, and outside of them."""

    order = 70

    def __init__(self) -> None:
        self.trained: list[int] = []
        self.between: set[int] = set()

    def before_fit(self) -> None:
        torch.manual_seed(0)  # the same dropout for each learner

    def before_step(self) -> None:
        self.trained.append(len(embedding(self.learn)))

    def after_epoch(self) -> None:
        self.between.add(len(embedding(self.learn)))

    before_validate = after_fit = after_epoch


def embedding(learner: Blearner) -> torch.Tensor:
    return learner.model.hf_model.get_input_embeddings().weight.detach()


Make = Callable[..., Blearner]


@pytest.fixture
def make(reviews: pd.DataFrame, wide_bert: Path, tmp_path: Path) -> Make:
    def learner(*, compact: bool, optimizer: Any = adamw, cbs: Any = (), rows: pd.DataFrame = reviews) -> Blearner:
        seed_everything(1)
        task = SequenceClassification()
        raw = from_data(task.schema, rows)
        hf = loaded(task, raw, wide_bert)
        dls = task.dataloaders(raw, hf, Loader(batch_size=4))
        own = [each() if isinstance(each, type | partial) else each for each in cbs]
        options = {"metrics": {}, "optimizer": optimizer, "cbs": [Sizes(), *own], "path": tmp_path}
        learn = task.learner(dls, hf, raw=raw, compact_embeddings=compact, **options)
        learn.remove_cbs([learn.progress])
        learn.logger = lambda *_: None
        return learn

    return learner


def assert_same(one: Blearner, other: Blearner) -> None:
    weights = other.model.state_dict()
    for name, weight in one.model.state_dict().items():
        torch.testing.assert_close(weight, weights[name], atol=CLOSE, rtol=0)
    states = [learn.opt.state_dict()["state"] for learn in (one, other)]
    assert states[0].keys() == states[1].keys()
    for key, state in states[0].items():
        for name, value in state.items():
            torch.testing.assert_close(value, states[1][key][name], atol=CLOSE, rtol=0)


def assert_is_compact(learn: Blearner, *, steps: slice = slice(None)) -> None:
    assert max(learn.sizes.trained[steps]) < 30
    assert learn.sizes.between == {VOCABULARY}


def train(learn: Blearner) -> None:
    one_cycle(learn, LR, epochs=2)


OPTIMIZERS = {
    "AdamW": partial(torch.optim.AdamW, weight_decay=0.1, fused=True),
    "AdamW, a loop": partial(torch.optim.AdamW, weight_decay=0.1, foreach=False),
    "AdamW, amsgrad": partial(torch.optim.AdamW, weight_decay=0.1, amsgrad=True),
    "AdamW without decay": partial(torch.optim.AdamW, weight_decay=0.0),
    "Adam without decay": partial(torch.optim.Adam, fused=True),
    "SGD": torch.optim.SGD,
    "SGD with decay": partial(torch.optim.SGD, weight_decay=0.1, fused=True),
    "SGD with momentum": partial(torch.optim.SGD, momentum=0.9, nesterov=True),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_the_weights_and_the_state_of_the_optimizer_are_those_of_the_full_matrix(optimizer, make: Make):
    learners = [make(compact=compact, optimizer=optimizer) for compact in (True, False)]
    before = embedding(learners[0]).clone()
    for learn in learners:
        train(learn)
    assert_same(*learners)
    assert_is_compact(learners[0])
    assert set(learners[1].sizes.trained) == {VOCABULARY}
    is_decayed = not torch.equal(embedding(learners[0])[300:], before[300:])
    assert is_decayed == bool(learners[0].opt.hypers[0]["wd"])


OTHERS = {
    "Adam with decay": partial(torch.optim.Adam, weight_decay=0.1),
    "SGD with momentum and decay": partial(torch.optim.SGD, momentum=0.9, weight_decay=0.1),
    "Adafactor": torch.optim.Adafactor,
    "NAdam": torch.optim.NAdam,
}


@pytest.mark.parametrize("optimizer", OTHERS.values(), ids=OTHERS)
def test_an_optimizer_that_moves_rows_without_gradients_trains_all_of_them(optimizer, make: Make):
    learn = make(compact=True, optimizer=optimizer)
    learn.fit(1, LR)
    assert set(learn.sizes.trained) == {VOCABULARY}


CALLBACKS = {
    "ema": [partial(EMA, 0.9)],
    "ema and save_best": [EMA, partial(SaveBest, "train/loss", "max")],
    "save_best": [partial(SaveBest, "train/loss", "max")],
    "accumulation": [partial(GradientAccumulation, 3)],
    "clipping": [partial(GradientClip, 1e-2)],
    "bf16": [lambda: precision_callbacks("bf16")],
    "checkpointing of activations": [GradientCheckpointing],
    "accumulation, clipping and ema": [partial(GradientAccumulation, 3), partial(GradientClip, 1e-2), EMA],
}


@pytest.mark.parametrize("callbacks", CALLBACKS.values(), ids=CALLBACKS)
@pytest.mark.slow
def test_callbacks_see_what_they_see_without_it(callbacks, make: Make):
    learners = []
    for compact in (True, False):
        own = [each() if callable(each) and not isinstance(each, type | partial) else [each] for each in callbacks]
        learners.append(make(compact=compact, cbs=[each for some in own for each in some]))
        learners[-1].recorder.train_metrics = True
        train(learners[-1])
    assert_same(*learners)
    assert_is_compact(learners[0])
    scores = [[row[:2] for row in learn.recorder.values] for learn in learners]
    assert torch.allclose(*map(torch.tensor, scores), atol=CLOSE)


@pytest.mark.parametrize("schedule", [gradual_unfreezing, fine_tune], ids=["gradual_unfreezing", "fine_tune"])
def test_phases_with_a_frozen_embedding_leave_it_alone(schedule, make: Make):
    learners = [make(compact=compact) for compact in (True, False)]
    for learn in learners:
        schedule(learn, LR)
    assert_same(*learners)
    assert learners[0].sizes.trained[0] == VOCABULARY
    assert learners[0].sizes.trained[-1] < 30


def test_rates_that_differ_between_groups_decay_the_embedding_by_its_own(make: Make):
    learners = [make(compact=compact) for compact in (True, False)]
    for learn in learners:
        one_cycle(learn, slice(1e-4, 1e-1), epochs=1)
    assert_same(*learners)


def test_a_second_fit_on_other_rows_goes_on_with_the_moments_of_the_first(make: Make, reviews: pd.DataFrame):
    learners = [make(compact=compact) for compact in (True, False)]
    other = make(compact=True, rows=reviews.assign(text="a plot . summarize")).dls
    for learn in learners:
        learn.fit(1, LR)
        first = len(set(learn.sizes.trained))
        learn.dls = other
        learn.dls.train.epoch = 0
        learn.fit(1, LR)
        assert first == 1
    assert_same(*learners)
    assert_is_compact(learners[0])


# -- what happens in the middle of an epoch


class InTheMiddle(Callback):
    """Does something after the third batch of each epoch."""

    order = 71

    def __init__(self, act: Callable[[Blearner], object]) -> None:
        self.act = act

    def after_batch(self) -> None:
        if self.training and self.iter == 2:
            self.act(self.learn)


def stop(error: type[BaseException]) -> Callable[[Blearner], None]:
    def act(_: Blearner) -> None:
        raise error

    return act


def load_what_was_saved(learn: Blearner) -> None:
    learn.save("middle", with_opt=True)
    learn.model.hf_model.get_input_embeddings().weight.data.zero_()
    learn.load("middle", with_opt=True)


def predict(learn: Blearner) -> None:
    learn.predict(["the film was", "superb"])


ACTS = {
    "the fit ends": stop(CancelFitException),
    "the epoch ends": stop(CancelEpochException),
    "saved and loaded": load_what_was_saved,
    "predicted": predict,
}


@pytest.mark.parametrize("ema", [[], [EMA]], ids=["", "ema"])
@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
@pytest.mark.slow
def test_the_middle_of_an_epoch_is_no_other_place(act, ema, make: Make):
    learners = [make(compact=compact, cbs=[*ema, InTheMiddle(act)]) for compact in (True, False)]
    for learn in learners:
        learn.fit(2, LR)
    assert_same(*learners)
    assert_is_compact(learners[0])


def test_who_saves_in_the_middle_of_an_epoch_saves_the_full_matrix(make: Make):
    saved: list[dict[str, Any]] = []

    def note(learn: Blearner) -> None:
        saved.append({"weights": learn.model.state_dict(), "optimizer": learn.opt.state_dict()})

    make(compact=True, cbs=[InTheMiddle(note)]).fit(1, LR)
    sizes = {len(value) for state in saved[0]["optimizer"]["state"].values() for value in state.values() if value.ndim}
    assert len(saved[0]["weights"]["hf_model.bert.embeddings.word_embeddings.weight"]) == VOCABULARY
    assert VOCABULARY in sizes
    assert min(sizes - {2, 16}) > 30


def test_a_fit_that_is_interrupted_leaves_the_full_matrix(make: Make):
    learners = [make(compact=compact, cbs=[InTheMiddle(stop(KeyboardInterrupt))]) for compact in (True, False)]
    for learn in learners:
        with pytest.raises(KeyboardInterrupt):
            learn.fit(1, LR)
    assert_same(*learners)
    assert not learners[0].model.hf_model.get_input_embeddings()._forward_pre_hooks


def test_ids_that_a_callback_brings_are_trained_too(make: Make):
    class Other(Callback):
        def before_batch(self) -> None:
            if self.training and self.iter == 3:
                self.xb[0]["input_ids"][:, 1] = 311

    learners = [make(compact=compact, cbs=[Other]) for compact in (True, False)]
    for learn in learners:
        train(learn)
    assert_same(*learners)
    assert learners[0].sizes.trained[0] < 30
    assert learners[0].sizes.trained[3] == VOCABULARY


def test_a_decay_that_begins_during_the_training_moves_all_rows(make: Make):
    class Decay(Callback):
        def before_step(self) -> None:
            if self.iter == 4:
                self.opt.set_hyper("wd", 0.1)

    adam = partial(torch.optim.Adam, fused=True)
    learners = [make(compact=compact, optimizer=adam, cbs=[Decay]) for compact in (True, False)]
    for learn in learners:
        learn.fit(1, LR)
    assert_same(*learners)


def test_an_id_that_the_vocabulary_lacks_is_refused_as_ever(make: Make):
    class Wrong(Callback):
        def before_batch(self) -> None:
            if self.training:
                self.xb[0]["input_ids"][:, 1] = -1

    with pytest.raises(IndexError, match="index out of range"):
        make(compact=True, cbs=[Wrong]).fit(1, LR)


def test_the_learning_rate_finder_finds_the_same(make: Make):
    learners = [make(compact=compact) for compact in (True, False)]
    for learn in learners:
        learn.lr_find(show_plot=False, num_it=5)
    assert torch.equal(*(torch.stack(list(learn.recorder.losses)) for learn in learners))
    assert_same(*learners)


# -- which models it is for


SIZES = {"vocab_size": 50, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
BART = {"d_model": 8, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 1}
T5 = {"d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2}
MODELS = {
    "BertForSequenceClassification": (SIZES, ""),
    "RobertaForTokenClassification": (SIZES, ""),
    "DebertaV2ForSequenceClassification": (SIZES, ""),
    "BertForMaskedLM": (SIZES, "reads random tokens"),
    "GPT2ForSequenceClassification": ({"n_embd": 8, "n_layer": 1, "n_head": 1}, ""),
    "GPT2LMHeadModel": ({"n_embd": 8, "n_layer": 1, "n_head": 1}, "share its weight"),
    "BartForConditionalGeneration": ({**BART, "decoder_attention_heads": 1}, "torch's module|share its weight"),
    "T5ForConditionalGeneration": (T5, "share its weight"),
    "LlamaForCausalLM": (SIZES, ""),
}


@pytest.mark.parametrize("name", MODELS)
def test_an_embedding_stays_whole_where_another_part_needs_all_of_it(name: str):
    sizes, reason = MODELS[name]
    cls = getattr(transformers, name)
    modules, why = embeddings_of(cls(cls.config_class(**{"vocab_size": 50, **sizes})))
    assert bool(modules) == (not reason)
    assert re.search(reason, why)


def test_positions_that_are_counted_by_ids_stay_right(make: Make, tmp_path: Path):
    """RoBERTa counts positions by the ids that are not pads: the model must see the true ones."""
    config = transformers.RobertaConfig(**{**SIZES, "vocab_size": VOCABULARY}, pad_token_id=0)
    learners = []
    for compact in (True, False):
        torch.manual_seed(0)
        learn = make(compact=compact)
        learn.model = type(learn.model)(transformers.RobertaForSequenceClassification(config))
        learn.opt = None
        train(learn)
        learners.append(learn)
    assert_same(*learners)
    assert_is_compact(learners[0])


class Own(transformers.BertForSequenceClassification):
    """A model of somebody's own."""


def test_a_model_of_other_code_keeps_its_embedding_whole():
    assert embeddings_of(Own(transformers.BertConfig(**SIZES))) == ([], "the model's code is not that of transformers")

"""Frozen features: a body is run once for each row, and training comes out as if it were run each time."""

import logging

import pytest
import torch
from fastai.callback.core import Callback
from torch import nn
from transformers.modeling_outputs import BaseModelOutput, SequenceClassifierOutput
from transformers.utils.generic import ModelOutput

from blurr.data.at_hand import from_data
from blurr.errors import InputError
from blurr.loading.loader import Loader
from blurr.models.frozen_body import body_of, fields_read
from blurr.models.objects import build_model
from blurr.text.inputs import TEXT
from blurr.text.question_answering.task import QuestionAnswering
from blurr.text.sequence_classification.task import SequenceClassification
from blurr.text.token_classification.task import TokenClassification
from blurr.training.callbacks.cache_frozen_features import CacheFrozenFeatures
from blurr.training.callbacks.model_outputs import ModelOutputs
from blurr.training.learner import Blearner
from blurr.training.precision import seed_everything
from blurr.training.schedules import constant, fine_tune

TEXTS = ["good", "a film was bad", "the plot is good and fine", "it was a dull and awful film", "superb", "poor plot ."]
REVIEWS = [{"text": text, "label": "good" if i % 2 else "bad", "is_valid": i > 9} for i, text in enumerate(TEXTS * 3)]
ENTITIES = [
    {"tokens": text.split(), "labels": ["B-X" if word in ("film", "plot") else "O" for word in text.split()]}
    | {"is_valid": i > 9}
    for i, text in enumerate(TEXTS * 3)
]
ANSWERS = [
    {"context": text, "question": "is it good ?", "answers": {"text": [text.split()[0]], "answer_start": [0]}}
    | {"is_valid": i > 9}
    for i, text in enumerate(TEXTS * 3)
]
BERT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
SIZES = {
    "bert": BERT,
    "roberta": {**BERT, "max_position_embeddings": 66},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64},
    "t5": {"d_model": 32, "num_layers": 1, "num_heads": 2, "d_kv": 16, "d_ff": 64},
}


class Eval(Callback):
    """Keeps the body in eval mode, as the features are made; counts how often it is run, and for how many rows."""

    order = 1

    def before_fit(self) -> None:
        self.rows = 0
        body = self.model.hf_model.base_model
        self.handle = next(m for m in body.modules() if isinstance(m, nn.Embedding)).register_forward_hook(self.count)

    def count(self, module, given, output) -> None:
        self.rows += len(output)

    def before_train(self) -> None:
        self.model.hf_model.base_model.eval()

    def after_fit(self) -> None:
        self.handle.remove()


def learner_of(task, rows, arch: str, *cbs: Callback) -> Blearner:
    seed_everything(1)
    raw = from_data(task.schema, rows)
    hf = build_model(
        arch,
        model_cls=task.model_cls,
        config=task.target.model_config(raw),
        corpus=lambda: TEXTS,
        load_weights=True,
        arch=arch,
        weights="scratch",
        scratch=SIZES[arch],
        scratch_vocab=300,
        inputs=TEXT,
    )
    dls = task.dataloaders(raw, hf, Loader(batch_size=4, cache=False))
    learner = task.learner(dls, hf, raw=raw, metrics={}, cbs=[*cbs, Eval()])
    learner.logger = lambda *_: None
    learner.remove_cbs([learner.progress])
    return learner


@pytest.mark.parametrize(
    ("task", "rows", "arch", "share"),
    [
        (SequenceClassification(), REVIEWS, "bert", {"last_hidden_state": "nothing", "pooler_output": "all"}),
        (SequenceClassification(), REVIEWS, "distilbert", {"last_hidden_state": "first token"}),
        (SequenceClassification(), REVIEWS, "roberta", {"last_hidden_state": "first token"}),
        (SequenceClassification(), REVIEWS, "gpt2", {"last_hidden_state": "all"}),
        (TokenClassification(), ENTITIES, "bert", {"last_hidden_state": "all"}),
    ],
    ids=["bert", "distilbert", "roberta", "gpt2", "tokens"],
)
def test_losses_are_those_of_a_body_that_is_run_each_time(task, rows, arch, share):
    plain = learner_of(task, rows, arch)
    kept = learner_of(task, rows, arch, CacheFrozenFeatures())
    seen = []
    kept.add_cb(_Shares(seen))
    for learner in (plain, kept):
        seed_everything(2)
        constant(learner, 1e-2, epochs=3, freeze=True)
    assert torch.allclose(torch.stack(plain.recorder.losses), torch.stack(kept.recorder.losses), rtol=0, atol=1e-6)
    assert [v[1] for v in plain.recorder.values] == pytest.approx([v[1] for v in kept.recorder.values], abs=1e-6)
    for a, b in zip(plain.model.parameters(), kept.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)
    assert seen[0] == share


class _Shares(Callback):
    order = 1

    def __init__(self, seen: list) -> None:
        self.seen = seen

    def after_batch(self) -> None:
        self.seen.append(self.learn.cache_frozen_features.frozen.reads)


def test_the_body_is_run_once_for_each_row_of_training_and_validation():
    learner = learner_of(SequenceClassification(), REVIEWS, "bert", CacheFrozenFeatures())
    distinct = {tuple(row["input_ids"]) for dl in learner.dls for row in (dl.dataset[i] for i in range(dl.n))}
    constant(learner, 1e-2, epochs=4, freeze=True)
    # two batches more: by one it is found out what the head reads, by one whether it reads pads
    assert learner.eval.rows <= len(distinct) + 4 * 4
    assert "forward" not in vars(learner.model.hf_model.base_model)


def test_what_is_kept_ends_with_the_phase_in_which_the_body_is_frozen(caplog):
    learner = learner_of(SequenceClassification(), REVIEWS, "bert", CacheFrozenFeatures())
    before = [p.clone() for p in learner.model.hf_model.base_model.parameters()]
    with caplog.at_level(logging.INFO, logger="blurr"):
        fine_tune(learner, 1e-2, epochs=1, freeze_epochs=2)
    assert "The frozen body was run once for 6 rows" in caplog.text
    assert caplog.text.count("was run once") == 1
    after = list(learner.model.hf_model.base_model.parameters())
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_rows_beyond_the_memory_are_run_each_time():
    plain = learner_of(SequenceClassification(), REVIEWS, "bert")
    bound = learner_of(SequenceClassification(), REVIEWS, "bert", CacheFrozenFeatures(gigabytes=300 / 2**30))
    for learner in (plain, bound):
        seed_everything(2)
        constant(learner, 1e-2, epochs=2, freeze=True)
    assert torch.allclose(torch.stack(plain.recorder.losses), torch.stack(bound.recorder.losses), rtol=0, atol=1e-6)


def test_a_body_that_is_trained_from_the_start_is_a_mistake():
    learner = learner_of(SequenceClassification(), REVIEWS, "bert", CacheFrozenFeatures())
    with pytest.raises(InputError, match="the schedule trains the body from the start. Choose schedule=fine_tune"):
        constant(learner, 1e-2, epochs=1)


def test_a_head_that_reads_pads_is_refused_and_the_model_left_as_it_was():
    learner = learner_of(QuestionAnswering(), ANSWERS, "bert", CacheFrozenFeatures())
    with pytest.raises(InputError, match="reads the body's outputs at pads, .* Leave cache_frozen_features out"):
        constant(learner, 1e-2, epochs=1, freeze=True)
    assert "forward" not in vars(learner.model.hf_model.base_model)


def test_lists_of_hidden_states_are_not_kept():
    cbs = [CacheFrozenFeatures(), ModelOutputs(hidden_states=True)]
    learner = learner_of(SequenceClassification(), REVIEWS, "bert", *cbs)
    with pytest.raises(
        InputError, match=r"returns \['hidden_states'\], too\. Leave out this callback or model_outputs"
    ):
        constant(learner, 1e-2, epochs=1, freeze=True)


def test_a_model_without_a_body_of_its_own_is_refused():
    class Headless(nn.Linear):
        @property
        def base_model(self) -> nn.Module:
            return self

    with pytest.raises(InputError, match="Headless has no separate body"):
        body_of(Headless(2, 2))


def test_a_head_that_reads_neither_rows_nor_tokens_is_refused():
    class Sums(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = Body()

        def forward(self, x) -> ModelOutput:
            return SequenceClassifierOutput(logits=self.body(x["input_ids"])["last_hidden_state"].sum((1, 2)))

    class Body(nn.Module):
        def forward(self, ids) -> ModelOutput:
            return BaseModelOutput(last_hidden_state=torch.ones(len(ids), 3, 4))

    model = Sums()
    with pytest.raises(InputError, match=r"last_hidden_state of shape \(2, 3, 4\), which is neither"):
        fields_read(model, model.body, {"input_ids": torch.ones(2, 5)}, "input_ids")


def test_the_learning_rate_finder_keeps_nothing(tmp_path):
    learner = learner_of(SequenceClassification(), REVIEWS, "bert", CacheFrozenFeatures())
    learner.path = tmp_path
    learner.lr_find(num_it=20, show_plot=False)
    assert learner.cache_frozen_features.frozen is None

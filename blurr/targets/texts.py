"""Texts that a model writes as what a task learns to give, and the learner that generates them."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from fastai.learner import Learner
from transformers import GenerationConfig

from blurr.config.annotations import Smoothing
from blurr.data.core import RawData
from blurr.errors import shortened
from blurr.loading.rows import Table
from blurr.models.decoder import begin_as_in_training, end_as_in_training
from blurr.models.generation import OPTIONS, generate_texts, generation_config, own_settings, tokenizer_of
from blurr.models.objects import HFObjects
from blurr.targets.base import Loss, Target, weighted_cross_entropy
from blurr.training.inference import Result, infer
from blurr.training.learner import Blearner

log = logging.getLogger(__name__)


@dataclass
class Texts(Target):
    """A text for each row, compared with the raw text of the data.

    Args:
        loss: `model` is the Hugging Face model's own, `cross_entropy` fastai's; `auto` is the model's own unless label
            smoothing is requested. Or a loss of fastai, torch or your own, see `blurr.models.losses.CustomLoss`.
        label_smoothing: Share of the target that is spread over all tokens.
    """

    predicts: ClassVar[tuple[str, ...]] = ("texts",)
    options: ClassVar[Mapping[str, type]] = OPTIONS

    loss: Loss = "auto"
    label_smoothing: Smoothing = 0.0

    def loss_func(self, hf: HFObjects, raw: RawData) -> Any:
        return weighted_cross_entropy(self.loss, None, self.label_smoothing)

    def decode(self, learner: Learner) -> tuple[Any, Any]:
        rows: WithReferences = learner.dl.dataset
        return generated(learner), rows.references(learner.dl.rows_of(learner.iter))

    def describe(self, learner: Learner) -> Table:
        return [{"target": t, "prediction": p} for p, t in zip(*learner.decoded, strict=True)]

    def predict(self, learner: Learner, items: Any, **options: Any) -> list[Result]:
        key = learner.key if isinstance(learner, BlearnerForGeneration) else BlearnerForGeneration.key
        return blurr_generate(learner, items, **{"key": key, **options})


class WithReferences(Protocol):
    """Encoded rows that know the raw texts of their targets."""

    def references(self, rows: Iterable[int]) -> list[str]:
        """Return the raw target of each of these rows."""
        ...


def blurr_generate(
    learn: Learner,
    items: Any,
    *,
    key: str = "generated_texts",
    bs: int | None = None,
    seed: int | None = None,
    **settings: Any,
) -> list[Result]:
    """Generate a text for one item or many.

    Args:
        learn: a learner whose model can generate.
        items: a text, a dict of the columns, or a list, DataFrame, Series, Dataset of them.
        key: under which a result's text stands.
        bs: rows in a batch.
        seed: of sampling; `None` does not seed.
        settings: generation settings; they override the model's.

    Returns:
        One dict per item: under `key` its text, or a list of texts if `num_return_sequences` is above 1.
    """
    model, tokenizer = learn.model.hf_model, tokenizer_of(learn.dls.tokenizer)
    with torch.random.fork_rng(enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        texts = infer(learn, items, lambda x: generate_texts(model, tokenizer, x, settings), bs=bs)
    return [{key: text} for text in texts]


def generated(learn: Learner) -> list[Any]:
    """Generate a text for each row of the batch just run, reusing the encoder's output from computing the loss."""
    encoded = learn.blurr_model_outputs["encoder_last_hidden_state"]
    one = {"num_return_sequences": 1}  # metrics compare one text with one
    tokenizer = tokenizer_of(learn.dls.tokenizer)
    return generate_texts(learn.model.hf_model, tokenizer, learn.xb[0], one, encoded=encoded)


def tell_settings(settings: GenerationConfig, asked: Mapping[str, Any]) -> None:
    """Log the settings in force that the checkpoint made, and which of two lengths wins.

    Ids of special tokens belong to a model, and are nothing to choose.
    """
    own = {name: value for name, value in own_settings(settings, asked).items() if not name.endswith("_token_id")}
    stay = ", ".join(f"{name}={shortened(value)}" for name, value in own.items())
    if stay:
        log.info("Of the model's own generation settings these stay in force: %s.", stay)
    if asked.get("max_length") is not None and asked.get("max_new_tokens") is not None:
        log.info("Texts end by max_length=%s, not by max_new_tokens=%s.", asked["max_length"], asked["max_new_tokens"])


class BlearnerForGeneration(Blearner):
    """A `Blearner` whose predictions are generated texts.

    Args:
        generation: generation settings, see `generation_config`; the model keeps them, also when saved and loaded.
        args, kwargs: as for `Blearner`.
    """

    key: ClassVar[str] = "generated_texts"  # under which the text of a prediction stands

    def __init__(self, *args: Any, generation: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.set_generation(dict(generation or {}))

    def set_generation(self, asked: dict[str, Any]) -> None:
        """Have the model generate by these settings, and begin and end a text as in training."""
        hf_model, tokenizer = self.model.hf_model, tokenizer_of(self.dls.tokenizer)
        settings = generation_config(hf_model, {"pad_token_id": tokenizer.pad_token_id, **asked})
        if hf_model.config.is_encoder_decoder:
            begin_as_in_training(hf_model, tokenizer, settings, frozenset(asked))
        end_as_in_training(tokenizer, settings)
        hf_model.generation_config = settings
        tell_settings(settings, asked)

    def blurr_generate(self, items: Any, **options: Any) -> list[Result]:
        """Generate a text for one item or many; see `blurr.targets.texts.blurr_generate`."""
        return blurr_generate(self, items, **options)

    def decoded_predictions(self, batch: Any, **options: Any) -> Any:
        """Generate a text for each row of a batch."""
        was_training = self.model.training
        self.model.eval()
        inputs = {k: v.to(next(self.model.parameters()).device) for k, v in batch[0].items()}
        requested = options.get("text_gen_kwargs", {})
        texts = generate_texts(self.model.hf_model, tokenizer_of(self.dls.tokenizer), inputs, requested)
        self.model.train(was_training)
        return texts

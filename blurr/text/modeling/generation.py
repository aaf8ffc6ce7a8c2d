"""Generate texts: in batches, in eval mode, with the settings that the user asked for."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, ClassVar

import torch
from fastai.learner import Learner
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.modeling_outputs import BaseModelOutput

from blurr.errors import InputError, nearest
from blurr.text.data.core import Inputs
from blurr.text.modeling.core import Blearner, Result, infer

BEAMS_ONLY = ("early_stopping", "length_penalty")
SAMPLING_ONLY = ("temperature", "top_k", "top_p", "min_p", "top_h", "typical_p", "epsilon_cutoff", "eta_cutoff")

# the settings that a user of a trained model may change from text to text
OPTIONS: Mapping[str, type] = {
    "max_new_tokens": int,
    "num_beams": int,
    "num_return_sequences": int,
    "length_penalty": float,
    "do_sample": bool,
    "temperature": float,
    "top_k": int,
    "top_p": float,
}


def generation_config(model: PreTrainedModel, settings: Mapping[str, Any]) -> GenerationConfig:
    """Give the model's own generation settings, changed by the user's, which win.

    A length in new tokens puts one in all tokens out of force, and the other way round. What works with beams alone, or
    in sampling alone, is left out where there are none: transformers refuses to save it.

    Args:
        model: whose `generation_config` is the default; it is left as it is.
        settings: in the words of `transformers.GenerationConfig`, such as `num_beams` or `max_new_tokens`.

    Raises:
        InputError: a setting that transformers does not know, or values that do not go together.
    """
    config: Any = deepcopy(model.generation_config)  # its methods are not typed
    known = set(config.to_dict())
    unknown = [name for name in settings if name not in known]
    if unknown:
        raise InputError(
            f"Generation has no setting {unknown[0]!r}.{nearest(unknown[0], known)} "
            "The settings are those of transformers.GenerationConfig, such as num_beams or max_new_tokens."
        )
    for name, other in (("max_new_tokens", "max_length"), ("max_length", "max_new_tokens")):
        if settings.get(name) is not None and settings.get(other) is None:
            setattr(config, other, None)
    try:
        config.update(**settings)
    except ValueError as e:
        raise InputError(f"These generation settings do not go together: {e}") from e
    needless = (BEAMS_ONLY if config.num_beams in (None, 1) else ()) + (() if config.do_sample else SAMPLING_ONLY)
    for name in needless:
        setattr(config, name, None)
    result: GenerationConfig = config
    return result


def generate_texts(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    inputs: Inputs,
    settings: Mapping[str, Any] | None = None,
    *,
    encoded: torch.Tensor | None = None,
) -> list[Any]:
    """Generate one text per row of a batch, or a list of texts where `num_return_sequences` is above 1.

    A model that goes on with a prompt (one without an encoder) gives what follows it, without the prompt.

    Args:
        model: the Hugging Face model.
        tokenizer: turns ids into text.
        inputs: `input_ids` and `attention_mask`, both `(batch, sequence)`.
        settings: win over those of the model; see `generation_config`.
        encoded: the encoder's last hidden state `(batch, sequence, width)`, where it has been computed already.
    """
    config = generation_config(model, settings or {})
    given: dict[str, Any] = {k: inputs[k] for k in ("input_ids", "attention_mask")}
    prompt = 0
    if encoded is not None:
        given["encoder_outputs"] = BaseModelOutput(last_hidden_state=encoded)
    if not model.config.is_encoder_decoder:
        given = as_prompts(given, tokenizer, config.max_new_tokens or 0)
        prompt = given["input_ids"].shape[1]  # what comes back begins with the prompt
    with torch.inference_mode():
        ids = model.generate(**given, generation_config=config)  # type: ignore[operator]  # from a mixin, not typed
    texts = [text.strip() for text in tokenizer.batch_decode(ids[:, prompt:], skip_special_tokens=True)]
    n = config.num_return_sequences or 1
    return texts if n == 1 else [texts[i : i + n] for i in range(0, len(texts), n)]


def as_prompts(inputs: Inputs, tokenizer: PreTrainedTokenizerBase, new_tokens: int) -> Inputs:
    """Put the pads of a batch on the left, where a model can go on from a text's last token, and keep its last columns.

    Args:
        inputs: `input_ids` and `attention_mask`, both `(batch, sequence)`, padded on either side.
        tokenizer: knows the longest length that the model reads.
        new_tokens: for which room is kept within that length.

    Raises:
        InputError: `new_tokens` leave no room for a prompt.
    """
    room = tokenizer.model_max_length - new_tokens
    if room < 1:
        raise InputError(
            f"max_new_tokens={new_tokens} leaves no room for a text: the model reads and writes at most "
            f"{tokenizer.model_max_length} tokens together."
        )
    order = inputs["attention_mask"].argsort(dim=1, stable=True)
    kept = min(room, order.shape[1])
    return {name: values.gather(1, order)[:, -kept:] for name, values in inputs.items()}


def blurr_generate(
    learn: Learner, items: Any, *, key: str = "generated_texts", bs: int | None = None, **settings: Any
) -> list[Result]:
    """Generate a text for one item or many.

    Args:
        learn: a learner whose model can generate.
        items: a text, a dict of the columns, or a list, DataFrame, Series, Dataset of them.
        key: under which a result's text stands.
        bs: rows in a batch.
        settings: generation settings; they win over the model's.

    Returns:
        One dict per item: its text, or list of texts where `num_return_sequences` is above 1, under `key`.
    """
    model, tokenizer = learn.model.hf_model, learn.dls.tokenizer
    texts = infer(learn, items, lambda x: generate_texts(model, tokenizer, x, settings), bs=bs)
    return [{key: text} for text in texts]


def generated(learn: Learner) -> list[Any]:
    """Return the text that the model generates for each row of the batch it has just run.

    The encoder's output is at hand from computing the loss, so the source is not encoded again.
    """
    encoded = learn.blurr_model_outputs["encoder_last_hidden_state"]
    one = {"num_return_sequences": 1}  # a metric compares one text with one
    return generate_texts(learn.model.hf_model, learn.dls.tokenizer, learn.xb[0], one, encoded=encoded)


class BlearnerForGeneration(Blearner):
    """A `Blearner` whose predictions are generated texts.

    Args:
        generation: generation settings, see `generation_config`. The model takes them over: whatever generates with it,
            here or where it has been saved and loaded, does so alike.
        args, kwargs: as for `Blearner`.
    """

    key: ClassVar[str] = "generated_texts"  # under which the text of a prediction stands

    def __init__(self, *args: Any, generation: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        hf_model = self.model.hf_model
        pad = {"pad_token_id": self.dls.tokenizer.pad_token_id}
        hf_model.generation_config = generation_config(hf_model, {**pad, **(generation or {})})

    def blurr_generate(self, items: Any, **options: Any) -> list[Result]:
        """Generate a text for one item or many; see `blurr.text.modeling.generation.blurr_generate`."""
        return blurr_generate(self, items, **options)

    def predict(self, items: Any, **options: Any) -> list[Result]:
        """Generate a text for one item or many, under the `key` of this class; see `blurr_generate`."""
        return self.blurr_generate(items, **{"key": self.key, **options})

    def decoded_predictions(self, batch: Any, **options: Any) -> Any:
        """Generate a text for each row of a batch."""
        was_training = self.model.training
        self.model.eval()
        inputs = {k: v.to(next(self.model.parameters()).device) for k, v in batch[0].items()}
        wished = options.get("text_gen_kwargs", {})
        texts = generate_texts(self.model.hf_model, self.dls.tokenizer, inputs, wished)
        self.model.train(was_training)
        return texts

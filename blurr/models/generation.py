"""Generate texts in batches, with the settings of the model and the user."""

import logging
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin
from transformers.generation.streamers import BaseStreamer

from blurr.errors import InputError, nearest
from blurr.loading.rows import Inputs
from blurr.models.decoder import Encoded
from blurr.models.inputs import positions_of
from blurr.process.terminal import quiet

BEAMS_ONLY = ("early_stopping", "length_penalty")
SAMPLING_ONLY = ("temperature", "top_k", "top_p", "min_p", "top_h", "typical_p", "epsilon_cutoff", "eta_cutoff")
LENGTHS = ("max_length", "max_new_tokens")  # the first wins where both are given
STEPS = 2  # tokens to compare: the first, and one computed from cached keys and values
COUNT_PADS = (
    "max_length",
    "min_length",
    "repetition_penalty",
    "no_repeat_ngram_size",
)  # settings that count the pads of a prompt as its tokens
# not worth telling a user: ids that the tokenizer decides, and implementation details
BESIDE = frozenset(
    ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id", "transformers_version", "use_cache")
)

# what a user of a trained model may set for each call
OPTIONS: Mapping[str, type] = {
    "max_new_tokens": int,
    "max_length": int,
    "num_beams": int,
    "num_return_sequences": int,
    "length_penalty": float,
    "do_sample": bool,
    "temperature": float,
    "top_k": int,
    "top_p": float,
    "seed": int,
}


def generation_config(model: PreTrainedModel, settings: Mapping[str, Any]) -> GenerationConfig:
    """Return the model's generation settings, updated by the user's.

    `max_new_tokens` and `max_length` replace each other; given both, `max_length` wins, since the options of
    `generation` come with a `max_new_tokens`. The checkpoint's `min_length` is dropped if it exceeds the user's
    maximum. Settings for beams or sampling only are dropped without them: transformers refuses to save them.

    Args:
        model: Its `generation_config` is the default, and is not changed.
        settings: By the names of `transformers.GenerationConfig`, such as `num_beams` or `max_new_tokens`.

    Raises:
        InputError: a setting that transformers does not know, values that contradict each other, or a length that the
            decoder has no positions for.
    """
    config: Any = deepcopy(model.generation_config)  # untyped methods
    known = set(config.to_dict())
    unknown = [name for name in settings if name not in known]
    if unknown:
        raise InputError(
            f"Generation has no setting {unknown[0]!r}.{nearest(unknown[0], known)} "
            "The settings are those of transformers.GenerationConfig, such as num_beams or max_new_tokens."
        )
    try:
        config.update(**_one_length(config, settings))
    except ValueError as e:
        raise InputError(f"These generation settings do not go together: {e}") from e
    _check_length(model, {name: config.to_dict()[name] for name in LENGTHS if settings.get(name) is not None})
    if not _counts_layers(model):
        config.use_cache = False
    needless = (BEAMS_ONLY if config.num_beams in (None, 1) else ()) + (() if config.do_sample else SAMPLING_ONLY)
    for name in needless:
        setattr(config, name, None)
    result: GenerationConfig = config
    return result


def _counts_layers(model: PreTrainedModel) -> bool:
    """Return whether the config says for how many layers to keep keys and values; BLT's, for three models, does not."""
    config = model.config.get_text_config(decoder=True)
    return not {"num_hidden_layers"}.isdisjoint({*config.to_dict(), *config.attribute_map})


def _check_length(model: PreTrainedModel, lengths: Mapping[str, int | None]) -> None:
    """Refuse texts longer than the decoder has positions for."""
    most = positions_of(model).target if lengths else None
    for name, length in lengths.items():
        room = None if most is None else most + (name == "max_length")  # which counts the first token, too
        if length is not None and room is not None and length > room:
            raise InputError(
                f"{name}={length}: the decoder of this {model.config.model_type} has {most} positions. Set {name} to "
                f"{room} or less."
            )


def _one_length(config: GenerationConfig, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings with one maximal length, and without a minimal length of the checkpoint above it."""
    lengths = {name: settings.get(name) for name in LENGTHS}
    name = next((name for name, value in lengths.items() if value is not None), None)
    if name is None:
        return dict(settings)
    least = config.min_length if "min_length" not in settings else None
    too_long = {"min_length": None} if least and least >= settings[name] else {}
    return {**too_long, **settings, **dict.fromkeys(lengths), name: settings[name]}


def own_settings(config: GenerationConfig, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the generation settings in force that the checkpoint made and not the user.

    Args:
        config: The result of `generation_config`.
        settings: The user's.
    """
    values: dict[str, Any] = config.to_diff_dict()
    beside = BESIDE | set(settings)
    told = {name: value for name, value in values.items() if name not in beside and not name.startswith("_")}
    return {name: value for name, value in told.items() if value not in (None, False)}


def generate_texts(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    inputs: Inputs,
    settings: Mapping[str, Any] | None = None,
    *,
    encoded: torch.Tensor | None = None,
) -> list[Any]:
    """Generate a text per row of a batch, or a list of texts if `num_return_sequences` is above 1.

    A decoder-only model returns the continuation, without the prompt.

    Args:
        model: The Hugging Face model.
        tokenizer: Turns ids into text.
        inputs: `input_ids` and `attention_mask`, both `(batch, sequence)`, or what the encoder reads.
        settings: Override those of the model; see `generation_config`.
        encoded: The encoder's last hidden state `(batch, sequence, width)`, if already computed.

    Raises:
        InputError: see `generation_config` and `as_prompts`.
    """
    config = generation_config(model, settings or {})
    given: dict[str, Any] = read_by(model, inputs)
    if model.config.is_encoder_decoder:
        if encoded is not None:
            given["encoder_outputs"] = Encoded(last_hidden_state=encoded)
        return _texts(model, tokenizer, given, config, prompt=0)
    prompts = as_prompts(given, tokenizer, config)
    lengths = prompts["attention_mask"].sum(1)
    if not any(getattr(config, name) for name in COUNT_PADS):
        return _texts(model, tokenizer, prompts, config, prompt=int(lengths.max()))
    texts: list[Any] = [None] * len(lengths)
    for length in set(lengths.tolist()):  # otherwise pads would count as tokens of the text
        rows = (lengths == length).nonzero()[:, 0]
        alike = {name: values[rows, -length:] for name, values in prompts.items()}
        for row, text in zip(rows.tolist(), _texts(model, tokenizer, alike, config, prompt=length), strict=True):
            texts[row] = text
    return texts


def stream_tokens(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    inputs: Inputs,
    settings: Mapping[str, Any],
    streamer: BaseStreamer,
) -> None:
    """Generate one text, and hand over the prompt and then each token as it is made.

    Args:
        model: A decoder-only model.
        tokenizer: Knows the longest input.
        inputs: As for `generate_texts`, of one row.
        settings: Override those of the model; see `generation_config`.
        streamer: Takes the ids; an exception that it raises ends the text.

    Raises:
        InputError: see `generation_config` and `as_prompts`.
    """
    config = generation_config(model, {**settings, "num_beams": 1, "num_return_sequences": 1})
    prompt = as_prompts(read_by(model, inputs), tokenizer, config)
    with torch.inference_mode():
        model.generate(**prompt, generation_config=config, streamer=streamer)  # type: ignore[operator]  # from a mixin


def read_by(model: PreTrainedModel, inputs: Inputs) -> Inputs:
    """Return the inputs that generation begins with: the model's main one, and its mask if there is one."""
    return {name: inputs[name] for name in (model.main_input_name, "attention_mask") if name in inputs}


def tokenizer_of(processor: Any) -> Any:
    """Return what turns ids into texts: the processor of texts itself, or the tokenizer in one of other inputs."""
    return processor.tokenizer if isinstance(processor, ProcessorMixin) else processor


def _texts(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    given: Mapping[str, Any],
    config: GenerationConfig,
    *,
    prompt: int,
) -> list[Any]:
    # transformers drops a mask without pads, and then warns of the pads behind texts that have ended
    with torch.inference_mode(), quiet("transformers.modeling_utils", level=logging.ERROR):
        ids = model.generate(**given, generation_config=config)  # type: ignore[operator]  # from a mixin, not typed
    # the output begins with the prompt
    texts = [text.strip() for text in tokenizer.batch_decode(ids[:, prompt:], skip_special_tokens=True)]
    n = config.num_return_sequences or 1
    return texts if n == 1 else [texts[i : i + n] for i in range(0, len(texts), n)]


def first_steps(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, inputs: Inputs) -> list[torch.Tensor]:
    """Return the logits of the first generated tokens of a batch's first row, `(vocabulary,)` each."""
    told = {"output_logits": True, "return_dict_in_generate": True}
    plain = {"num_beams": 1, "num_return_sequences": 1, "do_sample": False, "min_length": None, "min_new_tokens": None}
    config = generation_config(model, {**plain, **told, "max_new_tokens": STEPS})
    given = read_by(model, inputs)
    if not model.config.is_encoder_decoder:
        given = as_prompts(given, tokenizer, config)
    with torch.inference_mode():
        made = model.generate(**given, generation_config=config)  # type: ignore[operator]  # from a mixin, not typed
    return [logits[0].float() for logits in made.logits]


def as_prompts(inputs: Inputs, tokenizer: PreTrainedTokenizerBase, config: GenerationConfig) -> Inputs:
    """Move the pads of a batch to the left, and truncate prompts on the left to leave room for new tokens.

    Args:
        inputs: `input_ids` and `attention_mask`, both `(batch, sequence)`, padded on either side.
        tokenizer: Knows the model's longest input.
        config: Says how many new tokens need room.

    Raises:
        InputError: no room is left for a prompt or its continuation, or a prompt is empty.
    """
    new_tokens = config.max_new_tokens or 0
    room = tokenizer.model_max_length - new_tokens
    if room < 1:
        raise InputError(
            f"max_new_tokens={new_tokens} leaves no room for a text: the model reads and writes at most "
            f"{tokenizer.model_max_length} tokens together."
        )
    order = inputs["attention_mask"].argsort(dim=1, stable=True)
    longest = int(inputs["attention_mask"].sum(1).max())
    if not longest:
        raise InputError(
            "There is nothing to continue: the text is empty, and the tokenizer adds no token to begin with."
        )
    if config.max_new_tokens is None and config.max_length is not None and longest >= config.max_length:
        raise InputError(
            f"max_length={config.max_length} counts the tokens of the prompt, too, of which there are {longest}. "
            f"Set max_new_tokens instead, or a larger max_length."
        )
    kept = min(room, longest)
    return {name: values.gather(1, order)[:, -kept:] for name, values in inputs.items()}

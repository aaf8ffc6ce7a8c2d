"""Generate texts: in batches, in eval mode, with the settings that the user asked for."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from blurr.errors import InputError, nearest
from blurr.loading.rows import Inputs
from blurr.models.decoder import Encoded
from blurr.models.positions import positions_of

BEAMS_ONLY = ("early_stopping", "length_penalty")
SAMPLING_ONLY = ("temperature", "top_k", "top_p", "min_p", "top_h", "typical_p", "epsilon_cutoff", "eta_cutoff")
LENGTHS = ("max_length", "max_new_tokens")  # the first is in force where both are given
STEPS = 2  # tokens by which a model is tried: the first one, and one that it has kept keys and values for
COUNT_PADS = ("max_length", "min_length", "repetition_penalty", "no_repeat_ngram_size")  # those of a prompt, too
# of no interest to who reads a text: ids that the tokenizer has, and how a model goes about its work
BESIDE = frozenset(
    ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id", "transformers_version", "use_cache")
)

# the settings that a user of a trained model may change from text to text
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
    """Return the model's own generation settings, changed by the user's, which win.

    A length in new tokens puts one in all tokens out of force, and the other way round; of both together, `max_length`
    is in force, since the options of `generation` come with a `max_new_tokens` of their own. A least length of the
    checkpoint's goes where it is above the user's longest. What works with beams alone, or in sampling alone, is left
    out where there are none: transformers refuses to save it.

    Args:
        model: whose `generation_config` is the default; it is left as it is.
        settings: in the words of `transformers.GenerationConfig`, such as `num_beams` or `max_new_tokens`.

    Raises:
        InputError: a setting that transformers does not know, values that do not go together, or a length that the
            decoder has no positions for.
    """
    config: Any = deepcopy(model.generation_config)  # its methods are not typed
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
    needless = (BEAMS_ONLY if config.num_beams in (None, 1) else ()) + (() if config.do_sample else SAMPLING_ONLY)
    for name in needless:
        setattr(config, name, None)
    result: GenerationConfig = config
    return result


def _check_length(model: PreTrainedModel, lengths: Mapping[str, int | None]) -> None:
    """Refuse texts that are longer than a decoder has positions for; the last token is not read again."""
    most = positions_of(model).target if lengths else None
    for name, length in lengths.items():
        room = None if most is None else most + (name == "max_length")  # which counts the first token, too
        if length is not None and room is not None and length > room:
            raise InputError(
                f"{name}={length}: the decoder of this {model.config.model_type} has {most} positions. Set {name} to "
                f"{room} or less."
            )


def _one_length(config: GenerationConfig, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings with one longest length, and no least length of the checkpoint's that is above it."""
    lengths = {name: settings.get(name) for name in LENGTHS}
    name = next((name for name, value in lengths.items() if value is not None), None)
    if name is None:
        return dict(settings)
    least = config.min_length if "min_length" not in settings else None
    too_long = {"min_length": None} if least and least >= settings[name] else {}
    return {**too_long, **settings, **dict.fromkeys(lengths), name: settings[name]}


def own_settings(config: GenerationConfig, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a checkpoint's own generation settings still say beside the user's.

    Args:
        config: what `generation_config` has made of both.
        settings: the user's.
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
    """Generate one text per row of a batch, or a list of texts where `num_return_sequences` is above 1.

    A model that goes on with a prompt (one without an encoder) gives what follows it, without the prompt.

    Args:
        model: the Hugging Face model.
        tokenizer: turns ids into text.
        inputs: `input_ids` and `attention_mask`, both `(batch, sequence)`.
        settings: win over those of the model; see `generation_config`.
        encoded: the encoder's last hidden state `(batch, sequence, width)`, where it has been computed already.

    Raises:
        InputError: see `generation_config` and `as_prompts`.
    """
    config = generation_config(model, settings or {})
    given: dict[str, Any] = {k: inputs[k] for k in ("input_ids", "attention_mask")}
    if model.config.is_encoder_decoder:
        if encoded is not None:
            given["encoder_outputs"] = Encoded(last_hidden_state=encoded)
        return _texts(model, tokenizer, given, config, prompt=0)
    prompts = as_prompts(given, tokenizer, config)
    lengths = prompts["attention_mask"].sum(1)
    if not any(getattr(config, name) for name in COUNT_PADS):
        return _texts(model, tokenizer, prompts, config, prompt=int(lengths.max()))
    texts: list[Any] = [None] * len(lengths)
    for length in set(lengths.tolist()):  # a pad would count as a token of the text
        rows = (lengths == length).nonzero()[:, 0]
        alike = {name: values[rows, -length:] for name, values in prompts.items()}
        for row, text in zip(rows.tolist(), _texts(model, tokenizer, alike, config, prompt=length), strict=True):
            texts[row] = text
    return texts


def _texts(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    given: Mapping[str, Any],
    config: GenerationConfig,
    *,
    prompt: int,
) -> list[Any]:
    with torch.inference_mode():
        ids = model.generate(**given, generation_config=config)  # type: ignore[operator]  # from a mixin, not typed
    # what comes back begins with the prompt
    texts = [text.strip() for text in tokenizer.batch_decode(ids[:, prompt:], skip_special_tokens=True)]
    n = config.num_return_sequences or 1
    return texts if n == 1 else [texts[i : i + n] for i in range(0, len(texts), n)]


def first_steps(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, inputs: Inputs) -> list[torch.Tensor]:
    """Return the logits of the first tokens that a model generates for the first row of a batch, `(vocabulary,)` each.

    Args:
        model: the Hugging Face model.
        tokenizer: knows the longest length that the model reads.
        inputs: `input_ids` and `attention_mask`, both `(batch, sequence)`.
    """
    told = {"output_logits": True, "return_dict_in_generate": True}
    plain = {"num_beams": 1, "num_return_sequences": 1, "do_sample": False, "min_length": None, "min_new_tokens": None}
    config = generation_config(model, {**plain, **told, "max_new_tokens": STEPS})
    given = {k: inputs[k] for k in ("input_ids", "attention_mask")}
    if not model.config.is_encoder_decoder:
        given = as_prompts(given, tokenizer, config)
    with torch.inference_mode():
        made = model.generate(**given, generation_config=config)  # type: ignore[operator]  # from a mixin, not typed
    return [logits[0].float() for logits in made.logits]


def as_prompts(inputs: Inputs, tokenizer: PreTrainedTokenizerBase, config: GenerationConfig) -> Inputs:
    """Put the pads of a batch on the left, where a model can go on from a text's last token, and keep its last columns.

    Args:
        inputs: `input_ids` and `attention_mask`, both `(batch, sequence)`, padded on either side.
        tokenizer: knows the longest length that the model reads.
        config: how many new tokens it shall write, for which room is kept within that length.

    Raises:
        InputError: no room is left for a prompt, or for what shall follow one.
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
        raise InputError("There is nothing to go on with: the text is empty, and the tokenizer begins none by itself.")
    if config.max_new_tokens is None and config.max_length is not None and longest >= config.max_length:
        raise InputError(
            f"max_length={config.max_length} counts the tokens of the text to go on with, too, of which there are "
            f"{longest}. Set max_new_tokens instead, or a larger max_length."
        )
    kept = min(room, longest)
    return {name: values.gather(1, order)[:, -kept:] for name, values in inputs.items()}

"""Whisper's way to write: tokens for language, task and timestamps before a text, and its settings of generation."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from transformers import PreTrainedModel, WhisperTokenizer
from transformers.models.whisper.tokenization_whisper import LANGUAGES, TO_LANGUAGE_CODE

from blurr.errors import InputError, nearest

PRECISION = 0.02  # seconds between two timestamps
START, NO_TIMESTAMPS = "<|startoftranscript|>", "<|notimestamps|>"
TIME = re.compile(r"<\|(\d+\.\d\d)\|>")


class WhisperSettings(NamedTuple):
    """What a user asks of Whisper, by the names of the task's settings.

    Attributes:
        language: Code or English name of the language; None leaves it to the checkpoint.
        translate: Write English whatever is spoken.
        timestamps: Write when each part of a text is said.
    """

    language: str | None
    translate: bool
    timestamps: bool


def is_whisper(tokenizer: Any) -> bool:
    """Return whether texts begin with tokens as Whisper's do."""
    return isinstance(tokenizer, WhisperTokenizer)


def language_code(language: str) -> str:
    """Return the code of a language, by its code or English name.

    Raises:
        InputError: Whisper does not know it.
    """
    code = TO_LANGUAGE_CODE.get(language.lower(), language.lower())
    if code not in LANGUAGES:
        known = [*LANGUAGES, *TO_LANGUAGE_CODE]
        raise InputError(
            f"task.language={language} is not a language of Whisper.{nearest(language, known)}"
            " Name it by its code, such as de, or in English, such as german."
        )
    return code


def check_settings(model: PreTrainedModel, tokenizer: Any, asked: WhisperSettings) -> None:
    """Refuse settings that a model cannot follow.

    Raises:
        InputError: another architecture than Whisper's, or a checkpoint of English alone.
    """
    named = [f"task.{name}" for name, value in zip(WhisperSettings._fields, asked, strict=True) if value]
    if not is_whisper(tokenizer):
        if named:
            raise InputError(
                f"{named[0]} is a setting of Whisper, and this model is a {model.config.model_type}. Leave it out."
            )
        return
    if asked.language is not None:
        language_code(asked.language)
    many = is_multilingual(model)
    if not many and (asked.translate or (asked.language and language_code(asked.language) != "en")):
        raise InputError(
            f"{named[0]}: this checkpoint of Whisper knows English alone. Take one of many languages, such as "
            "openai/whisper-tiny, or leave it out."
        )
    if asked.translate and asked.language is None:
        raise InputError("task.translate=true needs the language that is spoken: set task.language, such as de.")


def check_language(model: PreTrainedModel, tokenizer: Any, language: str | None) -> None:
    """Refuse to train a Whisper of many languages on texts of none: it would not begin them as it begins to write.

    Raises:
        InputError: no language is set.
    """
    if language is None and is_whisper(tokenizer) and is_multilingual(model):
        raise InputError(
            "This checkpoint of Whisper writes in many languages, and begins a text with the one that it is in. Say in "
            "which the texts of the training rows are: task.language=en"
        )


def is_multilingual(model: PreTrainedModel) -> bool:
    """Return whether a checkpoint of Whisper has tokens for languages, as its generation settings say."""
    config: Any = model.generation_config
    return bool(config.to_dict().get("is_multilingual"))


def prefix_of(model: PreTrainedModel, tokenizer: WhisperTokenizer, asked: WhisperSettings) -> list[int]:
    """Return the tokens before a text, after the first, which the model's shift of the labels puts there."""
    names = []
    if is_multilingual(model) and asked.language is not None:
        names += [f"<|{language_code(asked.language)}|>", "<|translate|>" if asked.translate else "<|transcribe|>"]
    names += [] if asked.timestamps else [NO_TIMESTAMPS]
    return [id_of(tokenizer, name) for name in names]


def labels_of(
    model: PreTrainedModel,
    tokenizer: WhisperTokenizer,
    asked: WhisperSettings,
    texts: Sequence[str],
    seconds: Sequence[float],
) -> list[list[int]]:
    """Return the tokens that a model learns to write for texts.

    Args:
        model: A Whisper.
        tokenizer: Its own.
        asked: The settings.
        texts: Of the sounds.
        seconds: How long each sound is.
    """
    prefix, end = prefix_of(model, tokenizer, asked), int(tokenizer.eos_token_id)
    plain = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    if not asked.timestamps:
        return [[*prefix, *ids, end] for ids in plain]
    zero = first_time(tokenizer)
    times = [zero + round(each / PRECISION) for each in seconds]
    return [[*prefix, zero, *ids, time, end] for ids, time in zip(plain, times, strict=True)]


def first_time(tokenizer: WhisperTokenizer) -> int:
    """Return the id of the timestamp of 0 seconds; the others follow."""
    return id_of(tokenizer, NO_TIMESTAMPS) + 1


def id_of(tokenizer: Any, token: str) -> int:
    """Return the id of a token of Whisper's own."""
    return int(tokenizer.convert_tokens_to_ids(token))


def set_generation(model: PreTrainedModel, tokenizer: WhisperTokenizer, asked: WhisperSettings) -> None:
    """Have a model generate by the user's settings; it keeps them when it is saved."""
    config: Any = model.generation_config
    config.no_timestamps_token_id = id_of(tokenizer, NO_TIMESTAMPS)
    config.is_multilingual, config.return_timestamps = is_multilingual(model), asked.timestamps
    if is_multilingual(model):
        config.task = "translate" if asked.translate else "transcribe"
        config.language = None if asked.language is None else language_code(asked.language)


class Timed:
    """Turns ids into texts with their timestamps, such as `<|0.00|> yes<|0.84|>`.

    Args:
        tokenizer: Whisper's.
    """

    def __init__(self, tokenizer: WhisperTokenizer) -> None:
        self.tokenizer, self.zero = tokenizer, first_time(tokenizer)

    def batch_decode(self, rows: torch.Tensor, **options: Any) -> list[str]:
        """Return a text per row."""
        return [self._decoded(row.tolist(), options) for row in rows]

    def _decoded(self, ids: list[int], options: dict[str, Any]) -> str:
        parts: list[str] = []
        run: list[int] = []
        for token in [*ids, self.zero]:
            if token >= self.zero:
                parts += [self.tokenizer.decode(run, **options), f"<|{(token - self.zero) * PRECISION:.2f}|>"]
                run = []
            else:
                run.append(token)
        return "".join(parts[:-1])


def segments_in(text: str, seconds: float) -> list[tuple[float, float, str]]:
    """Return start, end and text of the parts of a text with timestamps.

    Args:
        text: As `Timed` makes it.
        seconds: Of the sound, at which a part ends that has no end.
    """
    found: list[tuple[float, float, str]] = []
    pieces = TIME.split(text)
    times = [0.0, *(float(each) for each in pieces[1::2]), seconds]
    for number, piece in enumerate(pieces[::2]):
        if piece.strip():
            found.append(
                (min(times[number], seconds), max(times[number], min(times[number + 1], seconds)), piece.strip())
            )
    return found

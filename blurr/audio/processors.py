"""Processors of models that write what they hear: a feature extractor and a tokenizer in one."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoProcessor,
    PretrainedConfig,
    Wav2Vec2Processor,
    WhisperProcessor,
)

from blurr.audio.extractors import described, extractor_of, fit_extractor, new_extractor, without_empty_bands
from blurr.audio.inputs import SoundInputs
from blurr.audio.vocabularies import END_OF_WHISPER, letters_of, pieces_of
from blurr.audio.whisper import PRECISION, START, id_of
from blurr.errors import InputError
from blurr.models.auto import TABLES
from blurr.models.inputs import Positions

WHERE = ("cache_dir", "revision", "trust_remote_code")


def writes_frames(config: PretrainedConfig) -> bool:
    """Return whether models of a config say a token for each frame, and have no decoder that writes."""
    return config.model_type in TABLES["AutoModelForCTC"]


@dataclass(frozen=True)
class SpeechInputs(SoundInputs):
    """Processors, by the contract of `models.inputs.ModalityInputs`.

    Args:
        corpus: Yields the texts of the training rows; None where there are none.
    """

    corpus: Callable[[], Iterable[str]] | None = None

    def with_texts(self, corpus: Callable[[], Iterable[str]]) -> Self:
        return replace(self, corpus=corpus)

    def vocabulary_config(self, processor: Any) -> dict[str, Any]:
        tokenizer = processor.tokenizer
        if tokenizer.name_or_path:  # of the checkpoint that it was loaded from
            return {}
        pad = tokenizer.pad_token_id
        return {"vocab_size": len(tokenizer), "pad_token_id": pad, "blank_token_id": pad}

    def load(self, name: str, **options: Any) -> Any:
        """Load the processor of a checkpoint; one for CTC that has no vocabulary gets that of the training texts.

        Raises:
            InputError: it has no vocabulary, and none can be learned for it.
        """
        try:
            with without_empty_bands():
                return AutoProcessor.from_pretrained(name, **options)  # type: ignore[no-untyped-call]
        except (OSError, TypeError, ValueError) as error:
            where = {key: value for key, value in options.items() if key in WHERE}
            config = AutoConfig.from_pretrained(name, **where)
            extractor = AutoFeatureExtractor.from_pretrained(name, **options)  # type: ignore[no-untyped-call]
            if not writes_frames(config) or self.corpus is None:
                raise InputError(
                    f"{name} has no vocabulary to write with ({str(error).splitlines()[0]}). Choose a checkpoint for "
                    "speech recognition, or one for CTC, which is trained with the characters of your texts."
                ) from error
        return Wav2Vec2Processor(extractor, letters_of(self.corpus()))  # type: ignore[no-untyped-call]

    def train(self, arch: str, corpus: Iterable[str], *, vocab_size: int, kind: str | None) -> Any:
        extractor = new_extractor(arch)
        if arch in TABLES["AutoModelForCTC"]:
            return Wav2Vec2Processor(extractor, letters_of(corpus))  # type: ignore[no-untyped-call]
        made = WhisperProcessor if arch == "whisper" else Wav2Vec2Processor
        return made(extractor, pieces_of(arch, corpus, vocab_size))

    def scratch_config(self, processor: Any, sizes: Mapping[str, Any]) -> dict[str, Any]:
        values = fit_extractor(extractor_of(processor), sizes)
        tokenizer, pad = processor.tokenizer, processor.tokenizer.pad_token_id
        if "ctc" in type(tokenizer).__name__.lower():
            return {
                **values,
                "vocab_size": len(tokenizer),
                "pad_token_id": pad,
                "blank_token_id": pad,
                "bos_token_id": pad,  # nothing begins or ends, and some configs must have a number
                "eos_token_id": pad,
            }
        ids = {"pad_token_id": pad, "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
        start, times = tokenizer.bos_token_id, 0
        if tokenizer.eos_token == END_OF_WHISPER:
            start = id_of(tokenizer, START)
            times = round(processor.feature_extractor.chunk_length / PRECISION) + 1
        return {**values, **ids, "decoder_start_token_id": start, "vocab_size": len(tokenizer) + times}

    def limit(self, processor: Any, config: PretrainedConfig, positions: Positions) -> None:
        if writes_frames(config):
            # as blurr computes the loss, for whoever trains what it saves
            config.ctc_loss_reduction, config.ctc_zero_infinity = "mean", True

    def describe(self, processor: Any) -> dict[str, Any]:
        tokenizer = processor.tokenizer
        vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[1])
        return {**described(extractor_of(processor)), "tokenizer": type(tokenizer).__name__, "vocabulary": vocabulary}

    def summary(self, processor: Any) -> dict[str, str]:
        return {**super().summary(processor), "vocabulary": f"{len(processor.tokenizer):,} tokens"}


SPEECH = SpeechInputs()

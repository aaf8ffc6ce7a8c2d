"""Feature extractors: what turns waves into the inputs of a model."""

import inspect
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from transformers import FeatureExtractionMixin, Wav2Vec2FeatureExtractor
from transformers.models.auto import feature_extraction_auto

from blurr.errors import InputError
from blurr.loading.rows import InputNames

OF_FEATURES = {"wav2vec2-bert": "SeamlessM4TFeatureExtractor"}  # transformers' table has the one of waves
PROBES = (0.5, 1.0)  # seconds of sounds that show what is made of them
UNIT = "samples"
HOP = 160  # samples between two frames, in transformers' extractors of spectra


def extractor_of(processor: Any) -> Any:
    """Return the feature extractor of a processor, which may be one itself."""
    return processor if isinstance(processor, FeatureExtractionMixin) else processor.feature_extractor


def new_extractor(arch: str) -> Any:
    """Make the feature extractor of a model from scratch.

    Raises:
        InputError: the architecture reads no sounds.
    """
    name = OF_FEATURES.get(arch) or vars(feature_extraction_auto)["FEATURE_EXTRACTOR_MAPPING_NAMES"].get(arch)
    if name is None:
        raise InputError(f"model.arch={arch} reads no sounds. Choose a model such as whisper or wav2vec2.")
    options = {"return_attention_mask": True} if name == Wav2Vec2FeatureExtractor.__name__ else {}
    with without_empty_bands():
        return getattr(transformers, name)(**options)


@contextmanager
def without_empty_bands() -> Iterator[None]:
    """Ignore that some bands of a spectrum have no frequency, as those of AST's checkpoints are, which learned so."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "At least one mel filter has all zero values")
        yield


def fit_extractor(extractor: Any, sizes: Mapping[str, Any]) -> dict[str, Any]:
    """Fit the feature extractor of a model from scratch to its sizes; return the config values that it decides.

    Args:
        extractor: Changed in place.
        sizes: Of the model: `sampling_rate` in Hz, `num_mel_bins`, `chunk_length`, the seconds of Whisper's window, and
            `max_length`, the frames of AST's.
    """
    known = settings_of(extractor)
    values: dict[str, Any] = {}
    for name in ("sampling_rate", "num_mel_bins", "chunk_length", "max_length"):
        if name in sizes and name in known:
            values[name] = sizes[name]
    if known["feature_size"] > 1 and "num_mel_bins" in sizes:
        values["feature_size"] = sizes["num_mel_bins"]
    with without_empty_bands():
        vars(extractor).update(vars(type(extractor)(**{**known, **values})))
    names_of.cache_clear()
    return {"max_source_positions": extractor.nb_max_frames // 2} if "chunk_length" in known else {}


def settings_of(extractor: Any) -> dict[str, Any]:
    """Return the arguments that make a feature extractor like this one."""
    values = extractor.to_dict()
    return {name: values[name] for name in arguments_of(extractor) if name in values}


def arguments_of(extractor: Any) -> Collection[str]:
    """Return the names of the arguments that make a feature extractor of this kind."""
    return inspect.signature(type(extractor)).parameters


def extracted(extractor: Any, waves: Sequence[NDArray[np.float32]]) -> dict[str, torch.Tensor]:
    """Return what a feature extractor makes of waves: inputs `(batch, …)`, padded to the longest, and their mask."""
    options = {} if window_of(extractor) else {"padding": True}
    return dict(extractor(list(waves), sampling_rate=extractor.sampling_rate, return_tensors="pt", **options))


def window_of(extractor: Any) -> float | None:
    """Return the seconds of the window that any sound is cut or padded to; None where longer ones make longer inputs.

    Whisper has 30 seconds, AST a number of frames.
    """
    known = arguments_of(extractor)
    if "chunk_length" in known:
        return float(extractor.chunk_length)
    if "max_length" in known:
        return float(extractor.max_length * HOP / extractor.sampling_rate)
    return None


@lru_cache(maxsize=16)  # it is asked for all items that are predicted, and tries the extractor out
def names_of(extractor: Any) -> InputNames:
    """Return what a feature extractor calls its inputs and their mask."""
    made = extracted(extractor, [np.zeros(int(seconds * extractor.sampling_rate), np.float32) for seconds in PROBES])
    mask = next((name for name in made if name.endswith("mask")), "")
    return InputNames(next(iter(made)), mask, "" if window_of(extractor) else UNIT)


def reads_waves(extractor: Any) -> bool:
    """Return whether inputs are waves themselves, and not spectra."""
    made = extracted(extractor, [np.zeros(int(PROBES[0] * extractor.sampling_rate), np.float32)])
    return made[names_of(extractor).main].shape[-1] >= int(PROBES[0] * extractor.sampling_rate)


def frames_last(extractor: Any) -> bool:
    """Return whether spectra are `(batch, frequencies, frames)`, as Whisper's are."""
    return "chunk_length" in arguments_of(extractor)


def described(extractor: Any) -> dict[str, Any]:
    """Return all that decides what a feature extractor makes of a wave, as plain values."""
    return {"class": type(extractor).__name__, **settings_of(extractor)}

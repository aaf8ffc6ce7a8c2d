"""Sounds as input: feature extractors made, loaded and fitted to models, waves batched and shown again."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from fasttransform import ItemTransform
from transformers import AutoFeatureExtractor, PretrainedConfig, PreTrainedModel

from blurr.audio.augment import SoundChanges
from blurr.audio.extractors import (
    UNIT,
    described,
    extracted,
    extractor_of,
    fit_extractor,
    frames_last,
    names_of,
    new_extractor,
    reads_waves,
    window_of,
    without_empty_bands,
)
from blurr.audio.players import shown_sound
from blurr.audio.waves import Waves
from blurr.loading.collate import stacked
from blurr.loading.dataloader import RowsDL
from blurr.loading.draws import SEEDS
from blurr.loading.rows import IGNORED, Batch, EncodedRows, InputNames, Inputs, Row, Table
from blurr.models.inputs import Positions
from blurr.models.objects import HFObjects
from blurr.targets.labels import with_labels

MASKS = ("attention_mask", "padding_mask")
WAVE = "wave"  # the column of encoded rows
NUMBER = "number"  # of each row of a batch in its loader, to find its sound again


class SoundRows(EncodedRows):
    """Sounds with their targets, as long as their waves, in samples, unless the model reads windows of one length.

    Attributes:
        extractor: Makes the model's inputs of the waves, in the collator.
    """

    names: InputNames = InputNames(main="input_values", unit=UNIT)
    is_drawn: ClassVar[bool] = True
    extractor: Any = None

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {**super().__getitem__(index), NUMBER: index}

    @property
    def seconds_to_make(self) -> float:
        """Seconds of one processor for a pass: what is decoded, and what the feature extractor makes of it."""
        if self.extractor is None or not len(self):
            return super().seconds_to_make
        wave = np.asarray(self.columns[WAVE][0])
        begun = time.perf_counter()
        extracted(self.extractor, [wave])
        return super().seconds_to_make + len(self) * (time.perf_counter() - begun)

    def wave(self, number: int) -> Any:
        """Return the wave of a row, `(samples,)`, and its samples per second."""
        waves: Any = self.columns[WAVE]
        return waves[number], waves.rate


def sound_rows(
    sounds: Sequence[Mapping[str, Any]],
    columns: Mapping[str, Any],
    hf: HFObjects,
    vocab: list[str] | None,
    *,
    most_seconds: float | None = None,
) -> SoundRows:
    """Put the waves of sounds beside the columns of their targets.

    Args:
        sounds: Cells of the rows.
        columns: Name to values.
        hf: Has the feature extractor.
        vocab: Names of the labels, if there are any.
        most_seconds: To which longer sounds are cut; None keeps them whole.
    """
    extractor = extractor_of(hf.processor)
    rate = extractor.sampling_rate
    most = None if most_seconds is None else round(most_seconds * rate)
    rows = SoundRows({WAVE: Waves(sounds, rate, most), **columns}, vocab)
    rows.names, rows.rate, rows.extractor = names_of(extractor), rate, extractor
    return rows


class SoundCollator:
    """Make a model's input of the waves of rows; works in any `torch.utils.data.DataLoader`.

    A call returns `(inputs, targets)`. `inputs` holds what the feature extractor makes of the waves, padded to the
    longest: `input_values` `(batch, samples)` or `input_features`, and the mask where it gives one; the other columns
    of the rows; and `labels`, equal to the targets: `(batch,)`, `(batch, labels)`, or `(batch, sequence)` padded by
    -100.

    Args:
        extractor: A feature extractor of transformers.
    """

    def __init__(self, extractor: Any) -> None:
        self.extractor = extractor

    def __call__(self, rows: Sequence[Row]) -> Batch:
        inputs = extracted(self.extractor, [np.asarray(row[WAVE]) for row in rows])
        others = [name for name in rows[0] if name != WAVE]
        inputs |= {name: stacked([row[name] for row in rows], IGNORED) for name in others}
        return inputs, inputs.get("labels", torch.empty(len(rows), 0))


def mask_in(inputs: Mapping[str, torch.Tensor]) -> torch.Tensor | None:
    """Return the mask of what a feature extractor has made, by whatever name it has."""
    return next((inputs[name] for name in MASKS if name in inputs), None)


class ChangeWaves(ItemTransform):  # type: ignore[misc]  # fasttransform is not typed
    """Change the waves of the rows of a training batch, which have `seeds`, before anything is made of them.

    Args:
        extractor: The feature extractor.
        augment: Changes them.
    """

    def __init__(self, extractor: Any, augment: SoundChanges) -> None:
        super().__init__()
        self.rate, self.reads_waves, self.augment = extractor.sampling_rate, reads_waves(extractor), augment
        seconds = window_of(extractor)
        self.window = None if seconds is None else round(seconds * self.rate)

    # without annotations, to which fasttransform would convert a batch
    def encodes(self, rows):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        if SEEDS not in rows[0]:
            return rows
        seeds = torch.tensor([int(row[SEEDS]) for row in rows])
        waves = [row[WAVE] for row in rows]
        waves = self.augment.waves(waves, seeds, self.rate, window=self.window, hide=self.reads_waves)
        return [{**row, WAVE: wave} for row, wave in zip(rows, waves, strict=True)]


class HideInSpectra(ItemTransform):  # type: ignore[misc]  # fasttransform is not typed
    """Hide stretches of the spectra of a training batch, on its device.

    Args:
        extractor: The feature extractor.
        augment: Hides them.
    """

    def __init__(self, extractor: Any, augment: SoundChanges) -> None:
        super().__init__()
        self.main, self.augment = names_of(extractor).main, augment
        self.reads_waves, self.frames_last = reads_waves(extractor), frames_last(extractor)

    # without annotations, to which fasttransform would convert a batch
    def encodes(self, batch):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        inputs, targets = batch
        if self.reads_waves or SEEDS not in inputs:
            return inputs, targets
        hidden = self.augment.spectra(inputs[self.main], inputs[SEEDS], frames_last=self.frames_last)
        return {**inputs, self.main: hidden}, targets


@dataclass(frozen=True)
class SoundInputs:
    """Feature extractors, by the contract of `models.inputs.ModalityInputs`."""

    rows_cls: ClassVar[type[EncodedRows]] = SoundRows

    def load(self, name: str, **options: Any) -> Any:
        with without_empty_bands():
            return AutoFeatureExtractor.from_pretrained(name, **options)  # type: ignore[no-untyped-call]

    def train(self, arch: str, corpus: Iterable[str], *, vocab_size: int, kind: str | None) -> Any:
        return new_extractor(arch)

    def scratch_config(self, processor: Any, sizes: Mapping[str, Any]) -> dict[str, Any]:
        return fit_extractor(extractor_of(processor), sizes)

    def fit(self, processor: Any, model: PreTrainedModel) -> None:
        return

    def limit(self, processor: Any, config: PretrainedConfig, positions: Positions) -> None:
        return

    def describe(self, processor: Any) -> dict[str, Any]:
        return described(extractor_of(processor))

    def collator(self, processor: Any, pad_to_multiple_of: int | None) -> Callable[..., Batch]:
        return SoundCollator(extractor_of(processor))

    def before_batch(self, processor: Any, augment: SoundChanges | None) -> list[Callable[..., Any]]:
        return [] if augment is None else [ChangeWaves(extractor_of(processor), augment)]

    def after_batch(self, processor: Any, augment: SoundChanges | None) -> list[Callable[..., Any]]:
        return [] if augment is None else [HideInSpectra(extractor_of(processor), augment)]

    def summary(self, processor: Any) -> dict[str, str]:
        extractor = extractor_of(processor)
        return {"sampling rate": f"{extractor.sampling_rate} Hz", "features": type(extractor).__name__}


SOUND_INPUTS = SoundInputs()


def show_sounds(dl: RowsDL, inputs: Inputs, targets: torch.Tensor, predictions: Any = None, **options: Any) -> Table:
    """Return rows of `audio`, `target` and, where there are any, `prediction`, by the names of the labels."""
    table: Table = [{"audio": shown_sound(*dl.dataset.wave(int(number)))} for number in inputs[NUMBER]]
    return with_labels(table, dl.vocab, targets, predictions)

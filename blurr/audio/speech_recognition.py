"""Speech recognition: the text of what is said in a sound, by CTC or by a decoder that writes."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from fastai.callback.core import Callback
from fastai.data.core import DataLoaders

from blurr.audio import spoken
from blurr.audio.callbacks import FreezeFeatureEncoder
from blurr.audio.extractors import extractor_of, names_of, window_of
from blurr.audio.inputs import NUMBER, WAVE
from blurr.audio.learnable import with_room, within
from blurr.audio.normalizers import Normalize
from blurr.audio.players import shown_sound
from blurr.audio.processors import SPEECH, SpeechInputs
from blurr.audio.sounds import SOUNDS
from blurr.audio.transcripts import ROW, START, STOP, SpeechRows, Transcripts, blurr_transcribe
from blurr.audio.waves import Waves
from blurr.audio.whisper import check_language, check_settings, is_whisper, labels_of, set_generation
from blurr.audio.windows import Window, parts_of, windows_of
from blurr.config.annotations import GenerationSettings, Positive, Smoothing
from blurr.data.core import RawData, Schema
from blurr.loading.dataloader import RowsDL
from blurr.loading.loader import Loader
from blurr.loading.rows import EncodedRows, Inputs, Table
from blurr.models.ctc import is_ctc
from blurr.models.objects import HFObjects
from blurr.targets.base import Loss, Target
from blurr.targets.texts import BlearnerForGeneration
from blurr.tasks.base import Task
from blurr.tasks.notebook import from_data
from blurr.training.inference import Result
from blurr.training.learner import Blearner

log = logging.getLogger(__name__)


class BlearnerForSpeechRecognition(BlearnerForGeneration):
    """A `Blearner` for speech recognition; `from_data` makes one from rows in one line."""

    key: ClassVar[str] = "transcript"

    def set_generation(self, asked: dict[str, Any]) -> None:
        if not is_ctc(self.model.hf_model):
            super().set_generation(asked)

    def blurr_transcribe(self, items: Any, **options: Any) -> list[Result]:
        """Write down what is said in one sound or many; see `audio.transcripts.blurr_transcribe`."""
        return blurr_transcribe(self, items, **options)

    def shown_predictions(self, batch: Any, dl: RowsDL, **options: Any) -> list[str]:
        """Return the transcript of each row of a batch."""
        sounds = [dl.dataset.wave(int(number)) for number in batch[0][NUMBER]]
        requested = options.get("text_gen_kwargs", {})
        return [result["transcript"] for result in self.blurr_transcribe(sounds, **requested)]

    @classmethod
    def from_data(
        cls,
        data: Any,
        pretrained_model_name_or_path: str | Path,
        audio_attr: str = "audio",
        text_attr: str = "text",
        *,
        normalize: Normalize = "basic",
        language: str | None = None,
        translate: bool = False,
        timestamps: bool = False,
        min_seconds: float | None = None,
        max_seconds: float | None = None,
        text_gen_kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Blearner:
        """Make a learner with a frozen body; see `blurr.tasks.notebook.from_data` for `data` and `options`.

        - `audio_attr`: Column of the sounds: paths, bytes, or pairs of samples and their rate.
        - `text_attr`: Column of what is said in them.
        - `normalize`: See `Transcripts`, also for `language`, `translate` and `timestamps`.
        - `min_seconds`: See `SpeechRecognition`, also for `max_seconds`.
        - `text_gen_kwargs`: Generation settings; they win over the model's.
        """
        task = SpeechRecognition(
            normalize=normalize,
            language=language,
            translate=translate,
            timestamps=timestamps,
            min_seconds=min_seconds,
            max_seconds=max_seconds,
            generation=dict(text_gen_kwargs or {}),
        )
        columns = {"audio": audio_attr, "text": text_attr}
        return from_data(task, data, pretrained_model_name_or_path, columns=columns, **options)


def show_speech(dl: RowsDL, inputs: Inputs, targets: torch.Tensor, predictions: Any = None, **options: Any) -> Table:
    """Return rows of `audio`, the true text as `target` and, where there is one, what was heard as `prediction`."""
    numbers = [int(number) for number in inputs[NUMBER]]
    rows: SpeechRows = dl.dataset
    table: Table = [{"audio": shown_sound(*rows.wave(number))} for number in numbers]
    if rows.texts is not None:
        table = [{**row, "target": text} for row, text in zip(table, rows.references(numbers), strict=True)]
    if predictions is not None and len(predictions) and isinstance(predictions[0], str):
        table = [{**row, "prediction": text} for row, text in zip(table, predictions, strict=True)]
    return table


@dataclass
class SpeechRecognition(Task):
    """Write down what is said; what is written and compared is in the settings of `audio.transcripts.Transcripts`.

    The model decides how: by CTC (wav2vec 2.0, HuBERT, WavLM, Parakeet) or by a decoder (Whisper).

    Args:
        min_seconds: Training rows with shorter sounds are left out, and counted; rows to score on never are.
        max_seconds: The same for longer ones.
        window_seconds: Longer sounds are written down in windows, cut where it is quiet. Whisper's own window wins.
        freeze_feature_encoder: Keep the convolutions that make features of waves; `auto` keeps pretrained ones.
        generation: Generation settings by the names of `transformers.GenerationConfig`, for models with a decoder; they
            are saved with the model.
    """

    schema: ClassVar[Schema] = Schema(
        required=("audio", "text"),
        optional=("weight",),
        label="text",
        sample=spoken.speech,
        sample_rows=2500,
        writes_labels=True,
        labels=None,
        media={"audio": SOUNDS},
    )
    model_cls: ClassVar[str] = "AutoModelForCTC | AutoModelForSpeechSeq2Seq"
    inputs: ClassVar[SpeechInputs] = SPEECH
    target_cls: ClassVar[type[Target]] = Transcripts
    learner_cls: ClassVar[type[Blearner]] = BlearnerForSpeechRecognition
    show_rows = staticmethod(show_speech)

    normalize: Normalize = "basic"
    language: str | None = None
    translate: bool = False
    timestamps: bool = False
    min_seconds: Positive | None = None
    max_seconds: Positive | None = None
    window_seconds: Positive = 30.0
    freeze_feature_encoder: bool | Literal["auto"] = "auto"
    loss: Loss = "auto"
    label_smoothing: Smoothing = 0.0
    generation: GenerationSettings = field(default_factory=dict)

    def check(self, hf: HFObjects) -> None:
        check_settings(hf.model, hf.processor.tokenizer, self._transcripts.settings)

    def prepare(self, raw: RawData) -> RawData:
        least, most = self.min_seconds, self.max_seconds
        asked = [f"task.{name}={value:g}" for name, value in (("min_seconds", least), ("max_seconds", most)) if value]
        return within(super().prepare(raw), least, most, f"{' and '.join(asked)} asks for others")

    def dataloaders(self, raw: RawData, hf: HFObjects, loader: Loader, **options: Any) -> DataLoaders:
        window = self._window(hf)
        if "train" in raw.splits:
            check_language(hf.model, hf.processor.tokenizer, self.language)
        raw = within(raw, None, window, f"the model learns from sounds of at most {window:g} s, with all of their text")
        if "train" in raw.splits and is_ctc(hf.model):
            raw = with_room(raw, hf, self._labels(raw.train["text"][:], [0.0] * len(raw.train), hf))
        return super().dataloaders(raw, hf, loader, **options)

    def learner_options(self, hf: HFObjects) -> dict[str, Any]:
        if is_whisper(hf.processor.tokenizer):
            set_generation(hf.model, hf.processor.tokenizer, self._transcripts.settings)
        return {**super().learner_options(hf), "generation": dict(self.generation)}

    def learner(self, dls: DataLoaders, hf: HFObjects, *, cbs: Sequence[Callback] = (), **options: Any) -> Blearner:
        frozen = hf.weights == "pretrained" if self.freeze_feature_encoder == "auto" else self.freeze_feature_encoder
        return super().learner(dls, hf, cbs=[*cbs, *([FreezeFeatureEncoder()] if frozen else [])], **options)

    def encode(self, rows: Mapping[str, Sequence[Any]], hf: HFObjects) -> dict[str, list[Any]]:
        rate = extractor_of(hf.processor).sampling_rate
        windows = windows_of(rows["audio"], self._window(hf), rate)
        columns: dict[str, list[Any]] = {START: [each.start for each in windows], STOP: [each.stop for each in windows]}
        if len(windows) > len(rows["audio"]):
            columns[ROW] = [each.row for each in windows]
        if "text" in rows:
            texts = shared_out(rows["text"][:], windows)
            columns["labels"] = self._labels(texts, [each.stop - each.start for each in windows], hf)
        return columns

    def make_rows(self, columns: Mapping[str, Any], rows: Mapping[str, Sequence[Any]], hf: HFObjects) -> EncodedRows:
        extractor = extractor_of(hf.processor)
        waves, rate = Waves(rows["audio"], extractor.sampling_rate), extractor.sampling_rate
        if ROW in columns:
            places = zip(columns[ROW], columns[START], columns[STOP], strict=True)
            waves = parts_of(rows["audio"], [Window(int(row), float(a), float(b)) for row, a, b in places], rate)
        made = SpeechRows({WAVE: waves, **columns})
        made.names, made.rate = names_of(extractor), rate
        if "text" in rows:
            texts = rows["text"][:]
            made.texts = [texts[int(row)] for row in columns[ROW]] if ROW in columns else list(texts)
        return made

    @property
    def _transcripts(self) -> Transcripts:
        target = self.target
        return target if isinstance(target, Transcripts) else Transcripts()

    def _window(self, hf: HFObjects) -> float:
        own = window_of(extractor_of(hf.processor))
        return self.window_seconds if own is None else min(own, self.window_seconds)

    def _labels(self, texts: Sequence[str], seconds: Sequence[float], hf: HFObjects) -> list[list[int]]:
        """Return the tokens that the model learns to write."""
        tokenizer = hf.processor.tokenizer
        if is_ctc(hf.model):
            return [list(ids) for ids in tokenizer(as_spelt(texts, tokenizer), add_special_tokens=False)["input_ids"]]
        if is_whisper(tokenizer):
            return labels_of(hf.model, tokenizer, self._transcripts.settings, texts, seconds)
        end = tokenizer.eos_token_id
        return [[*ids, end] for ids in tokenizer(list(texts), add_special_tokens=False)["input_ids"]]


def as_spelt(texts: Sequence[str], tokenizer: Any) -> list[str]:
    """Return texts with single spaces, in capitals or small letters where a vocabulary has these alone."""
    letters = {letter for token in tokenizer.get_vocab() if len(token) == 1 for letter in token if letter.isalpha()}
    plain = [" ".join(text.split()) for text in texts]
    if letters and not any(letter.islower() for letter in letters):
        return [text.upper() for text in plain]
    if letters and not any(letter.isupper() for letter in letters):
        return [text.lower() for text in plain]
    return plain


def shared_out(texts: Sequence[str], windows: Sequence[Window]) -> list[str]:
    """Return the words of each window, by its share of the time of its sound; a sound's only window has all of them."""
    ends: dict[int, float] = {}
    for window in windows:
        ends[window.row] = max(ends.get(window.row, 0.0), window.stop)
    shared = []
    for window in windows:
        words, whole = texts[window.row].split(), max(ends[window.row], 1e-9)
        begin, end = (round(len(words) * at / whole) for at in (window.start, window.stop))
        shared.append(" ".join(words[begin:end]) if (begin, end) != (0, len(words)) else texts[window.row])
    return shared

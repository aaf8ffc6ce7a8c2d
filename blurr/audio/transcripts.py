"""Transcripts as what a task learns to give: texts of sounds, by CTC or by a decoder that writes them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from fastai.callback.core import Callback
from fastai.learner import Learner
from transformers import PreTrainedModel

from blurr.audio.callbacks import CountFrames
from blurr.audio.inputs import SoundRows, mask_in
from blurr.audio.normalizers import Normalize, normalizer_of, said
from blurr.audio.whisper import Timed, WhisperSettings, is_whisper, segments_in
from blurr.data.core import RawData
from blurr.errors import InputError
from blurr.loading.rows import IGNORED, Inputs, Table
from blurr.metrics.alignment import align
from blurr.metrics.base import Scored
from blurr.models.ctc import CTCLoss, best_paths, blank_of, is_ctc, real_frames
from blurr.models.generation import OPTIONS, generate_texts
from blurr.models.objects import HFObjects
from blurr.models.wrapper import logits_of
from blurr.targets.texts import Texts
from blurr.training.inference import Result, infer_windows

START, STOP, ROW = "start", "stop", "row"  # columns of encoded rows: a window's place in its sound, and its sound


class Segment(NamedTuple):
    """A part of a transcript, with its time in seconds."""

    start: float
    end: float
    text: str


Heard = list[Segment]
"""What was heard in a window of a sound."""


class SpeechRows(SoundRows):
    """Windows of sounds with the texts that are said in them.

    Attributes:
        texts: The whole text of the sound of each row; None where texts are not known.
        heard: By sound, what has been heard in those of its windows that were decoded so far.
    """

    texts: list[str] | None = None

    def __init__(self, columns: Mapping[str, Any], vocab: list[str] | None = None) -> None:
        super().__init__(columns, vocab)
        self.heard: dict[int, dict[int, str]] = {}

    def references(self, rows: Iterable[int]) -> list[str]:
        """Return the text of the sound of each of these rows; empty texts if there are none."""
        return ["" if self.texts is None else self.texts[int(row)] for row in rows]

    def take(self, numbers: Sequence[int]) -> "SpeechRows":
        taken = super().take(numbers)
        taken.texts = None if self.texts is None else [self.texts[number] for number in numbers]
        return taken

    def new_empty(self) -> "SpeechRows":
        empty = SpeechRows({})
        empty.names = self.names
        return empty


@dataclass
class Transcripts(Texts):
    """The text of each sound; `loss` and `label_smoothing` are of models with a decoder, see `targets.texts.Texts`.

    Args:
        normalize: What transcripts and true texts go through before metrics compare them, see `audio.normalizers`.
        language: Of what is spoken, by its code or English name, for Whisper; None leaves it to the checkpoint.
        translate: Whisper writes English whatever is spoken.
        timestamps: Whisper writes when each part of a text is said.
    """

    options: ClassVar[Mapping[str, type]] = {k: v for k, v in OPTIONS.items() if k != "num_return_sequences"}

    normalize: Normalize = "basic"
    language: str | None = None
    translate: bool = False
    timestamps: bool = False

    @property
    def settings(self) -> WhisperSettings:
        """What is asked of Whisper."""
        return WhisperSettings(self.language, self.translate, self.timestamps)

    def scored(self, hf: HFObjects) -> Scored:
        return Scored("texts", None, said(self.normalize))

    def loss_func(self, hf: HFObjects, raw: RawData) -> Any:
        if not is_ctc(hf.model):
            return super().loss_func(hf, raw)
        if self.loss not in ("auto", "model") or self.label_smoothing:
            raise InputError(
                "task.loss and task.label_smoothing are settings of models with a decoder, and "
                f"{type(hf.model).__name__} learns by CTC. Leave them out."
            )
        return CTCLoss(blank_of(hf.config))

    def decode(self, learner: Learner) -> tuple[Any, Any]:
        rows: SpeechRows = learner.dl.dataset
        numbers = [int(number) for number in learner.dl.rows_of(learner.iter)]
        learner.heard = self.heard_in(learner)
        numbered = [(number, joined(heard)) for number, heard in zip(numbers, learner.heard, strict=True)]
        return numbered, rows.references(numbers)

    def completed(self, learner: Learner, decoded: Any) -> tuple[Any, Any]:
        """Return normalized texts, those of a sound of several windows once the last of these is known."""
        rows: SpeechRows = learner.dl.dataset
        (numbered, true), normalize = decoded, self._normalizer(learner)
        texts = [(text, each) for (_, text), each in zip(numbered, true, strict=True)]
        if ROW in rows.columns:
            texts = whole_texts(rows, *zip(*numbered, strict=True))
        return [normalize(text) for text, _ in texts], [normalize(true) for _, true in texts]

    def heard_in(self, learner: Learner) -> list[Heard]:
        """Return what was heard in each row of the batch that the learner has just run."""
        inputs, model = learner.xb[0], learner.model.hf_model
        if is_ctc(model):
            return heard_by_ctc(model, learner.dls.tokenizer, inputs, learner.pred)
        encoded = None if self.timestamps else learner.blurr_model_outputs["encoder_last_hidden_state"]
        return heard_by_writing(model, learner.dls.tokenizer, inputs, {}, encoded=encoded)

    def describe(self, learner: Learner) -> Table:
        rows: SpeechRows = learner.dl.dataset
        references = rows.references(int(number) for number in learner.dl.rows_of(learner.iter))
        normalize, table = self._normalizer(learner), []
        counts = [1] * len(references) if is_ctc(learner.model.hf_model) else (learner.y != IGNORED).sum(1).tolist()
        for heard, true, count in zip(learner.heard, references, counts, strict=True):
            words = normalize(true), normalize(joined(heard))
            table.append({"target": true, "heard": heard, "words": words, "count": count})
        return table

    def merge_windows(self, parts: list[dict[str, Any]]) -> dict[str, Any]:
        heard = [segment for part in parts for segment in part["heard"]]
        true, predicted = parts[0]["words"][0], " ".join(part["words"][1] for part in parts)
        merged = {"target": parts[0]["target"], "prediction": joined(heard), "segments": as_dicts(heard)}
        pairs = [list(pair) for pair in align(true.split(), predicted.split())]
        count = sum(part["count"] for part in parts)
        loss = sum(part["loss"] * part["count"] for part in parts) / max(count, 1)
        return {**merged, "alignment": pairs, "loss": loss, "target_count": count}

    def callbacks(self, hf: HFObjects) -> list[Callback]:
        return [CountFrames()] if is_ctc(hf.model) else []

    def predict(self, learner: Learner, items: Any, **options: Any) -> list[Result]:
        return blurr_transcribe(learner, items, **options)

    def _normalizer(self, learner: Learner) -> Callable[[str], str]:
        return normalizer_of(self.normalize, self.language, learner.dls.tokenizer.tokenizer)


def blurr_transcribe(
    learn: Learner, items: Any, *, bs: int | None = None, seed: int | None = None, **settings: Any
) -> list[Result]:
    """Write down what is said in one sound or many.

    Args:
        learn: A learner for speech recognition.
        items: A sound, a dict of the columns, or a list, DataFrame, Series, Dataset of them.
        bs: Windows in a batch.
        seed: Of sampling; `None` does not seed.
        settings: Generation settings of models with a decoder; they override the model's.

    Returns:
        One dict per item: its `transcript`, and `segments`, dicts of `start` and `end` in seconds and `text`: one for
        each window of a long sound, or as many as Whisper's timestamps say.

    Raises:
        InputError: settings of generation for a model that has no decoder.
    """
    model, processor = learn.model.hf_model, learn.dls.tokenizer
    if is_ctc(model) and settings:
        raise InputError(
            f"{type(model).__name__} writes by CTC and has no settings of generation; leave out {sorted(settings)}."
        )

    def step(x: Inputs) -> list[Heard]:
        if is_ctc(model):
            return heard_by_ctc(model, processor, x, logits_of(learn.model(x)))
        return heard_by_writing(model, processor, x, settings)

    with torch.random.fork_rng(enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        found = infer_windows(learn, items, step, bs=bs)
    heard = [[segment for window in windows for segment in window] for windows in found]
    return [{"transcript": joined(each), "segments": as_dicts(each)} for each in heard]


def heard_by_ctc(model: PreTrainedModel, processor: Any, inputs: Inputs, logits: torch.Tensor) -> list[Heard]:
    """Return what the likeliest path of each row of a batch says."""
    tokenizer = processor.tokenizer
    paths = best_paths(logits, real_frames(model, mask_in(inputs), logits), blank_of(model.config))
    known = [[token for token in path if token != tokenizer.unk_token_id] for path in paths]
    texts = [tokenizer.decode(path, group_tokens=False).strip() for path in known]
    return [[Segment(start, stop, text)] for text, (start, stop) in zip(texts, _times(inputs), strict=True)]


def heard_by_writing(
    model: PreTrainedModel,
    processor: Any,
    inputs: Inputs,
    settings: Mapping[str, Any],
    *,
    encoded: torch.Tensor | None = None,
) -> list[Heard]:
    """Generate what is said in each row of a batch; see `generate_texts`."""
    times = _times(inputs)
    one = {**settings, "num_return_sequences": 1}
    config: Any = model.generation_config  # Whisper's has fields of its own
    if not (is_whisper(processor.tokenizer) and config.return_timestamps):
        texts = generate_texts(model, processor.tokenizer, inputs, one, encoded=encoded)
        return [[Segment(*time, text)] for text, time in zip(texts, times, strict=True)]
    timed: Any = Timed(processor.tokenizer)
    texts = generate_texts(model, timed, inputs, one)
    return [
        [Segment(start + a, start + b, part) for a, b, part in segments_in(text, stop - start)]
        for text, (start, stop) in zip(texts, times, strict=True)
    ]


def _times(inputs: Inputs) -> list[tuple[float, float]]:
    """Return where each window of a batch begins and ends in its sound, in seconds."""
    return list(zip(inputs[START].tolist(), inputs[STOP].tolist(), strict=True))


def whole_texts(rows: SpeechRows, numbers: Sequence[int], texts: Sequence[str]) -> list[tuple[str, str]]:
    """Return prediction and true text of the sounds whose last window has been decoded, and empty texts for the others.

    So a metric that adds up the edits of rows sees each sound once, and whole.
    """
    found: list[tuple[str, str]] = []
    for number, text in zip(numbers, texts, strict=True):
        row = int(rows.columns[ROW][number])
        windows = [int(each) for each in np.nonzero(np.asarray(rows.columns[ROW]) == row)[0]]
        heard = rows.heard.setdefault(row, {})
        heard[number] = text
        if len(heard) < len(windows):
            found.append(("", ""))
            continue
        del rows.heard[row]
        (true,) = rows.references([number])
        found.append((" ".join(filter(None, (heard[each] for each in windows))), true))
    return found


def joined(heard: Heard) -> str:
    """Return the text of segments."""
    return " ".join(segment.text for segment in heard if segment.text)


def as_dicts(heard: Heard) -> list[dict[str, Any]]:
    """Return segments as users get them, without those in which nothing is said; times have two digits."""
    return [{"start": round(start, 2), "end": round(end, 2), "text": text} for start, end, text in heard if text]

"""Audio classification: one class, several labels or a number for a sound."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from fastai.data.core import DataLoaders

from blurr.audio import samples
from blurr.audio.inputs import SOUND_INPUTS, SoundInputs, show_sounds, sound_rows
from blurr.audio.sounds import SOUNDS
from blurr.config.annotations import NonNegative, OpenFraction, Positive, Smoothing
from blurr.data.core import Schema
from blurr.data.labels import LabelsAre
from blurr.loading.rows import EncodedRows
from blurr.models.objects import HFObjects
from blurr.targets.base import Loss, Target
from blurr.targets.classes import Classes, Kind
from blurr.targets.labels import DEFAULT, encode_labels
from blurr.tasks.base import Task
from blurr.tasks.notebook import from_data
from blurr.training.learner import Blearner


class BlearnerForAudioClassification(Blearner):
    """A `Blearner` for audio classification; `from_data` makes one from rows or a folder in one line."""

    @classmethod
    def from_data(
        cls,
        data: Any,
        pretrained_model_name_or_path: str | Path,
        audio_attr: str = "audio",
        label_attr: str | list[str] = "label",
        *,
        max_seconds: float | None = 30.0,
        kind: Kind = "auto",
        labels_are: LabelsAre = "auto",
        label_names: Sequence[str] | None = None,
        label_separator: str | None = None,
        threshold: float | Literal["auto"] = DEFAULT,
        **options: Any,
    ) -> Blearner:
        """Make a learner with a frozen body; see `blurr.tasks.notebook.from_data` for `data` and `options`.

        - `data`: Also a folder of sounds, with a folder for each class.
        - `audio_attr`: Column of the sounds: paths, bytes, or pairs of samples and their rate.
        - `label_attr`: Column of the label; a list of 0/1 columns for several labels.
        - `max_seconds`: See `AudioClassification`.
        - `kind`: See `targets.classes.Classes`, also for the settings that follow.
        """
        task = AudioClassification(
            max_seconds=max_seconds,
            kind=kind,
            labels_are=labels_are,
            label_names=None if label_names is None else list(label_names),
            label_separator=label_separator,
            threshold=threshold,
        )
        columns = {"audio": audio_attr, "label": label_attr}
        return from_data(task, data, pretrained_model_name_or_path, columns=columns, **options)


@dataclass
class AudioClassification(Task):
    """Classify sounds; the settings of labels and loss are those of `targets.classes.Classes`.

    Args:
        max_seconds: To which longer sounds are cut; `None` reads them whole, as far as the model can.
    """

    schema: ClassVar[Schema] = Schema(
        required=("audio", "label"),
        optional=("weight",),
        label="label",
        sample=samples.tones,
        media={"audio": SOUNDS},
    )
    model_cls: ClassVar[str] = "AutoModelForAudioClassification"
    inputs: ClassVar[SoundInputs] = SOUND_INPUTS
    target_cls: ClassVar[type[Target]] = Classes
    learner_cls: ClassVar[type[Blearner]] = BlearnerForAudioClassification
    show_rows = staticmethod(show_sounds)

    kind: Kind = "auto"
    labels_are: LabelsAre = "auto"
    label_names: list[str] | None = None
    label_separator: str | None = None
    max_seconds: Positive | None = 30.0
    loss: Loss = "auto"
    class_weights: Literal["balanced"] | list[NonNegative] | dict[str, NonNegative] | None = None
    label_smoothing: Smoothing = 0.0
    threshold: OpenFraction | Literal["auto"] = DEFAULT

    def learner(self, dls: DataLoaders, hf: HFObjects, **options: Any) -> Blearner:
        made = super().learner(dls, hf, **options)
        # the losses of most audio models are of one class, whatever the labels are
        made.model.has_loss = hf.config.problem_type == "single_label_classification"
        return made

    def encode(self, rows: Mapping[str, Sequence[Any]], hf: HFObjects) -> dict[str, list[Any]]:
        return {"labels": encode_labels(rows["label"], hf)} if "label" in rows else {}

    def make_rows(self, columns: Mapping[str, Any], rows: Mapping[str, Sequence[Any]], hf: HFObjects) -> EncodedRows:
        return sound_rows(rows["audio"], columns, hf, self.target.vocab(hf), most_seconds=self.max_seconds)

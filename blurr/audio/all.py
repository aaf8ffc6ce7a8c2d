"""All of blurr's names for sounds, for notebooks: `from blurr.audio.all import *`."""

import blurr.process.quiet_imports  # noqa: F401  # first, for it loads fastai
from blurr.audio.audio_classification import AudioClassification, BlearnerForAudioClassification
from blurr.audio.augment import sound, spec_augment
from blurr.audio.inputs import SoundCollator, SoundRows
from blurr.audio.objects import get_audio_objects, get_speech_objects
from blurr.audio.sounds import open_sound
from blurr.audio.speech_recognition import BlearnerForSpeechRecognition, SpeechRecognition
from blurr.audio.transcripts import blurr_transcribe
from blurr.metrics.classification import F1, Accuracy, Matthews, Precision, Recall, TopK
from blurr.metrics.error_rates import ErrorRate
from blurr.metrics.regression import RMSE, Pearson, Spearman
from blurr.models.adapters import dora, ia3, lora, pissa, rslora, vera
from blurr.models.groups import blurr_splitter
from blurr.models.losses import PreCalculatedBCELoss, PreCalculatedCrossEntropyLoss, PreCalculatedMSELoss
from blurr.models.wrapper import BaseModelWrapper
from blurr.targets.classes import blurr_predict
from blurr.tasks.notebook import load_learner
from blurr.training.interpretation import ClassificationInterpretation, Interpretation
from blurr.training.learner import BaseModelCallback, Blearner
from blurr.training.optimizers import adamw, as_opt_func

__all__ = [
    "F1",
    "RMSE",
    "Accuracy",
    "AudioClassification",
    "BaseModelCallback",
    "BaseModelWrapper",
    "Blearner",
    "BlearnerForAudioClassification",
    "BlearnerForSpeechRecognition",
    "ClassificationInterpretation",
    "ErrorRate",
    "Interpretation",
    "Matthews",
    "Pearson",
    "PreCalculatedBCELoss",
    "PreCalculatedCrossEntropyLoss",
    "PreCalculatedMSELoss",
    "Precision",
    "Recall",
    "SoundCollator",
    "SoundRows",
    "Spearman",
    "SpeechRecognition",
    "TopK",
    "adamw",
    "as_opt_func",
    "blurr_predict",
    "blurr_splitter",
    "blurr_transcribe",
    "dora",
    "get_audio_objects",
    "get_speech_objects",
    "ia3",
    "load_learner",
    "lora",
    "open_sound",
    "pissa",
    "rslora",
    "sound",
    "spec_augment",
    "vera",
]

"""Train, predict, export and load a tiny model of every class for audio classification, or for speech by CTC.

`python -m benchmarks.audio_families [--ctc]` prints which checks of `media_families` each class passes, and why not.
"""

import random
import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoConfig
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES,
    MODEL_FOR_CTC_MAPPING_NAMES,
)

from benchmarks.media_families import OF_CLASSES, Kind, classes_of, print_table
from blurr.audio import samples, spoken
from blurr.audio.audio_classification import BlearnerForAudioClassification
from blurr.audio.extractors import fit_extractor, new_extractor
from blurr.audio.processors import SPEECH
from blurr.audio.speech_recognition import BlearnerForSpeechRecognition
from blurr.training.learner import Blearner

ROWS = 24
TRANSFORMER = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
CONVOLUTIONS = {
    **{"conv_dim": [8, 8, 8], "conv_stride": [10, 8, 4], "conv_kernel": [20, 16, 8], "num_feat_extract_layers": 3},
    **{"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2, "classifier_proj_size": 16},
}
WAV2VEC2 = {**TRANSFORMER, **CONVOLUTIONS, "feat_extract_norm": "layer", "mask_time_prob": 0.0}
SIZES: dict[str, dict[str, Any]] = {
    "audio-spectrogram-transformer": {**TRANSFORMER, "num_mel_bins": 32, "max_length": 64},
    "data2vec-audio": {**WAV2VEC2, "num_conv_pos_embeddings": 2, "conv_pos_kernel_size": 5},
    "hubert": WAV2VEC2,
    "sew": {**WAV2VEC2, "squeeze_factor": 1},
    "sew-d": {**WAV2VEC2, "squeeze_factor": 1},
    "unispeech": WAV2VEC2,
    "unispeech-sat": WAV2VEC2,
    "wav2vec2": WAV2VEC2,
    "wav2vec2-bert": {**TRANSFORMER, "feature_projection_input_dim": 160, "mask_time_prob": 0.0},
    "wav2vec2-conformer": WAV2VEC2,
    "wavlm": WAV2VEC2,
    "whisper": {
        **{"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "num_mel_bins": 40, "chunk_length": 2},
        **{"encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16},
        **{"classifier_proj_size": 16},
    },
}

ENCODER = {**TRANSFORMER, "conv_kernel_size": 9, "subsampling_conv_channels": 8, "num_mel_bins": 80}
SIZES_OF_CTC: dict[str, dict[str, Any]] = {
    "granite_speech5_ctc": {"encoder_config": ENCODER},
    "lasr_ctc": {"encoder_config": {**ENCODER, "num_mel_bins": 128}},
    "omniasr_ctc": {"audio_config": {**TRANSFORMER, **CONVOLUTIONS, "layerdrop": 0.0}},
    "parakeet_ctc": {"encoder_config": ENCODER},
}


def make_checkpoint(arch: str, name: str, folder: Path) -> Path:
    """Save a tiny model with random weights, with the feature extractor of its architecture."""
    torch.manual_seed(0)
    extractor = new_extractor(arch)
    sizes = {**fit_extractor(extractor, SIZES[arch]), **SIZES[arch], "num_labels": len(samples.KINDS)}
    getattr(transformers, name)(AutoConfig.for_model(arch, **sizes)).save_pretrained(folder)
    extractor.save_pretrained(folder)
    return folder


def tones() -> list[dict[str, Any]]:
    """Make the rows; every fourth is for validation."""
    rng = random.Random(0)
    return [{**samples.tones(rng), "is_valid": i % 4 == 0} for i in range(ROWS)]


def learner_of(arch: str, folder: Path, rows: list[dict[str, Any]]) -> Blearner:
    """Make a learner of a checkpoint."""
    return BlearnerForAudioClassification.from_data(rows, folder, dl_kwargs={"bs": 17})


def speech() -> list[dict[str, Any]]:
    """Make the rows of speech; every fourth is for validation."""
    rng = random.Random(0)
    return [{**spoken.speech(rng), "is_valid": i % 4 == 0} for i in range(ROWS)]


def make_speech_checkpoint(arch: str, name: str, folder: Path, rows: list[dict[str, Any]]) -> Path:
    """Save a tiny model with random weights, with the feature extractor of its architecture and a vocabulary."""
    torch.manual_seed(0)
    processor = SPEECH.train(arch, [row["text"] for row in rows], vocab_size=0, kind=None)
    sizes = {**SIZES_OF_CTC.get(arch, SIZES.get(arch, {}))}
    config = AutoConfig.for_model(arch, **{**SPEECH.scratch_config(processor, sizes), **sizes})
    getattr(transformers, name)(config).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def speech_learner_of(arch: str, folder: Path, rows: list[dict[str, Any]]) -> Blearner:
    """Make a learner of a checkpoint for speech."""
    return BlearnerForSpeechRecognition.from_data(rows, folder, dl_kwargs={"bs": 17})


def kind_of_classes() -> Kind:
    """Return what is tried for audio classification."""
    rows = tones()
    return Kind(
        task="audio_classification",
        classes=classes_of(MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES),
        checkpoint=make_checkpoint,
        learner=partial(learner_of, rows=rows),
        items=[row["audio"] for row in rows if row["is_valid"]],
        fields=OF_CLASSES,
    )


def kind_of_ctc() -> Kind:
    """Return what is tried for speech by CTC."""
    rows = speech()
    return Kind(
        task="speech_recognition",
        classes=classes_of(MODEL_FOR_CTC_MAPPING_NAMES),
        checkpoint=partial(make_speech_checkpoint, rows=rows),
        learner=partial(speech_learner_of, rows=rows),
        items=[row["audio"] for row in rows if row["is_valid"]],
        fields=frozenset({"transcript", "segments"}),
    )


def main() -> None:
    """Print the table."""
    is_ctc = "--ctc" in sys.argv
    sys.argv = [word for word in sys.argv if word != "--ctc"]
    print_table(kind_of_ctc() if is_ctc else kind_of_classes(), __doc__)


if __name__ == "__main__":
    main()

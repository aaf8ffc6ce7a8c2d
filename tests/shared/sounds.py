"""Short sounds and audio checkpoints, made in code, that the tests of several folders share."""

import random
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForAudioClassification,
    Wav2Vec2FeatureExtractor,
    WhisperFeatureExtractor,
)

from blurr.audio.samples import tones

RATE = 8_000  # samples per second that the tiny checkpoints read
WAV2VEC2: dict[str, Any] = {
    **{"feat_extract_norm": "layer", "do_stable_layer_norm": True, "num_feat_extract_layers": 3},
    **{"conv_dim": [8, 8, 8], "conv_stride": [10, 8, 4], "conv_kernel": [20, 16, 8]},
    **{"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16},
    **{"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2, "classifier_proj_size": 16},
    **{"mask_time_prob": 0.0, "num_labels": 2},
}
WHISPER: dict[str, Any] = {
    **{"num_mel_bins": 20, "max_source_positions": 50, "d_model": 16, "encoder_layers": 1, "decoder_layers": 1},
    **{"encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16},
    **{"classifier_proj_size": 16, "num_labels": 2},
}


def make_audio_checkpoint(folder: Path, arch: str = "wav2vec2", **config: Any) -> Path:
    """Save an audio model with random weights, and its feature extractor."""
    torch.manual_seed(0)
    sizes = {"wav2vec2": WAV2VEC2, "whisper": WHISPER}[arch] | config
    AutoModelForAudioClassification.from_config(AutoConfig.for_model(arch, **sizes)).save_pretrained(folder)
    extractors = {
        "wav2vec2": lambda: Wav2Vec2FeatureExtractor(sampling_rate=RATE, return_attention_mask=True),
        "whisper": lambda: WhisperFeatureExtractor(feature_size=20, chunk_length=1),
    }
    extractors[arch]().save_pretrained(folder)
    return folder


def sound_rows(count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Make tones, half of them with a rising pitch and half with a steady one, with that as their labels."""
    rng, rows = random.Random(seed), []
    while len(rows) < count:
        row = tones(rng)
        if row["label"] == ("rising", "steady")[len(rows) % 2]:
            rows.append(row)
    return rows

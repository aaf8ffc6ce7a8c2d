"""Batches are padded to lengths that an architecture can take."""

import pytest
from transformers import BertConfig, PretrainedConfig, ReformerConfig

from blurr.data.batching import Loader
from blurr.text.data.lengths import fitting

GRID = {"axial_pos_shape": [16, 32], "axial_pos_embds_dim": [32, 32], "hidden_size": 64}
CHUNKS = {"axial_pos_embds": False, "local_attn_chunk_length": 16, "lsh_attn_chunk_length": 24}


@pytest.mark.parametrize(
    ("config", "wished", "multiple"),
    [
        (ReformerConfig(**GRID), None, 512),
        (ReformerConfig(attn_layers=["local", "lsh"], **CHUNKS), None, 48),
        (ReformerConfig(attn_layers=["local", "local"], **CHUNKS), 10, 80),
        (BertConfig(), None, None),
        (BertConfig(), 8, 8),
    ],
    ids=["a grid of positions", "two kinds of chunks", "one kind and a wish", "any length", "a wish"],
)
def test_a_batch_is_padded_to_what_the_architecture_takes(
    config: PretrainedConfig, wished: int | None, multiple: int | None
):
    assert fitting(Loader(pad_to_multiple_of=wished), config).pad_to_multiple_of == multiple

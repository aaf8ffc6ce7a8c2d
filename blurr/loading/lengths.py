"""Pad batches to lengths that an architecture can take."""

import math
from dataclasses import replace

from transformers import PretrainedConfig

from blurr.loading.loader import Loader


def fitting(loader: Loader, config: PretrainedConfig) -> Loader:
    """Give the loader, changed where the architecture takes some lengths only.

    Reformer has learnt positions in a grid, which a batch must fill in training, or else attends in chunks.

    Args:
        loader: as the user wants it; what it pads to a multiple of still counts.
        config: of the model.
    """
    values = config.to_dict()
    if values.get("axial_pos_embds"):
        needed = math.prod(values["axial_pos_shape"])
    elif "attn_layers" in values and "local_attn_chunk_length" in values:
        kinds = {f"{kind}_attn_chunk_length" for kind in values["attn_layers"]}
        needed = math.lcm(*(values[kind] or 1 for kind in kinds))
    else:
        return loader
    return replace(loader, pad_to_multiple_of=math.lcm(needed, loader.pad_to_multiple_of or 1))

"""Pad batches to lengths that an architecture accepts."""

import math
from dataclasses import replace

from transformers import PretrainedConfig

from blurr.loading.loader import Loader


def fitting(loader: Loader, config: PretrainedConfig) -> Loader:
    """Return the loader, with `pad_to_multiple_of` where the architecture accepts only some lengths.

    Reformer's positions are learnt in a grid that a batch must fill in training; without it, it attends in chunks.
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

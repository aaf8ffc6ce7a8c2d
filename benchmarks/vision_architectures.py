"""The sizes of a tiny model of each vision architecture, in the words of its config, for pictures of 32 x 32 pixels."""

from typing import Any

SIDE = 32
TRANSFORMER = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
VIT = {**TRANSFORMER, "image_size": SIDE, "patch_size": 8}
DINO = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": SIDE, "patch_size": 8}
TEXT = {**TRANSFORMER, "vocab_size": 99, "max_position_embeddings": 16, "bos_token_id": 0, "eos_token_id": 1}
CONVNEXT = {"num_stages": 2, "hidden_sizes": [8, 16], "depths": [1, 1], "image_size": SIDE}
SWIN = {"image_size": SIDE, "patch_size": 4, "embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4}
PYRAMID = {"image_size": SIDE, "hidden_sizes": [8, 8, 16, 16], "depths": [1] * 4, "num_attention_heads": [1, 1, 2, 2]}
RESNET = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]}
PERCEIVER = {
    **{"num_latents": 8, "d_latents": 16, "num_blocks": 1, "num_self_attends_per_block": 1, "image_size": SIDE},
    **{"num_self_attention_heads": 2, "num_cross_attention_heads": 1, "d_model": 64},
}
EFFICIENTNET = {
    **{"image_size": SIDE, "kernel_sizes": [3, 3], "in_channels": [32, 16], "out_channels": [16, 24]},
    **{"strides": [1, 2], "num_block_repeats": [1, 1], "expand_ratios": [1, 2], "depthwise_padding": []},
    **{"width_coefficient": 1.0, "depth_coefficient": 1.0, "num_hidden_layers": 4, "hidden_dim": 1280},
}
HGNET = {
    **{"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "stem_channels": [3, 4, 8]},
    **{"stage_in_channels": [8, 8], "stage_mid_channels": [4, 4], "stage_out_channels": [8, 16]},
    **{"stage_num_blocks": [1, 1], "stage_downsample": [False, True], "stage_downsample_strides": [2, 2]},
    **{"stage_light_block": [False, True], "stage_kernel_size": [3, 3], "stage_numb_of_layers": [2, 2]},
}
HIERA = {
    **{"embed_dim": 8, "image_size": [SIDE, SIDE], "depths": [1, 1, 1], "num_heads": [1, 2, 2]},
    **{"num_query_pool": 2, "masked_unit_size": [4, 4], "masked_unit_attention": [True, False, False]},
}
LEVIT = {
    **{"image_size": 64, "hidden_sizes": [16, 16, 16], "num_attention_heads": [2, 2, 2], "depths": [1, 1, 1]},
    **{"key_dim": [8, 8, 8]},
}
MOBILEVIT = {"image_size": 64, "hidden_sizes": [8, 8, 8], "neck_hidden_sizes": [8] * 7, "num_attention_heads": 2}
TEXTNET = {
    **{"stem_out_channels": 8, "hidden_sizes": [8, 8, 8, 8, 16], "depths": [1] * 4},
    **{"conv_layer_kernel_sizes": [[[3, 3]], [[3, 1]], [[1, 3]], [[3, 3]]], "conv_layer_strides": [[1], [2], [2], [2]]},
}
SHIELDGEMMA = {
    "text_config": {**TEXT, "num_key_value_heads": 1, "head_dim": 8, "vocab_size": 300_000},
    "vision_config": VIT,
    "mm_tokens_per_image": 4,
}
SIZES: dict[str, dict[str, Any]] = {
    "beit": VIT,
    "bit": {**RESNET, "num_groups": 2},
    "clip": {"vision_config": {**VIT, "projection_dim": 16}, "text_config": TEXT, "projection_dim": 16},
    "convnext": CONVNEXT,
    "convnextv2": CONVNEXT,
    "cvt": {"embed_dim": [8, 8, 16], "num_heads": [1, 1, 2], "depth": [1, 2, 3], "drop_path_rate": [0.0, 0.0, 0.0]},
    "data2vec-vision": VIT,
    "deit": VIT,
    "dinat": {"embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "kernel_size": 3, "dilations": [[1], [1]]},
    "dinov2": DINO,
    "dinov2_with_registers": DINO,
    "donut-swin": SWIN,
    "efficientnet": EFFICIENTNET,
    "focalnet": {"image_size": SIDE, "embed_dim": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "focal_levels": [1, 1]},
    "hgnet_v2": HGNET,
    "hiera": HIERA,
    "ijepa": VIT,
    "imagegpt": {"vocab_size": 9, "n_positions": SIDE * SIDE, "n_embd": 16, "n_layer": 1, "n_head": 2},
    "levit": LEVIT,
    "metaclip_2": {"vision_config": {**VIT, "projection_dim": 16}, "text_config": TEXT, "projection_dim": 16},
    "mobilenet_v1": {"image_size": SIDE, "depth_multiplier": 0.25},
    "mobilenet_v2": {"image_size": SIDE, "depth_multiplier": 0.25},
    "mobilevit": MOBILEVIT,
    "mobilevitv2": {"image_size": 64, "width_multiplier": 0.25, "n_attn_blocks": [1, 1, 1]},
    "perceiver": PERCEIVER,
    "poolformer": {"hidden_sizes": [8, 8, 16, 16], "depths": [1] * 4},
    "pp_lcnet": {"scale": 0.25, "class_expand": 32},
    "pvt": PYRAMID,
    "pvt_v2": {**PYRAMID, "image_size": [SIDE, SIDE]},
    "regnet": {**RESNET, "groups_width": 8},
    "resnet": RESNET,
    "segformer": PYRAMID,
    "shieldgemma2": SHIELDGEMMA,
    "siglip": {"vision_config": VIT, "text_config": TEXT},
    "siglip2": {"vision_config": {**TRANSFORMER, "patch_size": 8, "num_patches": 16}, "text_config": TEXT},
    "swiftformer": {"image_size": SIDE, "depths": [1] * 4, "embed_dims": [8, 8, 16, 16]},
    "swin": SWIN,
    "swinv2": SWIN,
    "textnet": TEXTNET,
    "timm_wrapper": {"architecture": "resnet10t", "initializer_range": 0.02},
    "vit": VIT,
    "vit_msn": VIT,
}
SIDES = {"levit": 64, "mobilevit": 64, "mobilevitv2": 64, "textnet": 64}  # pixels, where a model needs more than others
PROCESSORS: dict[str, dict[str, Any]] = {  # what the defaults of a processor do not say
    "imagegpt": {"clusters": [[-1 + i / 4] * 3 for i in range(9)]},
    "siglip2": {"max_num_patches": 16, "patch_size": 8},
}

"""What some architectures need of a tiny model: sizes that must fit each other, a tokenizer, settings of a task."""

from typing import Any

OF_WORDS, OF_PIECES, OF_BYTES = "BertTokenizer", "T5Tokenizer", "RobertaTokenizer"
INDEXER = {
    "indexer_n_heads": 4,
    "indexer_kv_heads": 1,
    "indexer_head_dim": 16,
    "indexer_budget": 64,
    "indexer_compress_ratio": 4,
    "ple_embed_dim": 64,
    "ngram_vocab_size_base": 200,
    "hc_lowrank": 16,
    "split_ngram_parts": 4,
}
ROPE = {"rope_type": "default", "rope_theta": 10000.0}
LANGUAGES = {"src_lang": "deu_Latn", "tgt_lang": "eng_Latn"}

# What a config asks for, to be made at all.
NEEDED: dict[str, dict[str, Any]] = {
    "gemma4_assistant": {"text_config": {"model_type": "gemma4_text", "hidden_size_per_layer_input": 0}},
}
# Values of the tiny config, beside those that benchmarks.tiny makes.
VALUES: dict[str, dict[str, Any]] = {
    "bamba": {"attn_layer_indices": [1]},
    "big_bird": {"attention_type": "original_full"},
    "bigbird_pegasus": {"attention_type": "original_full"},
    "blt": {"encoder_hash_byte_group_vocab": 200, "encoder_hash_byte_group_size": [3, 4]},
    "canine": {"local_transformer_stride": 16},
    "cohere_compass_text": {
        "layer_types": ["full_attention"] * 2,
        "num_hidden_layers": 2,
        "rope_parameters": {"full_attention": ROPE, "sliding_attention": ROPE},
    },
    "cpmant": {"prompt_length": 8},
    "dbrx": {"attn_config": {"rope_theta": 10000.0, "kv_n_heads": 1, "clip_qkv": 8.0, "attn_pdrop": 0.0}},
    "deepseek_v2": {"num_experts_per_tok": 2, "topk_method": "greedy"},
    "dory": {"layer_types": ["sliding_attention", "full_attention", "sliding_attention"], "num_hidden_layers": 3},
    "dots1": {"n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1},
    "dots3_note": {
        "vision_config": {"adapter_in_dim": 64},
        "audio_config": {"adapter_input_size": 64},
        "text_config": {"per_layer_config": {}},
    },
    "dots3_note_text": {"per_layer_config": {}},
    "emu3": {
        "vq_config": {"base_channels": 32, "channel_multiplier": [1, 1], "codebook_size": 16, "hidden_size": 32},
        "vocabulary_map": {"<image>": 5, "<|extra_200|>": 6, "<|visual token 000000|>": 7},
    },
    "falcon_h1": {"mamba_d_head": 16, "mamba_n_heads": 8},
    "fsmt": {"langs": ["de", "en"]},
    "funnel": {"block_sizes": [1, 1], "num_decoder_layers": 1},
    "gemma3n": {"vision_config": {"architecture": "mobilenetv3_small_050"}, "text_config": {"pad_token_id": None}},
    "gemma3n_text": {
        "intermediate_size": [128] * 4,
        "activation_sparsity_pattern": [0.0] * 4,
        "pad_token_id": None,  # else pads are zeros, as in no trained checkpoint, whose root has no finite gradient
    },
    "gemma4_assistant": {"text_config": {"hidden_size_per_layer_input": 0}},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"] * 2, "num_hidden_layers": 4},
    "hrm_text": {"num_layers_per_stack": 2, "num_hidden_layers": 16},
    "hunyuan_v1_dense": {"head_dim": 16},
    "hunyuan_v1_moe": {"head_dim": 16, "num_experts": 4, "moe_topk": 2},
    "led": {"attention_window": 16},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2, "num_hidden_layers": 4},
    "lilt": {"hidden_size": 96},
    "longformer": {"attention_window": [16, 16]},
    "mamba2": {"num_heads": 8},
    "ministral": {"head_dim": 16},
    "mobilebert": {"intra_bottleneck_size": 64, "num_feedforward_networks": 1},
    "nemotron": {"num_key_value_heads": 2},
    "nllb-moe": {"expert_capacity": 64},
    "qwen4_exp": {"text_config": INDEXER},
    "qwen4_exp_text": INDEXER,
    "recurrent_gemma": {"num_hidden_layers": 3},
    "reformer": {
        "attn_layers": ["local", "local"],
        "local_attn_chunk_length": 16,
        "axial_pos_shape": [16, 32],
        "axial_pos_embds_dim": [32, 32],
    },
    "rembert": {"input_embedding_size": 16, "output_embedding_size": 16},
    "switch_transformers": {"expert_capacity": 64},
    "xlstm": {"hidden_size": 128, "embedding_dim": 128, "num_blocks": 2, "num_heads": 2},
    "xmod": {"default_language": "en_XX"},
    "zamba": {"attention_hidden_size": 128, "attention_head_dim": 32},
    "zamba2": {"attention_hidden_size": 128, "attention_head_dim": 32, "mamba_headdim": 16},
}
# The class of the tokenizer, where the architecture's own cannot be trained, or is another one than it should be.
TOKENIZERS = {
    **dict.fromkeys(
        ("ernie", "esm", "esmc", "flaubert", "megatron-bert", "modernbert", "modernbert-decoder"), OF_WORDS
    ),
    **dict.fromkeys(("nystromformer", "prophetnet", "reformer", "roformer", "xlm"), OF_WORDS),
    **dict.fromkeys(("bigbird_pegasus", "blenderbot", "blenderbot-small", "fsmt", "longt5", "marian"), OF_PIECES),
    **dict.fromkeys(("pegasus", "pegasus_x", "plbart", "switch_transformers", "umt5"), OF_PIECES),
    **dict.fromkeys(("data2vec-text", "markuplm", "yoso"), OF_BYTES),
    **dict.fromkeys(("m2m_100", "nllb-moe"), "NllbTokenizer"),
    "t5gemma2": "GemmaTokenizer",
}
# Values of a task's YAML that an architecture needs, such as a separator of texts.
SETTINGS: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("m2m_100", "nllb-moe"), LANGUAGES),
    "openai-gpt": {"separator": " . "},
}
# By how much an answer may differ in a batch, where more than rounding does it.
NEAR = {"nystromformer": 1e-2}  # begins the inverse of a row's matrix with the largest sum of those of all rows
# Architectures that are registered for a task, and whose models need more than plain text for it, and why.
NO_TEXT = {
    "bros": "reads boxes of words",
    "gemma4_assistant": "reads the states of another model",
    "gemma4_unified_assistant": "reads the states of another model",
    "git": "reads pictures",
    "layoutlmv2": "reads pictures of pages",
    "layoutlmv3": "reads boxes of words",
    "lxmert": "reads features of pictures",
    "musicgen": "writes sounds",
    "musicgen_melody": "writes sounds",
    "tapas": "reads tables",
}
# Those that write texts of what they hear: registered for sequence-to-sequence tasks, of which they are no models.
HEARS = frozenset(
    (
        *("audioflamingo3", "glmasr", "granite_speech", "granite_speech_plus", "moss_transcribe_diarize"),
        *("musicflamingo", "nemo_speechlm", "omniasr", "qwen2_audio", "qwen3_asr", "vibevoice_asr", "voxtral"),
        "voxtral_realtime",
    )
)

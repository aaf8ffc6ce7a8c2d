"""Make a tiny config, and a tokenizer, for any architecture that transformers has a head for a task of texts for."""

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from transformers import GPT2Tokenizer, PretrainedConfig, PreTrainedTokenizerBase
from transformers.models.auto import modeling_auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES

from benchmarks.architectures import NEEDED, TOKENIZERS, VALUES
from blurr.errors import InputError
from blurr.text.scratch import train_tokenizer

LAYERS, WIDTH, HEADS, INNER, LONGEST, VOCABULARY = 2, 64, 4, 128, 512, 1000
HEADS_OF = {  # heads of keys and values: as many as of queries where a config has as many, else two
    **dict.fromkeys(("num_key_value_heads", "num_kv_heads", "num_query_groups"), "num_attention_heads"),
    **{"num_global_key_value_heads": "num_attention_heads", "swa_num_key_value_heads": "swa_num_attention_heads"},
    "kv_n_heads": "n_heads",
}
AT_MOST = {
    WIDTH: "hidden_size d_model n_embd dim emb_dim word_embed_proj_dim hidden_size_global encoder_hidden_size "
    "out_hidden_size projector_input_dim projector_output_dim lru_width attention_hidden_size pooler_hidden_size "
    "true_hidden_size prediction_head_size entity_emb_size d_latents backbone_hidden_size audio_hidden_size "
    "cross_attention_hidden_size embedding_size adapter_out_dim dim_model_base expert_dim",
    HEADS: "num_attention_heads n_head n_heads num_heads encoder_attention_heads decoder_attention_heads "
    "attention_heads num_encoder_attention_heads num_decoder_attention_heads index_n_heads swa_num_attention_heads "
    "t2u_encoder_attention_heads t2u_decoder_attention_heads speech_encoder_attention_heads linear_num_heads "
    "conf_num_attention_heads num_self_attention_heads num_cross_attention_heads linear_num_value_heads "
    "num_experts n_routed_experts num_local_experts moe_num_experts",
    WIDTH // HEADS: "head_dim d_kv d_head dim_head kv_channels attention_head_dim attention_head_size swa_head_dim "
    "v_head_dim qk_head_dim global_head_dim kv_lora_rank o_lora_rank index_head_dim linear_head_dim "
    "query_pre_attn_scalar attn_head_dim embedding_rank mamba_d_head mamba_head_dim mamba_d_state state_size "
    "ssm_state_size mamba_chunk_size chunk_size linear_key_head_dim linear_value_head_dim num_latents block_size "
    "hidden_size_per_layer_input",
    8: "qk_rope_head_dim qk_nope_head_dim rotary_dim mamba_n_heads mamba_num_heads time_step_rank mamba_dt_rank "
    "laurel_rank adapter_rank gated_norm_rank loop_gate_rank",
    2: "o_groups num_experts_per_tok num_experts_per_token moe_topk moe_k moe_top_k top_k_experts zero_expert_num "
    "linear_num_key_heads num_kv_shared_layers attn_layer_period num_self_attends_per_block layer_group_size "
    "global_attn_every_n_layers",
    1: "n_group topk_group num_expert_group n_groups first_k_dense_replace mamba_n_groups mamba_ngroups "
    "attn_layer_offset n_input_layers n_recurrent_layers n_output_layers num_layers_per_stack moe_layer_start_index "
    "num_dense_layers",
    32: "q_lora_rank router_hidden_size pronunciation_embed_dim shape_embed_dim sliding_window sliding_window_size "
    "attention_window_size",
    100: "shape_vocab_size pronunciation_vocab_size",
    INNER: "mamba_d_ssm",
    LONGEST: "max_position_embeddings n_positions n_ctx max_seq_len context_length max_encoder_position_embeddings "
    "max_decoder_position_embeddings model_max_length max_target_positions num_hash_buckets",
}
MOST = {name: most for most, names in AT_MOST.items() for name in names.split()}
OF_LAYERS = re.compile(
    r"^(num_hidden_layers|n_layers?|num_layers|(t2u_|speech_)?(en|de)coder_layers|num_(en|de)coder_layers|depth"
    r"|num_global_layers|conf_num_hidden_layers|[lxr]_layers)$"
)
OF_INNER = re.compile(
    r"(^|_)(intermediate_size|ffn_dim|d_ff|dff|ffn_hidden_size|hidden_dim|n_inner|d_inner|feed_forward_size|dim_ff"
    r"|intermediate_size_mlp|ff_dim|mlp_dim|prompt_mid_dim)$"
)
OF_VOCABULARY = (
    "vocab_size",
    "unpadded_vocab_size",
    "vocab_size_per_layer_input",
    "src_vocab_size",
    "tgt_vocab_size",
    "decoder_vocab_size",
)
KINDS = ("layer_types", "mlp_layer_types", "layers_block_type", "block_types", "indexer_types")  # of each layer
COUNTS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
IDS = ("pad", "bos", "eos", "sep", "cls", "mask")
WRITES_AT_ONCE = ("forced_eos_token_id", "forced_bos_token_id", "suppress_tokens", "begin_suppress_tokens")


def tiny_config(arch: str, tokenizer: PreTrainedTokenizerBase, **more: Any) -> PretrainedConfig:
    """Return a config of an architecture with few and narrow layers, for a tokenizer.

    Args:
        arch: Hugging Face's name of it.
        tokenizer: Has the ids of special tokens.
        more: Values of the config, such as `is_decoder`.
    """
    cls = CONFIG_MAPPING[arch]
    default = cls(**NEEDED.get(arch, {}))
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in IDS}
    if default.to_dict().get("bos_token_id") is not None:  # ModernBERT's decoder begins and ends with BERT's tokens
        instead = {"bos_token_id": tokenizer.cls_token_id, "eos_token_id": tokenizer.sep_token_id}
        ids |= {name: value for name, value in instead.items() if ids[name] is None}
    starts = (tokenizer.bos_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id)
    first = {"decoder_start_token_id": next((each for each in starts if each is not None), None)}
    first = first if default.is_encoder_decoder else {}
    values = {**_shrunk(default, {**ids, **first, **dict.fromkeys(WRITES_AT_ONCE)}, len(tokenizer)), **first}
    return cls(**_merged(_merged(values, VALUES.get(arch, {})), more))


def _shrunk(config: PretrainedConfig, ids: Mapping[str, Any], vocabulary: int) -> dict[str, Any]:
    """Return the values of a config that are to be others."""
    values = config.to_dict()
    kinds = {name: list(dict.fromkeys(values[name])) for name in KINDS if _is_list_of_names(values.get(name))}
    layers = max([4 if kinds else LAYERS, *(6 if len(names) == 3 else len(names) for names in kinds.values())])
    before = next((values[name] for name in COUNTS if isinstance(values.get(name), int)), 0)
    made: dict[str, Any] = {}
    for name, value in values.items():
        if name in (config.sub_configs or {}):
            part = getattr(config, name)
            if isinstance(part, PretrainedConfig):
                made[name] = {**_shrunk(part, ids, vocabulary), "model_type": part.model_type}
        elif name in ids:
            made[name] = ids[name]
        elif name in kinds:
            made[name] = [kinds[name][i % len(kinds[name])] for i in range(layers)]
        elif name in OF_VOCABULARY:
            made[name] = vocabulary
        elif isinstance(value, list | tuple) and len(value) == before > 3:
            made[name] = list(value[:layers])
        elif isinstance(value, float) and "drop" in name:
            made[name] = 0.0
        elif isinstance(value, int) and not isinstance(value, bool):
            made[name] = _number(name, value, values, layers)
    if "qk_rope_head_dim" in made and values.get("head_dim") == values["qk_rope_head_dim"]:
        made["head_dim"] = made["qk_rope_head_dim"]  # one number under two names
    return made


def _number(name: str, value: int, values: Mapping[str, Any], layers: int) -> int:
    if OF_LAYERS.match(name):
        return min(layers, value)
    if name in HEADS_OF:
        return HEADS if value == values.get(HEADS_OF[name]) else min(value, 2)
    if OF_INNER.search(name):
        return min(INNER, value)
    if name.endswith("vocab_size"):
        return min(LONGEST, value)
    return min(MOST.get(name, value), value)


def _is_list_of_names(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(each, str) for each in value)


def _merged(values: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(values)
    for name, value in more.items():
        is_part = isinstance(value, Mapping) and isinstance(merged.get(name), Mapping)
        merged[name] = _merged(merged[name], value) if is_part else value
    return merged


# -- tokenizers

MASKED = frozenset(modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES)
CAUSAL = frozenset(modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
SEQ2SEQ = frozenset(modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES)
OF_WORDS, OF_PIECES = "BertTokenizer", "T5Tokenizer"


def tiny_tokenizer(arch: str, corpus: Iterable[str]) -> PreTrainedTokenizerBase:
    """Return a tokenizer of the architecture's kind, trained on texts; that of a language model has no pad."""
    texts = list(corpus)
    kind = TOKENIZERS.get(arch, TOKENIZER_MAPPING_NAMES.get(arch))
    trained: PreTrainedTokenizerBase | None = None
    if kind not in (None, "TokenizersBackend"):
        with suppress(InputError, ValueError):  # it cannot be made without files
            trained = train_tokenizer(arch, texts, vocab_size=VOCABULARY, tokenizer=kind)
    if trained is None and (arch in MASKED or arch in SEQ2SEQ - CAUSAL):
        trained = train_tokenizer(
            arch, texts, vocab_size=VOCABULARY, tokenizer=OF_PIECES if arch in SEQ2SEQ else OF_WORDS
        )
    if trained is None:
        trained = GPT2Tokenizer().train_new_from_iterator(texts, vocab_size=VOCABULARY, show_progress=False)
        trained.pad_token = None
    trained.model_max_length = LONGEST
    return trained

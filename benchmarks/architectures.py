"""The architecture families that blurr is tested with, each with the sizes of a tiny model of it."""

from dataclasses import dataclass, field
from typing import Any

BERT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 512,
}
BART = {
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 512,
}
GPT = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 512}
T5 = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 1, "num_decoder_layers": 1, "num_heads": 2}
XLM = {"emb_dim": 32, "n_layers": 2, "n_heads": 2, "max_position_embeddings": 512}
PROPHETNET = {
    "hidden_size": 32,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "num_encoder_layers": 1,
    "num_decoder_layers": 1,
    "num_encoder_attention_heads": 2,
    "num_decoder_attention_heads": 2,
    "max_position_embeddings": 512,
}
REFORMER = {
    "hidden_size": 32,
    "feed_forward_size": 64,
    "num_attention_heads": 2,
    "attention_head_size": 16,
    "attn_layers": ["local", "local"],
    "local_attn_chunk_length": 16,
    "axial_pos_shape": [16, 32],
    "axial_pos_embds_dim": [16, 16],
    "max_position_embeddings": 512,
}
FUNNEL = {"d_model": 32, "d_head": 16, "d_inner": 64, "n_head": 2, "block_sizes": [1, 1], "num_decoder_layers": 1}
LED = {
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_encoder_position_embeddings": 512,
    "max_decoder_position_embeddings": 512,
    "attention_window": 16,
}
LLAMA = {**BERT, "num_key_value_heads": 1}
GEMMA = {**LLAMA, "head_dim": 16}
EXPERTS = {"num_experts": 2, "expert_capacity": 64}
MOBILEBERT = {**BERT, "embedding_size": 32, "intra_bottleneck_size": 32, "num_feedforward_networks": 1}


LM = "GPT2Tokenizer"  # for language models whose own tokenizer needs files


@dataclass(frozen=True)
class Family:
    """An architecture, and how to make a tiny model of it.

    Args:
        sizes: in the words of its config.
        tokenizer: class of its tokenizer where its own cannot be trained; `None` takes its own.
        task: values of a task's YAML that it needs, such as a separator of texts.
        rate: learning rate at which it learns.
    """

    sizes: dict[str, Any]
    tokenizer: str | None = None
    task: dict[str, Any] = field(default_factory=dict)
    rate: float = 3e-3


FAMILIES = {
    "albert": Family({**BERT, "embedding_size": 16}),
    "bart": Family(BART),
    "bert": Family(BERT),
    "big_bird": Family({**BERT, "attention_type": "original_full"}),
    "bigbird_pegasus": Family({**BART, "attention_type": "original_full"}, "T5Tokenizer"),
    "biogpt": Family(BERT, LM),
    "blenderbot": Family(BART, "T5Tokenizer"),
    "blenderbot-small": Family(BART, "T5Tokenizer"),
    "bloom": Family({"hidden_size": 32, "n_layer": 2, "n_head": 2}, LM),
    "camembert": Family(BERT),
    "canine": Family({**BERT, "num_hash_buckets": 512, "local_transformer_stride": 16}),
    "convbert": Family({**BERT, "embedding_size": 32}),
    "ctrl": Family({"n_embd": 32, "dff": 64, "n_layer": 2, "n_head": 2, "n_positions": 512}, "GPT2Tokenizer"),
    "data2vec-text": Family(BERT, "RobertaTokenizer"),
    "deberta": Family(BERT),
    "deberta-v2": Family(BERT),
    "distilbert": Family({"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "max_position_embeddings": 512}),
    "electra": Family({**BERT, "embedding_size": 16}),
    "ernie": Family(BERT, "BertTokenizer"),
    "esm": Family(BERT, "BertTokenizer"),
    "falcon": Family({"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}, LM),
    "flaubert": Family(XLM, "BertTokenizer"),
    "fnet": Family(BERT),
    "fsmt": Family({**BART, "langs": ["de", "en"]}, "T5Tokenizer"),
    "funnel": Family(FUNNEL),
    "gemma": Family(GEMMA, LM),
    "gemma2": Family(GEMMA, LM),
    "gpt2": Family(GPT),
    "gpt_neo": Family(
        {
            "hidden_size": 32,
            "num_layers": 2,
            "num_heads": 2,
            "attention_types": [[["global", "local"], 1]],
            "max_position_embeddings": 512,
        }
    ),
    "gpt_neox": Family(BERT, LM),
    "gptj": Family({**GPT, "rotary_dim": 8}),
    "ibert": Family(BERT),
    "layoutlm": Family(BERT),
    "led": Family(LED),
    "llama": Family(LLAMA, LM),
    "longformer": Family({**BERT, "attention_window": [16, 16]}),
    "longt5": Family(T5, "T5Tokenizer"),
    "m2m_100": Family(BART, "NllbTokenizer", {"src_lang": "deu_Latn", "tgt_lang": "eng_Latn"}),
    "mamba": Family({"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8}, LM),
    "marian": Family(BART, "T5Tokenizer"),
    "mbart": Family(BART),
    "megatron-bert": Family(BERT, "BertTokenizer"),
    "mistral": Family({**LLAMA, "sliding_window": 32}, LM),
    "mobilebert": Family(MOBILEBERT),
    "modernbert": Family({**BERT, "global_attn_every_n_layers": 2, "local_attention": 32}, "BertTokenizer", rate=3e-4),
    "mpnet": Family(BERT),
    "mt5": Family(T5),
    "mvp": Family(BART),
    "nllb-moe": Family({**BART, **EXPERTS}, "NllbTokenizer", {"src_lang": "deu_Latn", "tgt_lang": "eng_Latn"}),
    "nystromformer": Family(BERT, "BertTokenizer"),
    "openai-gpt": Family(GPT, task={"separator": " . "}),
    "opt": Family({**BERT, "ffn_dim": 64, "word_embed_proj_dim": 32}, LM),
    "pegasus": Family(BART, "T5Tokenizer"),
    "pegasus_x": Family(BART, "T5Tokenizer"),
    "plbart": Family(BART, "T5Tokenizer"),
    "prophetnet": Family(PROPHETNET, "BertTokenizer"),
    "qwen2": Family(LLAMA, LM),
    "recurrent_gemma": Family({**GEMMA, "num_hidden_layers": 3, "lru_width": 32, "attention_window_size": 32}, LM),
    "reformer": Family(REFORMER, "BertTokenizer"),
    "rembert": Family({**BERT, "input_embedding_size": 16, "output_embedding_size": 16}),
    "roberta": Family(BERT),
    "roformer": Family({**BERT, "embedding_size": 32}, "BertTokenizer"),
    "rwkv": Family({**BERT, "attention_hidden_size": 32, "context_length": 512}, LM),
    "squeezebert": Family({**BERT, "embedding_size": 32}),
    "switch_transformers": Family({**T5, **EXPERTS}, "T5Tokenizer"),
    "t5": Family(T5),
    "transfo-xl": Family({}),
    "umt5": Family(T5, "T5Tokenizer"),
    "xglm": Family({"d_model": 32, "num_layers": 2, "attention_heads": 2, "ffn_dim": 64}, LM),
    "xlm": Family(XLM, "BertTokenizer"),
    "xlm-prophetnet": Family({}),
    "xlm-roberta": Family(BERT),
    "xlnet": Family({"d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 64}),
    "yoso": Family(BERT, "RobertaTokenizer"),
}

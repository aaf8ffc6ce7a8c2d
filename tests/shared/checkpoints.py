"""Tiny checkpoints, made in code, that the tests of several folders share."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoConfig,
    AutoTokenizer,
    BartConfig,
    BartForConditionalGeneration,
    BartForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

Changed = tuple[PreTrainedModel, PreTrainedTokenizerFast]
Habit = Callable[[PreTrainedModel, PreTrainedTokenizerFast], Changed]

GOOD = ["good", "great", "fine", "superb"]
BAD = ["bad", "awful", "poor", "dull"]
WORDS = [*GOOD, *BAD, "the", "film", "was", "and", "a", "plot", "it", "is", ".", "summarize", ":"]
WIDE = 400  # rows of an embedding
MARKS = ["<pad>", "<s>", "</s>", "<unk>", "<mask>"]


def word_tokenizer() -> PreTrainedTokenizerFast:
    """One id per word, `<s> a </s>` and `<s> a </s> b </s>`."""
    vocab = {word: i for i, word in enumerate([*MARKS, *WORDS])}
    inner = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B:1 </s>:1", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        mask_token="<mask>",
        cls_token="<s>",
        sep_token="</s>",
        model_max_length=32,
    )


def make_tiny_bert(folder: Path) -> Path:
    """Save a BERT of two layers with random weights."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(MARKS) + len(WORDS),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
        pad_token_id=0,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    word_tokenizer().save_pretrained(folder)
    return folder


def make_wide_bert(folder: Path) -> Path:
    """Save a BERT with random weights and 400 rows in its embedding, of which its tokenizer can reach 20."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertForSequenceClassification(BertConfig(vocab_size=WIDE, pad_token_id=0, **sizes)).save_pretrained(folder)
    word_tokenizer().save_pretrained(folder)
    return folder


def make_tiny_bart(folder: Path) -> Path:
    """Save a BART of one layer each with random weights."""
    torch.manual_seed(0)
    sizes = {f"{part}_{what}": n for part in ("encoder", "decoder") for what, n in SIZES.items()}
    config = BartConfig(
        vocab_size=len(MARKS) + len(WORDS),
        d_model=32,
        max_position_embeddings=64,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=2,
        forced_eos_token_id=2,
        **sizes,
    )
    BartForConditionalGeneration(config).save_pretrained(folder)
    word_tokenizer().save_pretrained(folder)
    return folder


SIZES = {"layers": 1, "attention_heads": 2, "ffn_dim": 32}


# -- checkpoints with habits


def load(folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """A tiny checkpoint's own model, and its tokenizer."""
    model_cls = getattr(transformers, AutoConfig.from_pretrained(folder).architectures[0])
    return model_cls.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


def stored_in(dtype: torch.dtype) -> Habit:
    return lambda model, tokenizer: (model.to(dtype), tokenizer)


def without_limit(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> Changed:
    tokenizer.model_max_length = int(1e30)
    tokenizer.init_kwargs.pop("model_max_length", None)
    return model, tokenizer


def with_marks(**names: str | None) -> Habit:
    """Another tokenizer over the same ids; a mark that is `None` is left out."""

    def change(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> Changed:
        kept = {**tokenizer.special_tokens_map, **names}
        inner = json.loads(tokenizer.backend_tokenizer.to_str())
        gone = {tokenizer.special_tokens_map[name] for name, value in names.items() if value is None}
        inner["added_tokens"] = [token for token in inner["added_tokens"] if token["content"] not in gone]
        inner["model"]["vocab"] = {f"({k[1:-1]})" if k in gone else k: i for k, i in inner["model"]["vocab"].items()}
        known = {name: value for name, value in kept.items() if value is not None}
        backend = Tokenizer.from_str(json.dumps(inner))
        return model, PreTrainedTokenizerFast(tokenizer_object=backend, **known, model_max_length=32)

    return change


def with_spare_rows(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> Changed:
    model.resize_token_embeddings(len(tokenizer) + 9, mean_resizing=False)
    return model, tokenizer


def with_bos_at_0(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> Changed:
    """The ids of `<pad>` and `<s>` changed places."""
    text = tokenizer.backend_tokenizer.to_str()
    swapped = json.loads(text)
    ids = {"<pad>": 1, "<s>": 0}
    swapped["model"]["vocab"] |= ids
    for token in swapped["added_tokens"]:
        token["id"] = ids.get(token["content"], token["id"])
    swapped["post_processor"]["special_tokens"]["<s>"]["ids"] = [0]
    model.config.pad_token_id, model.config.bos_token_id = 1, 0
    backend = Tokenizer.from_str(json.dumps(swapped))
    return model, PreTrainedTokenizerFast(tokenizer_object=backend, **tokenizer.special_tokens_map, model_max_length=32)


def with_other_head(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> Changed:
    model_cls = BartForSequenceClassification if model.config.is_encoder_decoder else BertForSequenceClassification
    model.config.id2label = dict(enumerate(["contradiction", "neutral", "entailment"]))
    model.config.label2id = {name: i for i, name in model.config.id2label.items()}
    return model_cls(model.config), tokenizer


def reversed_labels(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> Changed:
    """The same classifier: its rows and the names of its labels in the other order."""
    names = list(model.config.id2label.values())[::-1]
    model.config.id2label = dict(enumerate(names))
    model.config.label2id = {name: i for i, name in enumerate(names)}
    with torch.no_grad():
        for p in model.classifier.parameters():
            p.copy_(p.flip(0))
    return model, tokenizer


HABITS: dict[str, Habit] = {
    "bf16": stored_in(torch.bfloat16),
    "fp16": stored_in(torch.float16),
    "other head": with_other_head,
    "no limit": without_limit,
    "no pad": with_marks(pad_token=None),
    "spare rows": with_spare_rows,
    "bos 0": with_bos_at_0,
}


def with_habit(source: Path, folder: Path, habit: Habit) -> Path:
    """Save a tiny checkpoint, changed."""
    model, tokenizer = habit(*load(source))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def without_tensors(source: Path, folder: Path, *parts: str) -> Path:
    """Copy a checkpoint without the tensors whose names have one of these parts."""
    shutil.copytree(source, folder)
    tensors = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in tensors.items() if not any(part in name for part in parts)}
    assert len(kept) < len(tensors)
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    return folder

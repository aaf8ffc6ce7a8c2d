"""Texts as input: tokenize them, pad them, turn ids back into texts; what core asks of a modality, for tokenizers."""

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar

import torch
from transformers import AutoTokenizer, PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from blurr.loading.collate import PaddingCollator
from blurr.loading.dataloader import RowsDL
from blurr.loading.rows import IGNORED, Batch, EncodedRows, InputNames, Inputs, Table
from blurr.models.inputs import Positions
from blurr.targets.labels import label_name
from blurr.text.lengths import length_limit, set_advice
from blurr.text.scratch import train_tokenizer
from blurr.text.special_tokens import SpecialTokens, hidden_tokens, note_own, reader_of
from blurr.text.vocabulary import add_pad_token

NAMES = InputNames(main="input_ids", mask="attention_mask")
STATE_OF_CALLS = ("truncation", "padding")  # what the last call of a tokenizer left in its file
DEFAULT_LENGTH = 512  # tokens that a model from scratch reads where its sizes do not say


class TextRows(EncodedRows):
    """Tokenized rows, as long as their `input_ids`."""

    names: ClassVar[InputNames] = NAMES


class TextCollator(PaddingCollator):
    """Pad tokenized rows to the longest of the batch; works in any `torch.utils.data.DataLoader`.

    A call returns `(inputs, targets)`; `inputs` holds `input_ids` and `attention_mask`, both `(batch, sequence)`, what
    else the rows have, and `labels`, equal to the targets: `(batch,)` or `(batch, sequence)`, padded by -100.

    Args:
        pad_token_id: Pads `input_ids`.
        options: `padding_side` and `pad_to_multiple_of`, see `PaddingCollator`.
    """

    names: ClassVar[InputNames] = NAMES

    def __init__(self, pad_token_id: int, **options: Any) -> None:
        super().__init__({NAMES.main: pad_token_id}, **options)


@dataclass(frozen=True)
class TextInputs:
    """Tokenizers, as `models.inputs.ModalityInputs` asks for them.

    Args:
        tokenizer_cls: The class whose `from_pretrained` loads a checkpoint's tokenizer.
    """

    rows_cls: ClassVar[type[EncodedRows]] = TextRows

    tokenizer_cls: Any = AutoTokenizer

    def load(self, name: str, **options: Any) -> PreTrainedTokenizerBase:
        tokenizer: PreTrainedTokenizerBase = self.tokenizer_cls.from_pretrained(name, **options)
        note_own(tokenizer, options.values())
        return tokenizer

    def train(self, arch: str, corpus: Iterable[str], *, vocab_size: int, kind: str | None) -> PreTrainedTokenizerBase:
        tokenizer = train_tokenizer(arch, corpus, vocab_size=vocab_size, tokenizer=kind)
        note_own(tokenizer)
        return tokenizer

    def scratch_config(self, processor: PreTrainedTokenizerBase, sizes: Mapping[str, Any]) -> dict[str, Any]:
        longest = sizes.get("max_position_embeddings", sizes.get("n_positions", DEFAULT_LENGTH))
        processor.model_max_length = int(longest)
        bos, pad = processor.bos_token_id, processor.pad_token_id
        ids = {
            "pad_token_id": pad,
            "bos_token_id": bos,
            "eos_token_id": processor.eos_token_id,
            "sep_token_id": processor.sep_token_id,  # by which BigBird and Longformer find the question
            "decoder_start_token_id": pad if bos is None else bos,
            "forced_eos_token_id": None,
        }
        return {"vocab_size": len(processor), **{k: v for k, v in ids.items() if v is not None}}

    def fit(self, processor: PreTrainedTokenizerBase, model: PreTrainedModel) -> None:
        add_pad_token(processor, model)

    def limit(self, processor: PreTrainedTokenizerBase, config: PretrainedConfig, positions: Positions) -> None:
        set_advice(processor, config, positions)

    def describe(self, processor: PreTrainedTokenizerBase) -> dict[str, Any]:
        if processor.is_fast:
            model = json.loads(processor.backend_tokenizer.to_str())
            model = {name: value for name, value in model.items() if name not in STATE_OF_CALLS}
        else:
            model = {**processor.init_kwargs, "vocab": processor.get_vocab()}
        return {
            "class": type(processor).__name__,
            "model": model,
            "special": processor.special_tokens_map,
            "length": processor.model_max_length,
            "hidden": sorted(hidden_tokens(processor)),
            "sides": [processor.padding_side, processor.truncation_side],
        }

    def collator(self, processor: PreTrainedTokenizerBase, pad_to_multiple_of: int | None) -> Callable[..., Batch]:
        return collator_for(processor, pad_to_multiple_of)


TEXT = TextInputs()


def tokenize_texts(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[Any],
    pairs: Sequence[str] | None = None,
    *,
    max_length: int | None = None,
    is_split_into_words: bool = False,
    special_tokens: SpecialTokens = "text",
    parsed: Collection[str] = (),
    **options: Any,
) -> dict[str, list[list[int]]]:
    """Tokenize a list of texts, or of sentence pairs, without padding.

    Args:
        tokenizer: turns text into ids.
        texts: one string each, or one list of words each with `is_split_into_words`.
        pairs: the second texts, for sentence pairs.
        max_length: longest result in tokens, special tokens included; `None` takes the tokenizer's limit, if any.
        is_split_into_words: each text is a list of words.
        special_tokens: what a special token is that is written in a text, see `reader_of`.
        parsed: special tokens that are parsed whatever `special_tokens` says.
        options: passed to the tokenizer.

    Returns:
        `input_ids`, and `token_type_ids` where the tokenizer makes them. An attention mask says nothing that padding
        does not, so the collator makes it.
    """
    limit = length_limit(tokenizer, max_length)
    written = chain(chain.from_iterable(texts) if is_split_into_words else texts, pairs or ())
    encoded = reader_of(tokenizer, written, special_tokens, parsed=parsed)(
        list(texts),
        None if pairs is None else list(pairs),
        **{"truncation": limit is not None, "max_length": limit, **options},
        is_split_into_words=is_split_into_words,
        return_attention_mask=False,
    )
    return {k: encoded[k] for k in ("input_ids", "token_type_ids") if k in encoded}


def collator_for(tokenizer: PreTrainedTokenizerBase, pad_to_multiple_of: int | None = None) -> TextCollator:
    """Return the collator that pads as the tokenizer does."""
    return TextCollator(
        tokenizer.pad_token_id, padding_side=tokenizer.padding_side, pad_to_multiple_of=pad_to_multiple_of
    )


def decode_ids(tokenizer: PreTrainedTokenizerBase, ids: torch.Tensor, *, of_source: bool = True) -> list[str]:
    """Turn ids of shape `(batch, sequence)`, -100 and special tokens left out, back into texts.

    Args:
        tokenizer: which made them.
        ids: the ids.
        of_source: they were read, not written; the tokenizers of Marian have a model for each.
    """
    rows = [[int(i) for i in row if i != IGNORED] for row in ids]
    options = {"clean_up_tokenization_spaces": False, "use_source_tokenizer": of_source}
    texts: list[str] = tokenizer.batch_decode(rows, skip_special_tokens=True, **options)
    return [text.strip() for text in texts]


def shorten(text: str, trunc_at: int | None) -> str:
    """Cut a text for display."""
    return text if trunc_at is None or len(text) <= trunc_at else text[:trunc_at] + " …"


def show_classification(
    dl: RowsDL, inputs: Inputs, targets: torch.Tensor, predictions: Any = None, *, trunc_at: int | None = None
) -> Table:
    """Give rows of text, target and, where there is one, prediction, by their names."""
    texts = decode_ids(dl.tokenizer, inputs["input_ids"])
    table: Table = [{"text": shorten(text, trunc_at)} for text in texts]
    vocab = getattr(dl, "vocab", None)
    for name, values in (("target", targets), ("prediction", predictions)):
        if values is None or not len(values) or torch.is_tensor(values) and not values.numel():
            continue
        for row, value in zip(table, values, strict=False):
            row[name] = label_name(value, vocab)
    return table

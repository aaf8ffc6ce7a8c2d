"""Texts as input: tokenizers made, loaded and fitted to models, texts tokenized, padded and shown again."""

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar, Self

import torch
from torch import nn
from transformers import AutoTokenizer, PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from blurr.errors import InputError
from blurr.loading.collate import PaddingCollator
from blurr.loading.dataloader import RowsDL
from blurr.loading.rows import IGNORED, Batch, EncodedRows, InputNames, Inputs, Table
from blurr.models.inputs import Positions
from blurr.targets.labels import with_labels
from blurr.text.lengths import length_limit, set_advice
from blurr.text.scratch import train_tokenizer
from blurr.text.special_tokens import SpecialTokens, hidden_tokens, note_own, reader_of

NAMES = InputNames(main="input_ids", mask="attention_mask", unit="tokens", beside=("token_type_ids",))
STATE_OF_CALLS = ("truncation", "padding")  # left in a tokenizer's file by its last call: not part of the cache's key
DEFAULT_LENGTH = 512  # positions of a model from scratch whose sizes do not say how many it has


class TextRows(EncodedRows):
    """Tokenized rows, as long as their `input_ids`."""

    names: InputNames = NAMES


class TextCollator(PaddingCollator):
    """Pad tokenized rows to the longest of the batch; works in any `torch.utils.data.DataLoader`.

    A call returns `(inputs, targets)`. `inputs` holds `input_ids` and `attention_mask`, both `(batch, sequence)`, the
    other columns of the rows, and `labels`, equal to the targets: `(batch,)` or `(batch, sequence)`, padded with -100.

    Args:
        pad_token_id: Pads `input_ids`.
        options: `padding_side` and `pad_to_multiple_of`, see `PaddingCollator`.
    """

    names: ClassVar[InputNames] = NAMES

    def __init__(self, pad_token_id: int, **options: Any) -> None:
        super().__init__({NAMES.main: pad_token_id}, **options)

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase, **options: Any) -> Self:
        """Return a collator that pads as the tokenizer does."""
        return cls(tokenizer.pad_token_id, **{"padding_side": tokenizer.padding_side, **options})


@dataclass(frozen=True)
class TextInputs:
    """Tokenizers, by the contract of `models.inputs.ModalityInputs`.

    Args:
        tokenizer_cls: Its `from_pretrained` loads the tokenizer of a checkpoint.
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
            "sep_token_id": processor.sep_token_id,  # BigBird and Longformer find the end of the question by it
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
        return TextCollator.of(processor, pad_to_multiple_of=pad_to_multiple_of)

    def before_batch(self, processor: PreTrainedTokenizerBase, augment: Any) -> list[Callable[..., Any]]:
        return []

    def after_batch(self, processor: PreTrainedTokenizerBase, augment: Any) -> list[Callable[..., Any]]:
        if augment is not None:
            raise InputError(f"Rows of text are not augmented, and augment={augment!r} was given. Leave it out.")
        return []

    def summary(self, processor: PreTrainedTokenizerBase) -> dict[str, str]:
        return {}


TEXT = TextInputs()


def add_pad_token(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> None:
    """Make sure that there is a pad token, and that the model has an embedding for every token.

    Spare rows of the embeddings stay, and a new token takes the first of them. Where there are none and the model
    cannot grow, the eos token pads.

    Raises:
        InputError: There are more tokens than rows, and the model cannot grow.
    """
    if tokenizer.pad_token_id is None:
        if embedded(model) <= top_id(tokenizer) + 1 and counts_rows(model) and tokenizer.eos_token is not None:
            tokenizer.pad_token = tokenizer.eos_token
        else:
            tokenizer.add_special_tokens({"pad_token": "<pad>"})
    if top_id(tokenizer) >= embedded(model):
        if counts_rows(model):
            raise InputError(
                f"The tokenizer has tokens up to {top_id(tokenizer)}, and {type(model).__name__} has rows for "
                f"{embedded(model)}, to which none can be added: it keeps a table with a row for each token. Leave out "
                "the tokens that you add in model.tokenizer_kwargs."
            )
        model.resize_token_embeddings(top_id(tokenizer) + 1, mean_resizing=False)
    model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
    model.config.pad_token_id = tokenizer.pad_token_id


def embedded(model: PreTrainedModel) -> int:
    """Return how many tokens the model has embeddings for; Canine embeds hashes of characters: any number."""
    try:
        embeddings = model.get_input_embeddings()
    except NotImplementedError:
        return 2**31
    return embeddings.num_embeddings if isinstance(embeddings, nn.Embedding) else 2**31


def top_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the highest id of a token; ids may have gaps."""
    return max(tokenizer.get_vocab().values(), default=len(tokenizer) - 1)


def counts_rows(model: PreTrainedModel) -> bool:
    """Return whether the model keeps another table with a row per token, which cannot grow.

    DeepSeek-V4 chooses the experts of a token by such a table, and BLT divides a text by an embedding of its own.
    """
    size = embedded(model)
    tables = [*model.named_parameters(), *model.named_buffers()]
    is_counted = any(
        len(each) == size and (each.ndim == 1 or not each.is_floating_point()) and not name.endswith("bias")
        for name, each in tables
        if each.ndim
    )
    weights = {
        id(each.weight) for each in model.modules() if isinstance(each, nn.Embedding) and each.num_embeddings == size
    }
    return is_counted or (len(weights) > 1 and not model.config.is_encoder_decoder)


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
        tokenizer: Turns text into ids.
        texts: A string each; a list of words each with `is_split_into_words`.
        pairs: The second texts, for sentence pairs.
        max_length: Longest result in tokens, special tokens included; `None` takes the tokenizer's limit, if any.
        is_split_into_words: Each text is a list of words.
        special_tokens: `text` reads a special token that a user wrote, such as `</s>`, as plain text; `parse` as the
            special token.
        parsed: Special tokens to parse even so, such as the mask.
        options: Passed to the tokenizer.

    Returns:
        `input_ids`, and `token_type_ids` where the tokenizer makes them; the collator makes the attention mask.
    """
    limit = length_limit(tokenizer, max_length)  # in tokens
    written = chain(chain.from_iterable(texts) if is_split_into_words else texts, pairs or ())
    reader = reader_of(tokenizer, written, special_tokens, parsed=parsed)
    try:
        encoded = reader(
            list(texts),
            None if pairs is None else list(pairs),
            **{"truncation": limit is not None, "max_length": limit, **options},
            is_split_into_words=is_split_into_words,
            return_attention_mask=False,
        )
    except TypeError as error:
        raise InputError(
            f"A text cannot be tokenized: {error}. Texts are Unicode, without halves of surrogate pairs."
        ) from error
    return {k: encoded[k] for k in ("input_ids", "token_type_ids") if k in encoded}


def collator_for(tokenizer: PreTrainedTokenizerBase, pad_to_multiple_of: int | None = None) -> TextCollator:
    """Return the collator that pads as the tokenizer does."""
    return TextCollator.of(tokenizer, pad_to_multiple_of=pad_to_multiple_of)


def decode_ids(tokenizer: PreTrainedTokenizerBase, ids: torch.Tensor, *, of_source: bool = True) -> list[str]:
    """Turn ids `(batch, sequence)` back into texts, without -100 and special tokens.

    `of_source` matters to Marian, which has one vocabulary for sources and another for targets.
    """
    rows = [[int(i) for i in row if i != IGNORED] for row in ids]
    options = {"clean_up_tokenization_spaces": False, "use_source_tokenizer": of_source}
    texts: list[str] = tokenizer.batch_decode(rows, skip_special_tokens=True, **options)
    return [text.strip() for text in texts]


def shorten(text: str, trunc_at: int | None) -> str:
    """Cut a text for display."""
    return text if trunc_at is None or len(text) <= trunc_at else text[:trunc_at] + " …"


def as_table(columns: Mapping[str, Sequence[Any]]) -> Table:
    """Turn columns into one dict per row."""
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def show_classification(
    dl: RowsDL, inputs: Inputs, targets: torch.Tensor, predictions: Any = None, *, trunc_at: int | None = None
) -> Table:
    """Return rows of `text`, `target` and, where there are any, `prediction`, by the names of the labels."""
    table: Table = [{"text": shorten(text, trunc_at)} for text in decode_ids(dl.tokenizer, inputs["input_ids"])]
    return with_labels(table, getattr(dl, "vocab", None), targets, predictions)

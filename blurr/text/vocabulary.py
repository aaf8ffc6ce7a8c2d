"""Bring the tokens of a tokenizer and the rows of a model's embeddings together."""

from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from blurr.errors import InputError


def add_pad_token(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> None:
    """Give a tokenizer without a pad token one, and the model an embedding for each token that it has none for.

    Rows of the embeddings that no token uses stay: other checkpoints of the family have them, too, and a new token
    takes the first of them. Where a new row would be one too many for the model, the end token serves as pad.

    Raises:
        InputError: there are more tokens than rows, and no row can be added.
    """
    if tokenizer.pad_token_id is None:
        if rows(model) <= top_id(tokenizer) + 1 and counts_rows(model) and tokenizer.eos_token is not None:
            tokenizer.pad_token = tokenizer.eos_token
        else:
            tokenizer.add_special_tokens({"pad_token": "<pad>"})
    if top_id(tokenizer) >= rows(model):
        if counts_rows(model):
            raise InputError(
                f"The tokenizer has tokens up to {top_id(tokenizer)}, and {type(model).__name__} has rows for "
                f"{rows(model)}, to which none can be added: it keeps a table with a row for each token. Leave out the "
                "tokens that you add in model.tokenizer_kwargs."
            )
        model.resize_token_embeddings(top_id(tokenizer) + 1, mean_resizing=False)
    model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
    model.config.pad_token_id = tokenizer.pad_token_id


def rows(model: PreTrainedModel) -> int:
    """Return how many tokens the model has embeddings for."""
    embeddings = model.get_input_embeddings()
    # what embeds characters by hashes, as Canine does, has no row for each
    return embeddings.num_embeddings if isinstance(embeddings, nn.Embedding) else 2**31


def top_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the highest id of a token; ids may have gaps."""
    return max(tokenizer.get_vocab().values(), default=len(tokenizer) - 1)


def counts_rows(model: PreTrainedModel) -> bool:
    """Return whether a table besides the embeddings and the head has a row for each token, which cannot grow.

    DeepSeek-V4 chooses the experts of a token by such a table.
    """
    tables = [*model.named_parameters(), *model.named_buffers()]
    return any(
        len(each) == rows(model) and (each.ndim == 1 or not each.is_floating_point()) and not name.endswith("bias")
        for name, each in tables
        if each.ndim
    )

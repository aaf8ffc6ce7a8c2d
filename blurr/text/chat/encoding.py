"""Turn chats into tokens, and mark those of the answers."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from transformers import PreTrainedTokenizerBase

from blurr.errors import InputError
from blurr.text.chat.messages import Messages, turns
from blurr.text.chat.template import MASKED, Layout, RenderedPart
from blurr.text.language_modeling.chunking import Ids
from blurr.text.special_tokens import reader_without

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EncodedChat:
    """The tokens of a chat.

    Attributes:
        ids: All of them.
        answers: For each, 1 if it belongs to an answer or ends one, else 0.
        begin: The number of tokens before the last answer; all of them in a prompt.
    """

    ids: Ids
    answers: Ids
    begin: int

    def cut(self, room: int) -> "EncodedChat":
        """Cut a chat that is too long: its beginning, or the end of an answer that is too long by itself."""
        start = len(self.ids) - room
        if start <= 0:
            return self
        if start >= self.begin:  # half of the room for what the answer is for
            start = max(0, self.begin - room // 2)
        kept = slice(start, start + room)
        return EncodedChat(self.ids[kept], self.answers[kept], self.begin - start)


def encode_chats(
    chats: Sequence[Messages], layout: Layout, *, room: int | None, prompted: bool = False, first: int = 1
) -> Iterator[EncodedChat]:
    """Yield the tokens of each chat.

    A chat that is too long loses its first turns, but not its system message; a single turn that is too long is cut,
    see `EncodedChat.cut`.

    Args:
        chats: With an answer each, unless `prompted`.
        layout: Of the tokenizer.
        room: Longest chat in tokens; `None` for no limit.
        prompted: End each with a prompt for the next answer.
        first: Number of the row of the first, for messages.

    Raises:
        InputError: A chat cannot be encoded; names its row.
    """
    long = shortened = cut = 0
    for row, messages in enumerate(chats, start=first):
        try:
            made = _encoded(layout.segments(messages, prompted=prompted), layout)
            if room is not None and len(made.ids) > room:
                long += 1
                made, lost = _without_early_turns(messages, made, layout, room=room, prompted=prompted)
                shortened += lost
                cut += len(made.ids) > room
                made = made.cut(room)
        except InputError as error:
            raise InputError(f"Row {row} of its split (counted from 1) {error}.") from error
        yield made
    if long:
        said = "Of %d chats, %d were longer than %s tokens (task.max_length): %d lost early turns, %d were cut."
        log.info(said, len(chats), long, room, shortened, cut)


def _without_early_turns(
    messages: Messages, made: EncodedChat, layout: Layout, *, room: int, prompted: bool
) -> tuple[EncodedChat, bool]:
    """Leave out the first turns of a chat, as few as possible; return whether any was left out."""
    system, parts = turns(messages)
    lost = False
    while len(made.ids) > room and len(parts) > 1:
        parts, lost = parts[1:], True
        made = _encoded(layout.segments([*system, *sum(parts, [])], prompted=prompted), layout)
    return made, lost


def _encoded(segments: Sequence[RenderedPart], layout: Layout) -> EncodedChat:
    """Tokenize a rendered chat as a whole, where its segments begin with tokens of their own, else piece by piece.

    The model is asked with the tokens of the prompt alone, and so has to learn what follows these tokens.
    """
    texts = [segment.text for segment in segments]
    beginnings = list(accumulate(texts))
    tokens = _tokens(layout, beginnings)
    whole = tokens[-1]
    if all(whole[: len(part)] == part for part in tokens):
        ends = [len(part) for part in tokens]
    else:
        # behind a special token, where no tokenizer puts a space of its own
        pieces = [tokens[0], *(ids[1:] for ids in _tokens(layout, [layout.stop + text for text in texts[1:]]))]
        joined = [i for piece in pieces for i in piece]
        if _decoded(layout.tokenizer, joined) != _decoded(layout.tokenizer, whole):
            raise InputError(
                f"has an answer that begins within a token of its prompt, {texts[0][-40:]!r}: the tokenizer cannot "
                "part them. Let the template's prompt end with a line break or a special token (task.template)"
            )
        whole, ends = joined, list(accumulate(len(piece) for piece in pieces))
    starts = [0, *ends[:-1]]
    answers = [
        int(segment.is_answer) for segment, a, b in zip(segments, starts, ends, strict=True) for _ in range(a, b)
    ]
    last = max(
        (start for segment, start in zip(segments, starts, strict=True) if segment.is_answer), default=len(whole)
    )
    return EncodedChat(whole, answers, last)


def _tokens(layout: Layout, texts: Sequence[str]) -> list[Ids]:
    reader = layout.tokenizer
    if any(MASKED.search(text) for text in texts):
        if not reader.is_fast:
            raise InputError("spells out a special token, which this slow tokenizer cannot read as plain text")
        reader, texts = reader_without(reader, layout.hidden), [layout.unmasked(text) for text in texts]
    ids: list[Ids] = reader(list(texts), add_special_tokens=False, return_attention_mask=False, verbose=False)[
        "input_ids"
    ]
    return ids


def _decoded(tokenizer: PreTrainedTokenizerBase, ids: Ids) -> str:
    return str(tokenizer.decode(ids, clean_up_tokenization_spaces=False))

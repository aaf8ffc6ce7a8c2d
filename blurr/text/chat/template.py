"""Chat templates: the tokenizer's own, ChatML or a user's, and where in a rendered chat the answers stand."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2
import torch
from transformers import AddedToken, PreTrainedModel, PreTrainedTokenizerBase

from blurr.errors import InputError
from blurr.text.chat.messages import ASSISTANT, USER, Messages, last_answer
from blurr.text.inputs import TextInputs, embedded
from blurr.text.language_modeling.chunking import Frame
from blurr.text.special_tokens import HIDDEN, OWN, hidden_tokens

BEGIN, END = "<|im_start|>", "<|im_end|>"
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
WITH_BOS = "{{ bos_token }}"
MASK = "\ue001{}\ue002"  # stands for a special token that a message spells out, while a template is rendered
MASKED = re.compile("\ue001(\\d+)\ue002")
ANSWER = "\ue003"  # stands for an answer in the chat that a template is tried on


@dataclass(frozen=True)
class ChatInputs(TextInputs):
    """Tokenizers with a chat template.

    ChatML's two marks become special tokens where the tokenizer lacks them: as plain text they would take about seven
    tokens each, and a user could write them. Where a checkpoint has no embeddings for them, the mark at the end begins
    as a copy of the eos token, so that a model whose embeddings stay as they are can learn to stop by it; the mark at
    the beginning is the mean of all tokens, which no model takes for likely.

    Args:
        template: `auto` is the tokenizer's own, and ChatML where it has none; or `chatml`, a file, or Jinja text.
    """

    template: str = "auto"

    def load(self, name: str, **options: Any) -> PreTrainedTokenizerBase:
        return self._with_template(super().load(name, **options))

    def train(self, arch: str, corpus: Iterable[str], *, vocab_size: int, kind: str | None) -> PreTrainedTokenizerBase:
        return self._with_template(super().train(arch, corpus, vocab_size=vocab_size, kind=kind))

    def fit(self, processor: PreTrainedTokenizerBase, model: PreTrainedModel) -> None:
        known = embedded(model)
        super().fit(processor, model)
        begin, end = (processor.convert_tokens_to_ids(mark) for mark in (BEGIN, END))
        if isinstance(begin, int) and begin >= known:
            _set_row(model, begin, slice(known))
        if isinstance(end, int) and end >= known and processor.eos_token_id is not None:
            _set_row(model, end, slice(processor.eos_token_id, processor.eos_token_id + 1))

    def describe(self, processor: PreTrainedTokenizerBase) -> dict[str, Any]:
        return {**super().describe(processor), "template": processor.chat_template}

    def summary(self, processor: PreTrainedTokenizerBase) -> dict[str, str]:
        is_ours = str(processor.chat_template).removeprefix(WITH_BOS) == CHATML
        return {"chat template": "ChatML" if is_ours else "of the tokenizer"}

    def _with_template(self, tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
        tokenizer.chat_template = _text_of(self.template, tokenizer)
        if BEGIN in tokenizer.chat_template:
            missing = [mark for mark in (BEGIN, END) if mark not in tokenizer.get_vocab()]
            tokenizer.add_tokens([AddedToken(mark, special=True, normalized=False) for mark in missing])
            tokenizer.init_kwargs[OWN] = sorted({*tokenizer.init_kwargs[OWN], *missing})
        return tokenizer


def _text_of(template: str, tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the template that a setting names."""
    if template == "auto" and tokenizer.chat_template is not None:
        return tokenizer.get_chat_template()
    if template in ("auto", "chatml"):
        return (WITH_BOS if tokenizer.bos_token_id in Frame.of(tokenizer).before else "") + CHATML
    if "{{" in template or "{%" in template:
        return template
    path = Path(template).expanduser()
    if not path.is_file():
        raise InputError(
            f"task.template={template!r} is neither auto, chatml, a file of {Path.cwd()}, nor a Jinja template, which "
            "has {{ … }} in it."
        )
    return path.read_text(encoding="utf-8")


def _set_row(model: PreTrainedModel, row: int, others: slice) -> None:
    """Set the embedding of a token to the mean of others, where it is read and where it is written."""
    tables: list[Any] = [model.get_input_embeddings(), model.get_output_embeddings()]  # type: ignore[no-untyped-call]
    with torch.no_grad():
        for weight in [table.weight for table in tables if table is not None]:
            weight[row] = weight[others].mean(0)


@dataclass(frozen=True)
class RenderedPart:
    """A part of a rendered chat, and whether it is an answer, with what ends it."""

    text: str
    is_answer: bool


@dataclass(frozen=True)
class Layout:
    """What a tokenizer's template puts around answers, found by trying it.

    Args:
        tokenizer: With a chat template.
    """

    tokenizer: PreTrainedTokenizerBase

    @cached_property
    def _tried(self) -> tuple[str, str]:
        """What stands between the prompt for an answer and the answer, and behind the answer."""
        asked: Messages = [{"role": USER, "content": "a"}]
        try:
            before = self.render(asked, prompted=True)
            whole = self.render([*asked, {"role": ASSISTANT, "content": ANSWER}])
        except InputError as error:
            raise InputError(f"A chat of a question and an answer {error}. Set task.template to another.") from error
        if not whole.startswith(before) or ANSWER not in whole:
            raise InputError(
                f"The chat template begins an answer by {before[-60:]!r}, which is not how it renders a chat with an "
                f"answer: {whole.replace(ANSWER, '…')[-80:]!r}. What is learnt would not be what is asked for; set "
                "task.template to another template, such as chatml."
            )
        head, _, tail = whole[len(before) :].partition(ANSWER)
        return head, tail

    @cached_property
    def prompt_end(self) -> str:
        """What ends a prompt besides the template's own generation prompt: a header that this lacks."""
        head = self._tried[0]
        return head.rstrip() if head.strip() else ""

    @cached_property
    def stop(self) -> str:
        """The special token that ends an answer: the template's first behind it, else eos, which blurr adds.

        Raises:
            InputError: There is neither.
        """
        tokens = {token.content for token in self.tokenizer.added_tokens_decoder.values()}
        pattern = re.compile("|".join(re.escape(token) for token in sorted(tokens, key=len, reverse=True)) or r"(?!)")
        found = pattern.search(self._tried[1])
        if found is None and self.tokenizer.eos_token is None:
            raise InputError(
                "The chat template ends answers by no special token, and the tokenizer has no eos token, so that the "
                "model could not learn where to stop. Set task.template=chatml."
            )
        return str(self.tokenizer.eos_token) if found is None else found[0]

    @cached_property
    def is_added(self) -> bool:
        """Whether blurr puts the stop token behind each answer, since the template has none there."""
        return self.stop not in self._tried[1]

    @cached_property
    def stops(self) -> list[int]:
        """The ids of the tokens that end generation: the one that ends answers, and eos."""
        ids = [self.tokenizer.convert_tokens_to_ids(self.stop), self.tokenizer.eos_token_id]
        return list(dict.fromkeys(i for i in ids if i is not None))

    @cached_property
    def _special(self) -> list[str]:
        return sorted({*hidden_tokens(self.tokenizer), self.stop}, key=len, reverse=True)

    @property
    def hidden(self) -> frozenset[str]:
        """The tokens that are plain text in a message."""
        return frozenset(self._special)

    @cached_property
    def _spelt(self) -> re.Pattern[str]:
        return re.compile("|".join(map(re.escape, self._special)) or r"(?!)")

    def masked(self, text: str) -> str:
        """Replace special tokens that a message spells out, so that only the template's own are left."""
        clean = re.sub(f"[{HIDDEN}-\ue003]", "\ufffd", text)
        return self._spelt.sub(lambda found: MASK.format(self._special.index(found[0])), clean)

    def unmasked(self, text: str) -> str:
        """Return a masked text for a reader that knows special tokens by their hidden names alone."""
        named = self._spelt.sub(lambda found: HIDDEN + found[0], text)
        return MASKED.sub(lambda found: self._special[int(found[1])], named)

    def render(self, messages: Sequence[Mapping[str, str]], *, prompted: bool = False) -> str:
        """Render a chat; `prompted` begins the answer.

        Raises:
            InputError: The template refuses the messages.
        """
        try:
            text = self.tokenizer.apply_chat_template(
                [dict(each) for each in messages], tokenize=False, add_generation_prompt=prompted
            )
        except jinja2.TemplateSyntaxError as error:
            raise InputError(f"cannot be rendered by the chat template, line {error.lineno}: {error}") from error
        except (jinja2.TemplateError, TypeError, KeyError) as error:
            raise InputError(f"is refused by the chat template: {error}") from error
        return str(text)

    def segments(self, messages: Messages, *, prompted: bool = False) -> list[RenderedPart]:
        """Cut a rendered chat at its answers; it ends with the last of them, or `prompted` at the next one's beginning.

        The answers stand between `chat[:i]` with the generation prompt and the stop token in `chat[:i + 1]`. One that
        the template renders differently once the chat goes on is not marked as an answer.

        Args:
            messages: With an answer, unless `prompted`.
            prompted: End with a prompt for the next answer.

        Raises:
            InputError: The template refuses the messages, or the last answer cannot be found.
        """
        masked = [{"role": each["role"], "content": self.masked(each["content"])} for each in messages]
        last = last_answer(messages)
        whole = self.render(masked, prompted=True) + self.prompt_end if prompted else self.render(masked[: last + 1])
        parts: list[RenderedPart] = []
        done = 0
        for i in [i for i, each in enumerate(messages[: last + 1]) if each["role"] == ASSISTANT]:
            found = self._answer(masked, i, whole)
            if found is not None:
                answer = whole[found[0] : found[1]] + (self.stop if self.is_added else "")
                parts += [RenderedPart(whole[done : found[0]], False), RenderedPart(answer, True)]
                done = found[1]
            elif i == last and not prompted:
                raise InputError("has a last answer that the chat template renders in another way than its prompt")
        return [*parts, RenderedPart(whole[done:], False)] if prompted else parts

    def _answer(self, masked: Messages, number: int, whole: str) -> tuple[int, int] | None:
        """Return the first character of an answer, and that behind its end; None if they are not in the whole."""
        before = self.render(masked[:number], prompted=True) + self.prompt_end
        after = self.render(masked[: number + 1])
        tail = self._tried[1]
        if self.is_added:
            end = len(after) - len(tail) if after.endswith(tail) else len(after)
        else:
            end = after.find(self.stop, len(before)) + len(self.stop)
        if len(before) < end and whole.startswith(before) and whole.startswith(after[:end]):
            return len(before), end
        return None

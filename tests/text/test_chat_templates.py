"""Which tokens of a chat are learnt: ten kinds of template, each with its hand-written expectation."""

from itertools import groupby

import pytest
from transformers import PreTrainedTokenizerBase

from blurr.text.chat.encoding import encode_chats
from blurr.text.chat.messages import Messages
from blurr.text.chat.template import BEGIN, CHATML, END, Layout
from blurr.text.scratch import train_tokenizer
from blurr.text.special_tokens import note_own

TEXTS = [
    "Hi there, hello! What is 2+2? It is 4. Be brief. ### User: Assistant: Instruction Response <|/[]>_\n system model"
]
MARKS = [
    "<s>",
    "</s>",
    BEGIN,
    END,
    "<start_of_turn>",
    "<end_of_turn>",
    "[INST]",
    "[/INST]",
    "<|user|>",
    "<|assistant|>",
]
CHAT: Messages = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello!"},
    {"role": "user", "content": "2+2?"},
    {"role": "assistant", "content": "It is 4."},
]
BRIEF: Messages = [{"role": "system", "content": "Be brief."}, *CHAT]
SPACED: Messages = [{**each, "content": f" {each['content']}\n"} for each in CHAT]

LLAMA = (
    "{% for m in messages %}{% if m.role == 'user' %}{{ '<s>[INST] ' + m.content + ' [/INST]' }}"
    "{% elif m.role == 'assistant' %}{{ ' ' + m.content + ' </s>' }}{% endif %}{% endfor %}"
)
GEMMA = (
    "<s>{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\n' + m.content | trim "
    "+ '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
MISTRAL = (
    "<s>{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate user/assistant') }}{% endif %}"
    "{% if m.role == 'user' %}{{ '[INST] ' + m.content + '[/INST]' }}"
    "{% else %}{{ ' ' + m.content + '</s>' }}{% endif %}{% endfor %}"
)
ALPACA = (
    "{% for m in messages %}{% if m.role == 'user' %}{{ '### Instruction:\n' + m.content + '\n\n' }}"
    "{% else %}{{ '### Response:\n' + m.content + '\n\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '### Response:\n' }}{% endif %}"
)
ZEPHYR = (
    "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + '</s>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
STRIPPED = (
    "{% for m in messages %}{{ m.role + ': ' + m.content | trim + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"
)
MERGED = (
    "{% set ns = namespace(order='') %}{% if messages[0].role == 'system' %}"
    "{% set ns.order = messages[0].content + '\n' %}{% endif %}"
    "{% for m in messages if m.role != 'system' %}{% if m.role == 'user' %}"
    "{{ '[INST] ' + (ns.order if loop.first else '') + m.content + ' [/INST]' }}"
    "{% else %}{{ m.content + '</s>' }}{% endif %}{% endfor %}"
)
DEFAULT = "{% if messages[0].role != 'system' %}{{ '<|im_start|>system\nBe brief.<|im_end|>\n' }}{% endif %}" + CHATML
EOS_AFTER = (
    "{% for m in messages %}{{ m.role + ': ' + m.content }}"
    "{{ eos_token if m.role == 'assistant' else '' }}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)
USER, ASSISTANT = "<|im_start|>user\n", "<|im_start|>assistant\n"
EXPECTED = {  # template, chat, and what the model reads, with what it learns in ⟦ ⟧
    "chatml": (
        CHATML,
        BRIEF,
        f"<|im_start|>system\nBe brief.{END}\n{USER}Hi{END}\n{ASSISTANT}⟦Hello!{END}⟧\n"
        f"{USER}2+2?{END}\n{ASSISTANT}⟦It is 4.{END}⟧",
    ),
    "llama-2": (LLAMA, CHAT, "<s>[INST] Hi [/INST]⟦ Hello! </s>⟧<s>[INST] 2+2? [/INST]⟦ It is 4. </s>⟧"),
    "gemma": (
        GEMMA,
        SPACED,
        "<s><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n⟦Hello!<end_of_turn>⟧\n"
        "<start_of_turn>user\n2+2?<end_of_turn>\n<start_of_turn>model\n⟦It is 4.<end_of_turn>⟧",
    ),
    "mistral": (MISTRAL, CHAT, "<s>[INST] Hi[/INST]⟦ Hello!</s>⟧[INST] 2+2?[/INST]⟦ It is 4.</s>⟧"),
    "alpaca, plain text": (  # no token ends an answer: eos is put there
        ALPACA,
        CHAT,
        "### Instruction:\nHi\n\n### Response:\n⟦Hello!</s>⟧\n\n"
        "### Instruction:\n2+2?\n\n### Response:\n⟦It is 4.</s>⟧",
    ),
    "zephyr": (
        ZEPHYR,
        CHAT,
        "<|user|>\nHi</s>\n<|assistant|>\n⟦Hello!</s>⟧\n<|user|>\n2+2?</s>\n<|assistant|>\n⟦It is 4.</s>⟧",
    ),
    "stripped white space": (
        STRIPPED,
        SPACED,
        "user: Hi\nassistant:⟦ Hello!</s>⟧\nuser: 2+2?\nassistant:⟦ It is 4.</s>⟧",
    ),
    "system merged into the user's turn": (
        MERGED,
        BRIEF,
        "[INST] Be brief.\nHi [/INST]⟦Hello!</s>⟧[INST] 2+2? [/INST]⟦It is 4.</s>⟧",
    ),
    "default system message": (
        DEFAULT,
        CHAT,
        f"<|im_start|>system\nBe brief.{END}\n{USER}Hi{END}\n{ASSISTANT}⟦Hello!{END}⟧\n"
        f"{USER}2+2?{END}\n{ASSISTANT}⟦It is 4.{END}⟧",
    ),
    "eos after the assistant alone": (
        EOS_AFTER,
        CHAT,
        "user: Hi\nassistant: ⟦Hello!</s>⟧\nuser: 2+2?\nassistant: ⟦It is 4.</s>⟧",
    ),
}


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerBase:
    """Byte-level pieces with spaces in front, and SentencePiece's, each with the marks of all templates."""
    kind = {"llama": "LlamaTokenizer"}.get(request.param)
    made = train_tokenizer(request.param, TEXTS * 4, vocab_size=400, tokenizer=kind)
    made.add_special_tokens({"bos_token": "<s>", "eos_token": "</s>"})
    made.add_tokens(MARKS, special_tokens=True)
    note_own(made)
    return made


def marked(tokenizer: PreTrainedTokenizerBase, ids: list[int], learnt: list[int]) -> str:
    """Decode, with ⟦ ⟧ around what is learnt; each beginning is decoded, which alone tells where spaces belong."""
    text, done, read = "", 0, ""
    for mark, run in groupby(learnt):
        done += len(list(run))
        whole = tokenizer.decode(ids[:done], clean_up_tokenization_spaces=False)
        new = whole[len(read) :]
        text, read = text + (f"⟦{new}⟧" if mark else new), whole
    return text


@pytest.mark.parametrize("name", EXPECTED)
def test_the_answers_of_a_template_are_learnt_with_what_ends_them(name: str, tokenizer):
    template, chat, expected = EXPECTED[name]
    tokenizer.chat_template = template
    (made,) = encode_chats([chat], Layout(tokenizer), room=None)
    assert marked(tokenizer, made.ids, made.answers) == expected
    assert made.ids[-1] == tokenizer.convert_tokens_to_ids(Layout(tokenizer).stop) in Layout(tokenizer).stops
    assert made.ids[: made.begin] == next(encode_chats([chat[:-1]], Layout(tokenizer), room=None, prompted=True)).ids
